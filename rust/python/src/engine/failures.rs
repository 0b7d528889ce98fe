//! Failures on their way between Python exceptions, tasks and the sidecar's failure details.

use durabletask_core::error::Error;
use durabletask_core::{FailureDetails, LastFailure, wire};
use pyo3::exceptions::{PyException, PyGeneratorExit, PyMemoryError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::python;

/// Why a task failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// As the history tells it.
    Recorded { message: String, error_type: String, error_message: String, stack_trace: Option<String> },
    /// As whoever called `CompletableTask.fail` tells it.
    Given { message: String, details: Py<PyAny> },
    /// The time to wait for it is over.
    TimedOut { message: String },
}

impl Failure {
    pub(crate) fn recorded(message: String, failure: &wire::Failure<'_>) -> Self {
        Self::Recorded {
            message,
            error_type: failure.error_type.to_owned(),
            error_message: failure.message.to_owned(),
            stack_trace: failure.stack_trace.map(str::to_owned),
        }
    }

    /// A new `TaskFailedError` or `TimeoutError`. It is not kept: its traceback holds the orchestrator's frame, which holds the task.
    pub(crate) fn exception(&self, py: Python<'_>) -> PyResult<PyErr> {
        let class = python::TASK_FAILED_ERROR.get(py)?;
        let exception = match self {
            Self::TimedOut { message } => return Ok(PyTimeoutError::new_err(message.clone())),
            Self::Given { message, details } => class.call1((message, details))?,
            Self::Recorded { message, error_type, error_message, stack_trace } => {
                let details = python::FAILURE_DETAILS.get(py)?.call1((error_message, error_type, stack_trace))?;
                class.call1((message, details))?
            }
        };
        Ok(PyErr::from_value(exception))
    }
}

impl From<LastFailure> for Failure {
    fn from(failure: LastFailure) -> Self {
        let LastFailure { message, error_type, error_message, stack_trace } = failure;
        Self::Recorded { message, error_type, error_message, stack_trace }
    }
}

/// The failure details of an exception: class name, text, traceback (the user's frames), and whether a retry is useless.
pub(crate) fn details(py: Python<'_>, error: &PyErr) -> FailureDetails {
    let error_type = error.get_type(py).name().map_or_else(|_| "Exception".to_owned(), |name| lossy(name.as_any()));
    let is_non_retriable = error_type == durabletask_core::retry::NON_RETRYABLE;
    let error_message =
        error.value(py).str().map_or_else(|_| "<the exception has no text>".to_owned(), |text| lossy(text.as_any()));
    FailureDetails {
        error_type,
        error_message,
        stack_trace: Some(stack_trace(py, error).unwrap_or_default()),
        inner_failure: None,
        is_non_retriable,
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
    let Some(traceback) = error.traceback(py) else { return Ok(String::new()) };
    let lines = python::FORMAT_TB.get(py)?.call1((traceback,))?;
    lines.try_iter()?.map(|line| line.map(|line| lossy(&line))).collect()
}

/// Text that may hold lone surrogates, which no message can.
fn lossy(text: &Bound<'_, PyAny>) -> String {
    text.cast::<pyo3::types::PyString>().map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
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
fn whereabouts(py: Python<'_>, code: &Code<'_, '_>) -> String {
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
