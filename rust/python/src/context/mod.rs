//! The context that orchestrators are handed: the engine's calls, with Python's arguments.

mod convert;
mod cycles;
mod methods;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use durabletask_core::error::Method;
use durabletask_core::retry::RetryPolicy;
use durabletask_core::wire::{Event, EventType, Span};
use durabletask_core::{Host, Input, Orchestration};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::engine::Stop;
use crate::gil::{Borrowed, Guarded, SetOnce};
use crate::kept::Kept;
use crate::payload;
use crate::tasks::{AlreadyCompleted, Task};
use convert::{Memory, Named};

/// What the engine keeps for Python.
#[derive(Debug)]
pub(crate) struct PythonHost;

impl Host for PythonHost {
    type Task = Kept<Task>;
    type Input = Kept<PyAny>;
}

/// Base of the context that orchestrators are handed.
#[pyclass(frozen, subclass, module = "durabletask._core")]
#[derive(Debug)]
pub(crate) struct RuntimeContext {
    instance_id: Py<PyString>,
    /// The engine's own flag again, to be read without the lock.
    replaying: AtomicBool,
    /// How many bytes of payloads the code was handed.
    handed: AtomicUsize,
    /// Reads payloads in the place of `payload::decode`: called with a payload's text.
    reader: SetOnce<Py<PyAny>>,
    state: Guarded<State>,
}

/// No Python code may run while this is locked: it could come back for the lock. So what is replaced in it is dropped
/// outside, or is `Kept`.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) orchestration: Orchestration<PythonHost>,
    names: Memory<Named>,
    policies: Memory<Arc<RetryPolicy>>,
    confirmed_ahead: ConfirmedAhead,
    propagated: Option<Propagated>,
    /// The zone of a time that a test has set the clock to, which is told in it then.
    zone: Option<Py<PyAny>>,
}

/// Which calls the events confirm that were read and are yet to be applied, in ascending order. Somebody asks when the code
/// passes an argument that may have no JSON form: one that was passed to a call which the history confirms had one.
#[derive(Debug)]
struct ConfirmedAhead {
    /// Whether somebody has asked since events were read the last time. Most code never does, so the ids are left unread.
    asked_for: bool,
    ids: Vec<i32>,
}

impl Default for ConfirmedAhead {
    fn default() -> Self {
        Self { asked_for: true, ids: Vec::new() }
    }
}

/// The histories that the instance was handed: a serialized `PropagatedHistory`, and its length; decoded once asked for.
#[derive(Debug)]
struct Propagated {
    bytes: usize,
    serialized: Py<PyBytes>,
    decoded: Option<Py<PyAny>>,
}

/// What became of a task that was to be completed.
pub(crate) enum Completed<'py> {
    /// It has this value.
    With(Bound<'py, PyAny>),
    /// It has a value that was not read yet.
    Unread,
    /// It had completed before.
    Before,
}

impl RuntimeContext {
    #[inline]
    pub(crate) fn lock(&self, py: Python<'_>) -> Borrowed<'_, State> {
        self.state.lock(py)
    }

    /// The instance's id.
    pub(crate) fn id(&self, py: Python<'_>) -> &str {
        self.instance_id.to_str(py).unwrap_or_default()
    }

    /// A payload's value; no payload is `None`.
    pub(crate) fn read<'py>(&self, py: Python<'py>, json: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let Some(json) = json else { return Ok(py.None().into_bound(py)) };
        self.hand_over(json.len());
        self.read_text(py, json)
    }

    fn read_text<'py>(&self, py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.reader.get(py) {
            None => payload::decode(py, json),
            Some(reader) => reader.bind(py).call1((json,)),
        }
    }

    /// Completes a task with a payload that is not yet checked to be text. One that is not short is read when somebody asks
    /// for it, if that is not now: those who lose a race are never asked.
    #[inline]
    pub(crate) fn complete<'py>(
        &self,
        task: &Bound<'py, Task>,
        json: Option<Span<'_>>,
        asked_for: bool,
    ) -> Result<Completed<'py>, Stop> {
        let py = task.py();
        let reader = self.reader.get(py);
        let value = match json {
            None => py.None().into_bound(py),
            Some(json) => {
                self.hand_over(json.bytes.len());
                let short = if reader.is_none() { payload::decode_short(py, json.bytes) } else { None };
                match short {
                    Some(value) => value,
                    None if asked_for => self.read_text(py, json.text()?)?,
                    None => {
                        let reader = reader.map(|reader| reader.clone_ref(py));
                        return Ok(match Task::set_recorded(task, json.text()?, reader) {
                            Ok(()) => Completed::Unread,
                            Err(AlreadyCompleted) => Completed::Before,
                        });
                    }
                }
            }
        };
        Ok(match Task::set_result(task, value.clone()) {
            Ok(()) => Completed::With(value),
            Err(AlreadyCompleted) => Completed::Before,
        })
    }

    /// What an orchestrator is handed as its input. One whose context has a reader is handed the text itself: how to read
    /// it depends on its annotations.
    pub(crate) fn read_input<'py>(&self, py: Python<'py>, json: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        match json {
            Some(json) if self.reader.get(py).is_some() => {
                self.hand_over(json.len());
                Ok(PyString::new(py, json).into_any())
            }
            json => self.read(py, json),
        }
    }

    pub(crate) fn set_replaying(&self, py: Python<'_>, replaying: bool) {
        self.replaying.store(replaying, Ordering::Relaxed);
        self.lock(py).orchestration.set_replaying(replaying);
    }

    /// Takes in what a request brings along of the histories of others; one that brings nothing changes nothing.
    pub(crate) fn set_propagated_history(&self, py: Python<'_>, serialized: Option<&[u8]>) {
        if let Some(serialized) = serialized {
            let bytes = serialized.len();
            let serialized = PyBytes::new(py, serialized).unbind();
            let before = self.lock(py).propagated.replace(Propagated { bytes, serialized, decoded: None });
            drop(before);
        }
    }

    /// Counts a payload of which the code gets to see something. Whoever holds the interpreter counts alone.
    #[inline]
    fn hand_over(&self, bytes: usize) {
        self.handed.store(self.handed().saturating_add(bytes), Ordering::Relaxed);
    }

    /// How many bytes of payloads the code was handed.
    pub(crate) fn handed(&self) -> usize {
        self.handed.load(Ordering::Relaxed)
    }

    /// How much of others' histories is kept, in bytes.
    pub(crate) fn propagated_bytes(&self, py: Python<'_>) -> usize {
        self.lock(py).propagated.as_ref().map_or(0, |propagated| propagated.bytes)
    }

    /// The name of `function`, and the id that the next call will have.
    fn named(&self, function: &Bound<'_, PyAny>) -> PyResult<(Named, i32)> {
        let py = function.py();
        let state = self.lock(py);
        let id = state.orchestration.sequence().saturating_add(1);
        if let Some(named) = state.names.get(function) {
            return Ok((named.clone_ref(py), id));
        }
        drop(state);
        let named = convert::name_of(function)?;
        let forgotten = self.lock(py).names.insert(function, named.clone_ref(py));
        drop(forgotten);
        Ok((named, id))
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "nearly always there is none")]
    fn policy_of(&self, policy: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Arc<RetryPolicy>>> {
        match policy {
            None => Ok(None),
            Some(policy) => self.policy_given(policy).map(Some),
        }
    }

    fn policy_given(&self, policy: &Bound<'_, PyAny>) -> PyResult<Arc<RetryPolicy>> {
        let known = self.lock(policy.py()).policies.get(policy).map(Arc::clone);
        if let Some(known) = known {
            return Ok(known);
        }
        let read = Arc::new(convert::retry_policy(policy)?);
        let forgotten = self.lock(policy.py()).policies.insert(policy, Arc::clone(&read));
        drop(forgotten);
        Ok(read)
    }

    /// A call's argument. While replaying it is left as it is, since the history has it already; a call that is really
    /// made is encoded at once, as it is now. So is a value that may have no JSON form, unless the history confirms the
    /// call: without a form, it is an error on every replay.
    #[inline]
    fn input(&self, input: Option<Bound<'_, PyAny>>) -> PyResult<Input<Kept<PyAny>>> {
        match input {
            Some(value) if self.may_be_deferred(&value) || self.is_confirmed_ahead(value.py()) => {
                Ok(Input::Deferred(Kept::new(value.unbind())))
            }
            input => self.data(input),
        }
    }

    /// The payload of an event that is sent, which is as a call's argument. Its confirmation is not looked for: events
    /// that others sent look the same.
    fn data(&self, data: Option<Bound<'_, PyAny>>) -> PyResult<Input<Kept<PyAny>>> {
        match data {
            None => Ok(Input::None),
            Some(value) if self.may_be_deferred(&value) => Ok(Input::Deferred(Kept::new(value.unbind()))),
            Some(value) => Ok(Input::Encoded(payload::encode(&value)?.into())),
        }
    }

    #[inline]
    fn may_be_deferred(&self, value: &Bound<'_, PyAny>) -> bool {
        self.replaying.load(Ordering::Relaxed) && payload::is_encodable(value)
    }

    /// Whether the history confirms the call that is made next.
    fn is_confirmed_ahead(&self, py: Python<'_>) -> bool {
        if !self.replaying.load(Ordering::Relaxed) {
            return false;
        }
        let state = &mut *self.lock(py);
        state.confirmed_ahead.asked_for = true;
        let next = state.orchestration.sequence().saturating_add(1);
        state.confirmed_ahead.ids.binary_search(&next).is_ok()
    }

    /// Takes note of the calls that these events confirm, which are applied next.
    pub(crate) fn see_ahead(&self, py: Python<'_>, events: &[Event<'_>]) {
        let ahead = &mut self.lock(py).confirmed_ahead;
        ahead.ids.clear();
        if std::mem::take(&mut ahead.asked_for) && self.replaying.load(Ordering::Relaxed) {
            let confirmations = events.iter().filter(|event| {
                matches!(event.event_type, EventType::TaskScheduled | EventType::SubOrchestrationInstanceCreated)
            });
            ahead.ids.extend(confirmations.map(|event| event.id));
            ahead.ids.sort_unstable();
        }
    }

    /// Makes a call, or counts one whose arguments were refused.
    #[inline]
    fn counted<T>(&self, py: Python<'_>, method: Method, make: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
        make().inspect_err(|_| self.lock(py).orchestration.reject_call(method))
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RuntimeContext>()
}
