//! The context's methods, as orchestrators call them. What they do is told here for `help(ctx.call_activity)`, and in
//! `durabletask._contexts` for those who read the public class.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use durabletask_core::error::Method;
use durabletask_core::retry::RetryPolicy;
use durabletask_core::{ActivityCall, Input, Orchestration, SubOrchestrationCall, Wait};
use pyo3::exceptions::{PyDeprecationWarning, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use pyo3::{PyTraverseError, PyVisit};

use super::convert::{self, Memory, Named};
use super::{ConfirmedAhead, Propagated, RuntimeContext, State};
use crate::failures::Failure;
use crate::gil::{Guarded, SetOnce};
use crate::kept::Kept;
use crate::tasks::{About, Task, TaskClass, new_task};
use crate::{payload, python};

#[pymethods]
impl RuntimeContext {
    #[new]
    fn new(instance_id: &Bound<'_, PyString>) -> PyResult<Self> {
        Ok(Self {
            instance_id: instance_id.clone().unbind(),
            replaying: AtomicBool::new(true),
            handed: AtomicUsize::new(0),
            reader: SetOnce::new(),
            state: Guarded::new(State {
                orchestration: Orchestration::new(instance_id.to_str()?),
                names: Memory::new(),
                policies: Memory::new(),
                confirmed_ahead: ConfirmedAhead::default(),
                propagated: None,
                zone: None,
            }),
        })
    }

    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 hands it over")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.visit(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        self.clear(py);
    }

    /// Has payloads read by `reader(text)`; orchestrators are then handed the text of their input. To be called once, before
    /// the orchestrator starts.
    fn _read_payloads_with(&self, py: Python<'_>, reader: Py<PyAny>) {
        let _ = self.reader.set(py, reader);
    }

    /// The id of this orchestration: chosen by whoever started it, or generated.
    #[getter]
    fn instance_id(&self, py: Python<'_>) -> Py<PyString> {
        self.instance_id.clone_ref(py)
    }

    /// The application this orchestration runs in; `None` before it has started.
    #[getter]
    fn app_id(&self, py: Python<'_>) -> Option<String> {
        self.lock(py).orchestration.app_id().map(str::to_owned)
    }

    /// When the sidecar began this turn: UTC, without tzinfo, the same on every replay.
    #[getter]
    fn current_utc_datetime<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let state = self.lock(py);
        let now = state.orchestration.now();
        let zone = state.zone.as_ref().map(|zone| zone.clone_ref(py));
        drop(state);
        match zone {
            Some(zone) => convert::datetime_in(now, zone.bind(py)),
            None => convert::datetime(py, now),
        }
    }

    /// Tests set the clock, in any zone; in a turn the history does.
    #[setter]
    fn set_current_utc_datetime(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let now = convert::timestamp(value)?;
        let zone = value.getattr(intern!(py, "tzinfo"))?;
        let mut state = self.lock(py);
        state.orchestration.set_now(now);
        let before = std::mem::replace(&mut state.zone, (!zone.is_none()).then(|| zone.unbind()));
        drop(state);
        drop(before); // it may be of a class with code of its own
        Ok(())
    }

    /// True while the orchestrator only repeats what its history already holds. For side effects that should happen once,
    /// such as log lines; control flow must not depend on it.
    #[getter]
    fn is_replaying(&self) -> bool {
        self.replaying.load(Ordering::Relaxed)
    }

    /// Publishes a text that clients find as `OrchestrationState.serialized_custom_status`. It is sent with the end of the
    /// turn, and stays until it is replaced. Anything but a string is encoded as JSON, with a DeprecationWarning.
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

    /// A task that completes at a point in time (UTC), or after a delay, which is counted from `current_utc_datetime`. The timer
    /// lives in the sidecar: it outlasts this process, and may be months away.
    ///
    /// Raises TypeError if `fire_at` is neither a datetime nor a timedelta, OverflowError if it is outside the years 1 to 9999.
    fn create_timer<'py>(&self, fire_at: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Task>> {
        let py = fire_at.py();
        self.counted(py, Method::CreateTimer, || {
            let now = self.lock(py).orchestration.now();
            let fire_at = convert::fire_time(fire_at, now, "create_timer")?;
            let id = self.lock(py).orchestration.sequence().saturating_add(1);
            let task = new_task(py, TaskClass::Timer, About::Timer(fire_at), id)?;
            self.lock(py).orchestration.create_timer(fire_at, Kept::new(task.clone().unbind()));
            Ok(task)
        })
    }

    /// Schedules an activity; the task that is returned has its result.
    ///
    /// `activity` is the function, or the name it is registered under; `input` a value that can be written as JSON;
    /// `retry_policy` says when and how often to try again after a failure (None: never); `app_id` is the application whose
    /// worker shall run it (None: this one); `propagation` how much history it is shown; `timeout` (a timedelta) how long it
    /// may take, with a retry policy each attempt. If it fails for good, the task fails with `TaskFailedError`; if its time is
    /// over, with `TimeoutError`, and what comes of it later is ignored.
    ///
    /// Raises ValueError if `activity` has no name, TypeError if `input` cannot be written as JSON.
    #[pyo3(signature = (activity, *, input=None, retry_policy=None, app_id=None, propagation=None, timeout=None))]
    #[allow(clippy::too_many_arguments, reason = "keywords of a Python method")]
    fn call_activity<'py>(
        &self,
        activity: &Bound<'py, PyAny>,
        input: Option<Bound<'py, PyAny>>,
        retry_policy: Option<&Bound<'py, PyAny>>,
        app_id: Option<&str>,
        propagation: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Task>> {
        let py = activity.py();
        self.counted(py, Method::CallActivity, || {
            let policy = self.policy_of(retry_policy)?;
            let propagation = convert::propagation(propagation)?;
            let timeout = convert::timeout(timeout)?;
            let input = self.input(input)?;
            let (Named { name, text }, id) = self.named(activity)?;
            let task = new_task(py, class_of_call(policy.as_ref()), About::Activity(text), id)?;
            let handle = Kept::new(task.clone().unbind());
            let call = ActivityCall { name, input, app_id: convert::shared_text(app_id), propagation, timeout };
            self.lock(py).orchestration.call_activity(call, policy, handle);
            Ok(task)
        })
    }

    /// Starts another orchestration; the task that is returned has its result.
    ///
    /// `orchestrator` is the function, or the name it is registered under; `input` a value that can be written as JSON;
    /// `instance_id` the id to give it (None: one derived from this orchestration's); `retry_policy`, `app_id`, `propagation` and
    /// `timeout` are as for `call_activity`; one whose time is over goes on by itself. If it fails for good, the task fails with `TaskFailedError`.
    ///
    /// Raises ValueError if `orchestrator` has no name, TypeError if `input` cannot be written as JSON.
    #[pyo3(signature = (
        orchestrator, *, input=None, instance_id=None, retry_policy=None, app_id=None, propagation=None, timeout=None
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
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Task>> {
        let py = orchestrator.py();
        self.counted(py, Method::CallSubOrchestrator, || {
            let policy = self.policy_of(retry_policy)?;
            let propagation = convert::propagation(propagation)?;
            let timeout = convert::timeout(timeout)?;
            let input = self.input(input)?;
            let (Named { name, text }, id) = self.named(orchestrator)?;
            let task = new_task(py, class_of_call(policy.as_ref()), About::SubOrchestration(text), id)?;
            let handle = Kept::new(task.clone().unbind());
            let (instance_id, app_id) = (convert::shared_text(instance_id), convert::shared_text(app_id));
            let call = SubOrchestrationCall { name, input, instance_id, app_id, propagation, timeout };
            self.lock(py).orchestration.call_sub_orchestration(call, policy, handle);
            Ok(task)
        })
    }

    /// A task that completes with the payload of the next event of this name, which is compared without regard to case. Events
    /// that arrive before anyone waits are kept, first in, first out.
    ///
    /// `timeout` is how long to wait, from `current_utc_datetime`, or until when (UTC); None: for ever. If the event does not come
    /// in time, the task fails with the builtin TimeoutError.
    ///
    /// Raises TypeError if `name` is no string, or `timeout` is neither; OverflowError if it ends outside the years 1 to 9999.
    #[pyo3(signature = (name, *, timeout=None))]
    fn wait_for_external_event<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Task>> {
        let py = name.py();
        let label = name;
        let name = convert::text(name, "wait_for_external_event: the event's name")?;
        let (now, semantics) = {
            let state = self.lock(py);
            (state.orchestration.now(), state.orchestration.semantics())
        };
        let (until, message) = convert::event_timeout(name, timeout, now, semantics)?;
        let label = convert::plain(label.cast::<PyString>()?).unbind();
        let task = new_task(py, TaskClass::Completable, About::Event(label), 0)?;
        let wait =
            self.lock(py).orchestration.wait_for_external_event(name, until, message, Kept::new(task.clone().unbind()));
        match wait {
            Wait::Pending => {}
            Wait::Arrived(payload) => {
                let value = self.read(py, payload.as_deref())?;
                Task::set_result(&task, value)?;
            }
            Wait::TimedOut(message) => Task::set_failure(&task, Failure::TimedOut { message })?,
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
            let data = self.data(data)?;
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
        // Code that decoding ran may have asked for the same.
        let before = match &mut self.lock(py).propagated {
            Some(propagated) => propagated.decoded.replace(decoded.clone_ref(py)),
            None => None,
        };
        drop(before);
        Ok(Some(decoded))
    }

    /// Begins anew, under the same instance id, with an empty history and `new_input` as input. Tasks that have not completed are
    /// given up; with `save_events`, events that nobody has waited for yet are handed on to the next execution.
    #[pyo3(signature = (new_input, *, save_events=false))]
    fn continue_as_new(&self, py: Python<'_>, new_input: Option<Py<PyAny>>, save_events: bool) {
        let input = new_input.map_or(Input::None, |input| Input::Deferred(Kept::new(input)));
        self.lock(py).orchestration.continue_as_new(input, save_events);
    }

    /// Whether this execution takes the new branch of a change to the orchestrator's code: True for executions that reach this
    /// call for the first time now, or did so with the change in place; False for those that passed it before the change
    /// existed. The answer is kept in the history.
    fn is_patched(&self, py: Python<'_>, patch_name: &str) -> bool {
        self.lock(py).orchestration.is_patched(patch_name)
    }

    /// A UUID that no other call in this execution returns, and that a replay returns again. In spite of its name a version 5
    /// UUID, as in other Durable Task SDKs.
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

    /// The same as `uuid4`, under the name that other SDKs give it.
    fn new_guid<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.uuid4(py)
    }
}

fn class_of_call(policy: Option<&Arc<RetryPolicy>>) -> TaskClass {
    if policy.is_some() { TaskClass::Retryable } else { TaskClass::Completable }
}
