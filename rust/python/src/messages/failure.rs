//! Failures: the chain of exceptions that an activity or orchestrator ended with.

use durabletask_proto::TaskFailureDetails;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// One exception: class name, message, stack trace, and whether trying again is of no use.
pub(super) type Link = (String, String, Option<String>, bool);

/// The message for a chain of exceptions, the outermost first, each one the cause of the one before it.
pub(super) fn from_chain(chain: Vec<Link>) -> Option<TaskFailureDetails> {
    chain.into_iter().rev().fold(None, |inner, link| {
        let (error_type, error_message, stack_trace, is_non_retriable) = link;
        Some(TaskFailureDetails {
            error_type,
            error_message,
            stack_trace,
            inner_failure: inner.map(Box::new),
            is_non_retriable,
        })
    })
}

/// `(message, error_type, stack_trace | None, inner | None)`; `inner` has the same shape.
pub(super) fn to_tuple<'py>(py: Python<'py>, failure: &TaskFailureDetails) -> PyResult<Bound<'py, PyTuple>> {
    let inner = failure.inner_failure.as_deref().map(|inner| to_tuple(py, inner)).transpose()?;
    (&failure.error_message, &failure.error_type, failure.stack_trace.as_deref().filter(|text| !text.is_empty()), inner)
        .into_pyobject(py)
}
