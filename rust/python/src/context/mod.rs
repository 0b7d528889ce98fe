//! The context that orchestrators are handed: the engine's calls, with Python's arguments.

mod convert;

use std::cell::RefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use durabletask_core::error::Method;
use durabletask_core::retry::RetryPolicy;
use durabletask_core::wire::Span;
use durabletask_core::{ActivityCall, Host, Input, Name, Orchestration, SubOrchestrationCall, Wait};
use pyo3::exceptions::{PyDeprecationWarning, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::engine::Stop;
use crate::engine::failures::Failure;
use crate::engine::{payload, python};
use crate::gil::{Guarded, SetOnce};
use crate::tasks::{Task, TaskClass, new_task};
use convert::Memory;

/// What the engine keeps for Python.
#[derive(Debug)]
pub(crate) struct PythonHost;

impl Host for PythonHost {
    type Task = Py<Task>;
    type Input = Py<PyAny>;
}

/// Base of the context that orchestrators are handed.
#[pyclass(frozen, subclass, module = "durabletask._core")]
#[derive(Debug)]
pub(crate) struct RuntimeContext {
    instance_id: Py<PyString>,
    /// The engine's own flag again, to be read without the lock.
    replaying: AtomicBool,
    /// Reads payloads in the place of `payload::decode`: called with a payload's text.
    reader: SetOnce<Py<PyAny>>,
    state: Guarded<State>,
}

/// No Python code may run while this is locked: it could come back for the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) orchestration: Orchestration<PythonHost>,
    names: Memory<Name>,
    policies: Memory<Arc<RetryPolicy>>,
    propagated: Option<Propagated>,
}

/// The histories that the instance was handed: a serialized `PropagatedHistory`, and its length; decoded once asked for.
#[derive(Debug)]
struct Propagated {
    bytes: usize,
    serialized: Py<PyBytes>,
    decoded: Option<Py<PyAny>>,
}

impl RuntimeContext {
    #[inline]
    pub(crate) fn lock(&self, py: Python<'_>) -> RefMut<'_, State> {
        self.state.lock(py)
    }

    /// The instance's id.
    pub(crate) fn id(&self, py: Python<'_>) -> &str {
        self.instance_id.to_str(py).unwrap_or_default()
    }

    /// A payload's value; no payload is `None`.
    pub(crate) fn read<'py>(&self, py: Python<'py>, json: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        let Some(json) = json else { return Ok(py.None().into_bound(py)) };
        match self.reader.get(py) {
            None => payload::decode(py, json),
            Some(reader) => reader.bind(py).call1((json,)),
        }
    }

    /// The same for a payload that is not yet checked to be text.
    #[inline]
    pub(crate) fn read_recorded<'py>(
        &self,
        py: Python<'py>,
        json: Option<Span<'_>>,
    ) -> Result<Bound<'py, PyAny>, Stop> {
        let Some(json) = json else { return Ok(py.None().into_bound(py)) };
        if self.reader.get(py).is_none()
            && let Some(value) = payload::decode_short(py, json.bytes)
        {
            return Ok(value);
        }
        Ok(self.read(py, Some(json.text()?))?)
    }

    /// What an orchestrator is handed as its input. One whose context has a reader is handed the text itself: how to read
    /// it depends on its annotations.
    pub(crate) fn read_input<'py>(&self, py: Python<'py>, json: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
        match json {
            Some(json) if self.reader.get(py).is_some() => Ok(PyString::new(py, json).into_any()),
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

    /// How much of others' histories is kept, in bytes.
    pub(crate) fn propagated_bytes(&self, py: Python<'_>) -> usize {
        self.lock(py).propagated.as_ref().map_or(0, |propagated| propagated.bytes)
    }

    /// Locks the engine for a call of `function`, whose name comes along.
    fn lock_for(&self, function: &Bound<'_, PyAny>) -> PyResult<(RefMut<'_, State>, Name)> {
        let py = function.py();
        let state = self.lock(py);
        if let Some(name) = state.names.get(function) {
            return Ok((state, name));
        }
        drop(state);
        let name = convert::name_of(function)?;
        let forgotten = self.lock(py).names.insert(function, name.clone());
        drop(forgotten);
        Ok((self.lock(py), name))
    }

    fn policy_of(&self, policy: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Arc<RetryPolicy>>> {
        let Some(policy) = policy else { return Ok(None) };
        let known = self.lock(policy.py()).policies.get(policy);
        if known.is_some() {
            return Ok(known);
        }
        let read = Arc::new(convert::retry_policy(policy)?);
        let forgotten = self.lock(policy.py()).policies.insert(policy, Arc::clone(&read));
        drop(forgotten);
        Ok(Some(read))
    }

    /// A call's argument. While replaying it is left as it is, since the history has it already; a call that is really
    /// made is encoded at once, as it is now. So is a value that may have no JSON form: that is an error on every replay.
    fn input(&self, input: Option<Bound<'_, PyAny>>) -> PyResult<Input<Py<PyAny>>> {
        match input {
            None => Ok(Input::None),
            Some(value) if self.replaying.load(Ordering::Relaxed) && payload::is_encodable(&value) => {
                Ok(Input::Deferred(value.unbind()))
            }
            Some(value) => Ok(Input::Encoded(payload::encode(&value)?.into())),
        }
    }

    /// Makes a call, or counts one whose arguments were refused.
    #[inline]
    fn counted<T>(&self, py: Python<'_>, method: Method, make: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
        make().inspect_err(|_| self.lock(py).orchestration.reject_call(method))
    }
}

#[pymethods]
impl RuntimeContext {
    #[new]
    fn new(instance_id: &Bound<'_, PyString>) -> PyResult<Self> {
        Ok(Self {
            instance_id: instance_id.clone().unbind(),
            replaying: AtomicBool::new(true),
            reader: SetOnce::new(),
            state: Guarded::new(State {
                orchestration: Orchestration::new(instance_id.to_str()?),
                names: Memory::new(),
                policies: Memory::new(),
                propagated: None,
            }),
        })
    }

    /// Has payloads read by `reader(text)`; orchestrators are then handed the text of their input. To be called once, before
    /// the orchestrator starts.
    fn _read_payloads_with(&self, py: Python<'_>, reader: Py<PyAny>) {
        let _ = self.reader.set(py, reader);
    }

    #[getter]
    fn instance_id(&self, py: Python<'_>) -> Py<PyString> {
        self.instance_id.clone_ref(py)
    }

    /// The application this orchestration runs in; `None` before it has started.
    #[getter]
    fn app_id(&self, py: Python<'_>) -> Option<String> {
        self.lock(py).orchestration.app_id().map(str::to_owned)
    }

    #[getter]
    fn current_utc_datetime<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let now = self.lock(py).orchestration.now();
        convert::datetime(py, now)
    }

    /// Tests set the clock; in a turn the history does.
    #[setter]
    fn set_current_utc_datetime(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let now = convert::timestamp(value)?;
        self.lock(py).orchestration.set_now(now);
        Ok(())
    }

    #[getter]
    fn is_replaying(&self) -> bool {
        self.replaying.load(Ordering::Relaxed)
    }

    fn set_custom_status(&self, py: Python<'_>, custom_status: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let encode = |status: Bound<'_, PyAny>| {
            if let Ok(text) = status.cast::<PyString>() {
                return text.to_str().map(str::to_owned);
            }
            let message =
                c"set_custom_status takes a string; anything else is encoded as JSON for now, and will be refused \
                            in a future version: pass json.dumps(value)";
            PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), message, 1)?;
            payload::encode(&status)
        };
        let status = custom_status.map(encode).transpose()?;
        self.lock(py).orchestration.set_custom_status(status);
        Ok(())
    }

    fn create_timer<'py>(&self, fire_at: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Task>> {
        let py = fire_at.py();
        self.counted(py, Method::CreateTimer, || {
            let now = self.lock(py).orchestration.now();
            let fire_at = convert::fire_time(fire_at, now, "create_timer")?;
            let task = new_task(py, TaskClass::Timer)?;
            self.lock(py).orchestration.create_timer(fire_at, task.clone().unbind());
            Ok(task)
        })
    }

    #[pyo3(signature = (activity, *, input=None, retry_policy=None, app_id=None, propagation=None))]
    fn call_activity<'py>(
        &self,
        activity: &Bound<'py, PyAny>,
        input: Option<Bound<'py, PyAny>>,
        retry_policy: Option<&Bound<'py, PyAny>>,
        app_id: Option<&str>,
        propagation: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Task>> {
        let py = activity.py();
        self.counted(py, Method::CallActivity, || {
            let policy = self.policy_of(retry_policy)?;
            let propagation = convert::propagation(propagation)?;
            let input = self.input(input)?;
            let task = new_task(py, class_of_call(policy.as_ref()))?;
            let handle = task.clone().unbind();
            let (mut state, name) = self.lock_for(activity)?;
            let call = ActivityCall { name, input, app_id: convert::shared_text(app_id), propagation };
            state.orchestration.call_activity(call, policy, handle);
            Ok(task)
        })
    }

    #[pyo3(signature = (
        orchestrator, *, input=None, instance_id=None, retry_policy=None, app_id=None, propagation=None
    ))]
    #[allow(clippy::too_many_arguments, reason = "keywords of a Python method")]
    fn call_sub_orchestrator<'py>(
        &self,
        orchestrator: &Bound<'py, PyAny>,
        input: Option<Bound<'py, PyAny>>,
        instance_id: Option<&str>,
        retry_policy: Option<&Bound<'py, PyAny>>,
        app_id: Option<&str>,
        propagation: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Task>> {
        let py = orchestrator.py();
        self.counted(py, Method::CallSubOrchestrator, || {
            let policy = self.policy_of(retry_policy)?;
            let propagation = convert::propagation(propagation)?;
            let input = self.input(input)?;
            let task = new_task(py, class_of_call(policy.as_ref()))?;
            let handle = task.clone().unbind();
            let (instance_id, app_id) = (convert::shared_text(instance_id), convert::shared_text(app_id));
            let (mut state, name) = self.lock_for(orchestrator)?;
            let call = SubOrchestrationCall { name, input, instance_id, app_id, propagation };
            state.orchestration.call_sub_orchestration(call, policy, handle);
            Ok(task)
        })
    }

    #[pyo3(signature = (name, *, timeout=None))]
    fn wait_for_external_event<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Task>> {
        let py = name.py();
        let name = convert::text(name, "wait_for_external_event: the event's name")?;
        let (now, semantics) = {
            let state = self.lock(py);
            (state.orchestration.now(), state.orchestration.semantics())
        };
        let (until, message) = convert::event_timeout(name, timeout, now, semantics)?;
        let task = new_task(py, TaskClass::Completable)?;
        let wait = self.lock(py).orchestration.wait_for_external_event(name, until, message, task.clone().unbind());
        match wait {
            Wait::Pending => {}
            Wait::Arrived(payload) => {
                let value = self.read(py, payload.as_deref())?;
                task.get().set_result(py, value.unbind())?;
            }
            Wait::TimedOut(message) => task.get().set_failure(py, Failure::TimedOut { message })?,
        }
        Ok(task)
    }

    /// Raises an external event on another instance, and does not wait for anything.
    #[pyo3(signature = (instance_id, name, *, data=None))]
    fn send_event(
        &self,
        instance_id: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        data: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = name.py();
        self.counted(py, Method::SendEvent, || {
            let instance_id = convert::text(instance_id, "send_event: the instance's id")?;
            let name = convert::text(name, "send_event: the event's name")?;
            let data = self.input(data)?;
            if instance_id.is_empty() {
                return Err(PyValueError::new_err("send_event needs the id of an instance, found ''"));
            }
            self.lock(py).orchestration.send_event(instance_id.into(), name.into(), data);
            Ok(())
        })
    }

    /// The histories that whoever started this instance lets it see; `None` if there are none.
    fn get_propagated_history(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let serialized = match &self.lock(py).propagated {
            None => return Ok(None),
            Some(Propagated { decoded: Some(decoded), .. }) => return Ok(Some(decoded.clone_ref(py))),
            Some(Propagated { serialized, .. }) => serialized.clone_ref(py),
        };
        let decoded = python::DECODE_PROPAGATED_HISTORY.get(py)?.call1((serialized,))?.unbind();
        if let Some(propagated) = &mut self.lock(py).propagated {
            propagated.decoded = Some(decoded.clone_ref(py));
        }
        Ok(Some(decoded))
    }

    #[pyo3(signature = (new_input, *, save_events=false))]
    fn continue_as_new(&self, py: Python<'_>, new_input: Option<Py<PyAny>>, save_events: bool) {
        // The engine may have no use for the input; the last that lets go of it must be somebody who holds no lock.
        let held = new_input.as_ref().map(|input| input.clone_ref(py));
        let input = new_input.map_or(Input::None, Input::Deferred);
        self.lock(py).orchestration.continue_as_new(input, save_events);
        drop(held);
    }

    fn is_patched(&self, py: Python<'_>, patch_name: &str) -> bool {
        self.lock(py).orchestration.is_patched(patch_name)
    }

    fn uuid4<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bytes = {
            let orchestration = &mut self.lock(py).orchestration;
            let seed = orchestration.next_guid();
            seed.bytes(orchestration.instance_id())
        };
        let arguments = PyDict::new(py);
        arguments.set_item("bytes", PyBytes::new(py, &bytes))?;
        python::UUID.get(py)?.call((), Some(&arguments))
    }

    /// The id of the last action, or 0: which call got which id.
    #[getter]
    fn _last_action_id(&self, py: Python<'_>) -> i32 {
        self.lock(py).orchestration.sequence()
    }

    fn new_guid<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.uuid4(py)
    }
}

fn class_of_call(policy: Option<&Arc<RetryPolicy>>) -> TaskClass {
    if policy.is_some() { TaskClass::Retryable } else { TaskClass::Completable }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RuntimeContext>()
}
