//! Failures on their way between Python exceptions, tasks and the sidecar's failure details.

use durabletask_core::error::Error;
use durabletask_core::retry::NON_RETRYABLE;
use durabletask_core::{FailureDetails, LastFailure, wire};
use durabletask_proto as pb;
use pb::orchestrator_action::OrchestratorActionType;
use pb::prost::Message;
use pyo3::exceptions::{
    PyBaseException, PyException, PyGeneratorExit, PyMemoryError, PyRuntimeError, PyTimeoutError, PyTypeError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::python;

/// Failures that are told of, at most, each behind the one before it.
const LONGEST_CHAIN: usize = 16;

/// Why a task failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// As the history tells it.
    Recorded(Box<LastFailure>),
    /// As whoever called `CompletableTask.fail` tells it.
    Given { message: String, details: Py<PyAny> },
    /// As a class of the program's own has it.
    Raised(Py<PyBaseException>),
    /// The time to wait for it is over.
    TimedOut { message: String },
}

impl Failure {
    pub(crate) fn recorded(message: String, failure: &wire::Failure<'_>) -> Self {
        Self::from(LastFailure {
            message,
            error_type: failure.error_type.to_owned(),
            error_message: failure.message.to_owned(),
            stack_trace: failure.stack_trace.map(str::to_owned),
            inner: failure.inner.map(Box::from),
        })
    }

    /// Visits what it holds, for Python's collector of cycles.
    pub(crate) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Given { details, .. } => visit.call(details),
            Self::Raised(exception) => visit.call(exception),
            Self::Recorded(_) | Self::TimedOut { .. } => Ok(()),
        }
    }

    /// A new `TaskFailedError` or `TimeoutError`. It is not kept: its traceback holds the orchestrator's frame, which holds the task.
    pub(crate) fn exception(&self, py: Python<'_>) -> PyResult<PyErr> {
        let class = python::TASK_FAILED_ERROR.get(py)?;
        let exception = match self {
            Self::TimedOut { message } => return Ok(PyTimeoutError::new_err(message.clone())),
            Self::Raised(exception) => exception.bind(py).clone().into_any(),
            Self::Given { message, details } => class.call1((message, details))?,
            Self::Recorded(failure) => {
                let LastFailure { message, error_type, error_message, stack_trace, inner } = &**failure;
                // What came over the wire as part of an event may still be no message; then it says nothing.
                let inner = inner.as_deref().and_then(|inner| FailureDetails::decode(inner).ok());
                let inner = inner.map(|inner| python_details(py, &inner)).transpose()?;
                let details =
                    python::FAILURE_DETAILS.get(py)?.call1((error_message, error_type, stack_trace, inner))?;
                class.call1((message, details))?
            }
        };
        Ok(PyErr::from_value(exception))
    }
}

impl From<LastFailure> for Failure {
    fn from(failure: LastFailure) -> Self {
        Self::Recorded(Box::new(failure))
    }
}

/// A `durabletask.task.FailureDetails`.
fn python_details<'py>(py: Python<'py>, details: &FailureDetails) -> PyResult<Bound<'py, PyAny>> {
    let inner = details.inner_failure.as_deref().map(|inner| python_details(py, inner)).transpose()?;
    let class = python::FAILURE_DETAILS.get(py)?;
    class.call1((&details.error_message, &details.error_type, details.stack_trace.as_deref(), inner))
}

/// The same the other way round, with `links` failures at most behind it.
fn details_of_task(details: &Bound<'_, PyAny>, links: usize) -> PyResult<FailureDetails> {
    let inner = details.getattr("inner_failure")?;
    let inner_failure = if inner.is_none() || links == 0 { None } else { Some(details_of_task(&inner, links - 1)?) };
    let error_type = lossy(&details.getattr("error_type")?);
    let stack_trace = details.getattr("stack_trace")?;
    Ok(FailureDetails {
        is_non_retriable: error_type == NON_RETRYABLE,
        error_type,
        error_message: lossy(&details.getattr("message")?),
        stack_trace: (!stack_trace.is_none()).then(|| lossy(&stack_trace)),
        inner_failure: inner_failure.map(Box::new),
    })
}

/// The name of an exception's class.
fn name_of(py: Python<'_>, error: &PyErr) -> String {
    error.get_type(py).name().map_or_else(|_| "Exception".to_owned(), |name| lossy(name.as_any()))
}

/// The failure details of an exception: class name, text, traceback (the user's frames), whether a retry is useless, and what
/// is behind it: the failure of the task that it tells of, or else the exception that it was raised from.
pub(crate) fn details(py: Python<'_>, error: &PyErr) -> FailureDetails {
    details_with(py, error, &mut Vec::new())
}

/// The same; `outer` are the exceptions that this one is behind of.
fn details_with(py: Python<'_>, error: &PyErr, outer: &mut Vec<*mut pyo3::ffi::PyObject>) -> FailureDetails {
    outer.push(error.value(py).as_ptr());
    let error_type = name_of(py, error);
    let is_non_retriable = error_type == NON_RETRYABLE;
    let error_message = error.value(py).str().map_or_else(
        |broken| format!("<str() of the exception raised {}>", name_of(py, &broken)),
        |text| lossy(text.as_any()),
    );
    let hint = if error.is_instance_of::<PyRuntimeError>(py) { hint_at_event_loop(&error_message) } else { "" };
    FailureDetails {
        error_type,
        error_message: error_message + hint,
        stack_trace: Some(stack_trace(py, error).unwrap_or_default()),
        inner_failure: inner_failure(py, error, outer).map(Box::new),
        is_non_retriable,
    }
}

fn inner_failure(py: Python<'_>, error: &PyErr, outer: &mut Vec<*mut pyo3::ffi::PyObject>) -> Option<FailureDetails> {
    let links = LONGEST_CHAIN.checked_sub(outer.len() + 1)?;
    if error.matches(py, python::TASK_FAILED_ERROR.get(py).ok()?).ok()?
        && let Ok(details) = error.value(py).getattr(intern!(py, "details"))
        && let Ok(details) = details_of_task(&details, links)
    {
        return Some(details);
    }
    let behind = error.cause(py).or_else(|| exceptions_in(py, error)?.get_item(0).ok().map(PyErr::from_value))?;
    if outer.contains(&behind.value(py).as_ptr()) {
        return None; // a circle of causes
    }
    Some(details_with(py, &behind, outer))
}

/// What is in an `ExceptionGroup`.
fn exceptions_in<'py>(py: Python<'py>, error: &PyErr) -> Option<Bound<'py, PyTuple>> {
    let group = error.value(py);
    if !group.hasattr(intern!(py, "derive")).ok()? {
        return None;
    }
    group.getattr(intern!(py, "exceptions")).ok()?.cast_into::<PyTuple>().ok()
}

/// What to add to what asyncio says when it finds no event loop.
fn hint_at_event_loop(message: &str) -> &'static str {
    if message == "no running event loop" || message.starts_with("There is no current event loop") {
        ": orchestrators run without one, since they are replayed. Wait with ctx.create_timer instead of asyncio.sleep, with          when_all and when_any instead of gather and wait, and do everything else in activities"
    } else {
        ""
    }
}

/// How a turn ended its orchestration, if it did.
pub(crate) fn completion(response: &pb::OrchestratorResponse) -> Option<&pb::CompleteOrchestrationAction> {
    match response.actions.last()?.orchestrator_action_type.as_ref()? {
        OrchestratorActionType::CompleteOrchestration(complete) => Some(complete),
        _ => None,
    }
}

/// Whether an exception is about the process, or the thread, and not an end of the orchestrator: a turn that it ends has no
/// answer, so that the sidecar hands it out again. What code raises to end itself or its tasks is an end like any other.
pub(crate) fn ends_more_than_the_orchestrator(py: Python<'_>, error: &PyErr) -> bool {
    if error.is_instance_of::<PyException>(py) {
        return error.is_instance_of::<PyMemoryError>(py);
    }
    let is_cancelled = || python::CANCELLED_ERROR.get(py).is_ok_and(|class| error.is_instance(py, class));
    !(error.is_instance_of::<PyGeneratorExit>(py) || is_cancelled())
}

fn stack_trace(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    let lines = if exceptions_in(py, error).is_some() {
        // Its text says only how many they are.
        python::FORMAT_EXCEPTION.get(py)?.call1((error.get_type(py), error.value(py), error.traceback(py)))?
    } else {
        let Some(traceback) = error.traceback(py) else { return Ok(String::new()) };
        python::FORMAT_TB.get(py)?.call1((traceback,))?
    };
    lines.try_iter()?.map(|line| line.map(|line| lossy(&line))).collect()
}

/// Text that may hold lone surrogates, which no message can.
fn lossy(text: &Bound<'_, PyAny>) -> String {
    let Ok(text) = text.cast::<PyString>() else { return String::new() };
    match text.to_str() {
        Ok(text) => text.to_owned(),
        Err(_) => text
            .call_method1("encode", ("utf-8", "replace"))
            .and_then(|bytes| Ok(String::from_utf8_lossy(bytes.cast::<PyBytes>()?.as_bytes()).into_owned()))
            .unwrap_or_default(),
    }
}

/// What is known of the user's code when something is to be said about it.
pub(crate) struct Code<'a, 'py> {
    /// The orchestrator, if it was started in this turn.
    pub(crate) function: Option<&'a Bound<'py, PyAny>>,
    /// Its generator, or what drives its coroutine.
    pub(crate) routine: Option<&'a Bound<'py, PyAny>>,
    /// What it raised.
    pub(crate) raised: Option<&'a PyErr>,
}

/// The Python exception for an error of the engine. It carries the traceback of what the code had raised.
pub(crate) fn engine_error(py: Python<'_>, error: &Error, code: &Code<'_, '_>) -> PyErr {
    match error {
        Error::NonDeterminism(_) => {
            let exception = raised(py, &python::NON_DETERMINISM_ERROR, format!("{error}{}", whereabouts(py, code)));
            if let Some(raised) = code.raised {
                exception.set_traceback(py, raised.traceback(py));
                exception.set_cause(py, Some(raised.clone_ref(py)));
            }
            exception
        }
        Error::State(_) | Error::Corrupt(_) => raised(py, &python::ORCHESTRATION_STATE_ERROR, error.to_string()),
    }
}

/// Where the code is, was last, or begins, whichever is known. Only ever an addition to a message, so it never fails.
pub(crate) fn whereabouts(py: Python<'_>, code: &Code<'_, '_>) -> String {
    let raised_at = code.raised.and_then(|error| error.traceback(py));
    if let Some(place) = raised_at.and_then(|traceback| source_line(py, &python::RAISED_AT, traceback.as_any())) {
        return format!(" The orchestrator raised it at {place}");
    }
    if let Some(place) = stands_at(py, code.routine) {
        return format!(" The orchestrator stands at {place}");
    }
    let begins_at = |code: &Bound<'_, PyAny>| source_line(py, &python::BEGINS_AT, code);
    let place = code.routine.and_then(begins_at).or_else(|| code.function.and_then(begins_at));
    place.map_or_else(String::new, |place| format!(" The orchestrator begins at {place}"))
}

/// Where the user's code has returned: the line its frame is left at, or else the line at which it begins.
pub(crate) fn ended_at(
    py: Python<'_>,
    frame: Option<&Bound<'_, PyAny>>,
    function: Option<&Bound<'_, PyAny>>,
) -> Option<String> {
    let place = frame.and_then(|frame| source_line(py, &python::ENDED_AT, frame));
    place.or_else(|| function.and_then(|function| source_line(py, &python::BEGINS_AT, function)))
}

/// The error for what an orchestrator can not wait for.
pub(crate) fn no_task(yielded: &Bound<'_, PyAny>, whereabouts: &str) -> PyErr {
    let class = yielded.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string());
    let hint = source_line(yielded.py(), &python::NO_TASK_HINT, yielded).unwrap_or_default();
    PyTypeError::new_err(format!(
        "The orchestrator yielded or awaited an object of type {class}, which is no durable task. Only tasks that the context \
         returned (call_activity, create_timer, …), when_all and when_any can be waited for; do everything else in an \
         activity.{hint}{whereabouts}"
    ))
}

/// Where the user's code waits: file, line and text.
pub(crate) fn stands_at(py: Python<'_>, routine: Option<&Bound<'_, PyAny>>) -> Option<String> {
    source_line(py, &python::STANDS_AT, routine?)
}

fn source_line(py: Python<'_>, find: &python::Import, of: &Bound<'_, PyAny>) -> Option<String> {
    let place = find.get(py).ok()?.call1((of,)).ok()?;
    (!place.is_none()).then(|| lossy(&place))
}

/// An exception of a class that is defined in Python; if even that can not be found, the error of looking for it.
pub(crate) fn raised(py: Python<'_>, class: &python::Import, message: String) -> PyErr {
    class
        .get(py)
        .and_then(|class| class.call1(PyTuple::new(py, [message])?))
        .map_or_else(|error| error, PyErr::from_value)
}
