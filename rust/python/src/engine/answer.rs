//! Between bytes and turns: requests that leave out their past, and the answers to requests.

use durabletask_core::wire::{Corrupt, Request, Span, complete_request};
use durabletask_core::{FailureDetails, Orchestration, decode_failure_response};
use durabletask_proto::OrchestratorResponse;
use durabletask_proto::prost::Message;
use pyo3::exceptions::PyLookupError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::context::RuntimeContext;
use crate::{failures, gil, payload};

/// Why a request has no answer of its own.
pub(super) enum Unanswered {
    /// It can not be read: answered with a failure under action id -1.
    Corrupt(Corrupt),
    /// The same, for what Python raised on the way.
    Raised(PyErr),
    /// It is not answered at all: it leaves out a past that is not known here, and that could not be had either; the code
    /// does not fit and is to stall; or what it raised is about the process.
    Left(PyErr),
}

impl From<PyErr> for Unanswered {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<Corrupt> for Unanswered {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

pub(super) fn decode<'a>(py: Python<'_>, request: Span<'a>) -> Result<Request<'a>, Corrupt> {
    gil::work_through(py, request.bytes.len(), || Request::decode(request))
}

pub(super) fn encode<'py>(py: Python<'py>, response: &OrchestratorResponse) -> Bound<'py, PyBytes> {
    let encoded = gil::work_through(py, response.encoded_len(), || response.encode_to_vec());
    PyBytes::new(py, &encoded)
}

/// The request with the past that it leaves out; `None` if it leaves nothing out.
pub(super) fn whole_request(
    request: &Request<'_>,
    fetch_history: Option<&Bound<'_, PyAny>>,
) -> Result<Option<Vec<u8>>, Unanswered> {
    let Some(left_out) = request.cached_count else { return Ok(None) };
    let unavailable = |reason: String| {
        let message = format!(
            "{}: the sidecar left out {left_out} events that this worker does not have, {reason}",
            request.instance_id
        );
        Unanswered::Left(PyLookupError::new_err(message))
    };
    let Some(fetch_history) = fetch_history else {
        return Err(unavailable("and there is no way to fetch them".to_owned()));
    };
    let history = fetch_history.call1((request.instance_id,)).map_err(Unanswered::Left)?;
    let history = history.cast::<PyBytes>().map_err(PyErr::from)?;
    let stored = Span::whole(history.as_bytes());
    let whole = gil::work_through(history.py(), stored.bytes.len(), || complete_request(request, stored));
    match whole {
        Ok(Some(whole)) => Ok(Some(whole)),
        Ok(None) => Err(unavailable("and its history is shorter than that".to_owned())),
        Err(corrupt) => Err(unavailable(format!("and its history can not be read: {corrupt}"))),
    }
}

/// Builds the response. The state is taken out of the context meanwhile: encoding runs user code, and what that calls on
/// the context must neither wait for this nor change it.
pub(super) fn respond(
    py: Python<'_>,
    context: &RuntimeContext,
    completion_token: &str,
) -> PyResult<OrchestratorResponse> {
    let mut orchestration = {
        let state = &mut *context.lock(py);
        let empty = Orchestration::new(state.orchestration.instance_id());
        std::mem::replace(&mut state.orchestration, empty)
    };
    let response = orchestration.response(completion_token, |value| payload::encode(value.bind(py)));
    let response = match response {
        Ok(response) => Ok(response),
        Err(error) => {
            orchestration.fail_over(failures::details(py, &error));
            orchestration.response(completion_token, |value| payload::encode(value.bind(py)))
        }
    };
    let calls = std::mem::replace(&mut context.lock(py).orchestration, orchestration);
    // What was called meanwhile, which may hold the last reference to something.
    drop(calls);
    response
}

pub(super) fn unreadable(instance_id: &str, completion_token: &str, corrupt: Corrupt) -> OrchestratorResponse {
    let details = FailureDetails {
        error_type: "OrchestrationStateError".to_owned(),
        error_message: durabletask_core::Error::Corrupt(corrupt).to_string(),
        ..FailureDetails::default()
    };
    decode_failure_response(instance_id.to_owned(), completion_token.to_owned(), details)
}
