//! `Executor`: answers orchestrator requests with the code of a registry.

use durabletask_core::wire::{Corrupt, Request, Span, WorkItem};
use durabletask_core::{FailureDetails, Orchestration, decode_failure_response};
use durabletask_proto::OrchestratorResponse;
use durabletask_proto::prost::Message;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::log::Log;
use super::turn::{Stop, Turn};
use super::{failures, payload, python};
use crate::context::RuntimeContext;

/// Runs orchestrators: `OrchestratorRequest` bytes in, `OrchestratorResponse` bytes out.
///
/// `registry` answers `get_orchestrator(name, version_name) -> (function or None, version or None)`; `logger` is a
/// `logging.Logger` or None; `context_class` makes contexts from an instance id and defaults to
/// `durabletask.worker._RuntimeOrchestrationContext`, looked up at every turn since packages replace it.
#[pyclass(frozen, module = "durabletask._core")]
pub(crate) struct Executor {
    registry: Py<PyAny>,
    logger: Py<PyAny>,
    context_class: Py<PyAny>,
}

/// Why a request has no answer of its own, and is answered with a failure under action id -1.
enum Unanswered {
    Corrupt(Corrupt),
    Raised(PyErr),
}

impl From<PyErr> for Unanswered {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

#[pymethods]
impl Executor {
    #[new]
    #[pyo3(signature = (registry, logger=None, context_class=None))]
    fn new(py: Python<'_>, registry: Py<PyAny>, logger: Option<Py<PyAny>>, context_class: Option<Py<PyAny>>) -> Self {
        let none = || py.None();
        Self { registry, logger: logger.unwrap_or_else(none), context_class: context_class.unwrap_or_else(none) }
    }

    /// Answers a serialized `OrchestratorRequest` with a serialized `OrchestratorResponse`. Whatever is wrong with the
    /// request or the orchestrator is said in the response.
    #[pyo3(signature = (request, completion_token=""))]
    fn execute<'py>(&self, request: &Bound<'py, PyBytes>, completion_token: &str) -> Bound<'py, PyBytes> {
        let response = self.answer(request.py(), Span::whole(request.as_bytes()), completion_token);
        PyBytes::new(request.py(), &response.encode_to_vec())
    }

    /// The same for the serialized `WorkItem` that holds the request and its completion token.
    fn execute_work_item<'py>(&self, item: &Bound<'py, PyBytes>) -> Bound<'py, PyBytes> {
        let py = item.py();
        let response = match WorkItem::decode(Span::whole(item.as_bytes())) {
            Ok(item) => self.answer(py, item.request, item.completion_token),
            Err(corrupt) => unreadable("", "", corrupt),
        };
        PyBytes::new(py, &response.encode_to_vec())
    }
}

impl Executor {
    fn answer(&self, py: Python<'_>, request: Span<'_>, completion_token: &str) -> OrchestratorResponse {
        let request = match Request::decode(request) {
            Ok(request) => request,
            Err(corrupt) => return unreadable("", completion_token, corrupt),
        };
        match self.turn(py, &request, completion_token) {
            Ok(response) => response,
            Err(Unanswered::Corrupt(corrupt)) => unreadable(request.instance_id, completion_token, corrupt),
            Err(Unanswered::Raised(error)) => {
                let details = failures::details(py, &error);
                decode_failure_response(request.instance_id.to_owned(), completion_token.to_owned(), details)
            }
        }
    }

    fn turn(
        &self,
        py: Python<'_>,
        request: &Request<'_>,
        completion_token: &str,
    ) -> Result<OrchestratorResponse, Unanswered> {
        if request.new_count == 0 {
            let message = format!(
                "{}: the request has {} past events and no new one; expected at least one new event",
                request.instance_id, request.past_count
            );
            return Err(failures::raised(py, &python::ORCHESTRATION_STATE_ERROR, message).into());
        }
        let registry = self.registry.bind(py);
        let log = Log::new(self.logger.bind(py).clone());
        let context = self.new_context(py, request.instance_id)?;
        let mut turn = Turn::new(registry, &log, context.clone());
        match turn.run(request) {
            Ok(()) => {}
            Err(Stop::Corrupt(corrupt)) => return Err(Unanswered::Corrupt(corrupt)),
            Err(Stop::VersionNotRegistered) => context.get().lock().orchestration.version_not_available(),
            Err(Stop::Failed(error)) => {
                let details = failures::details(py, &error);
                context.get().lock().orchestration.fail(details);
            }
        }
        let response = respond(py, context.get(), completion_token)?;
        log.turn_ended(context.get(), response.actions.len())?;
        Ok(response)
    }

    fn new_context<'py>(&self, py: Python<'py>, instance_id: &str) -> PyResult<Bound<'py, RuntimeContext>> {
        let class = self.context_class.bind(py);
        let instance_id = PyString::new(py, instance_id);
        let context = if class.is_none() {
            python::runtime_context_class(py)?.call1((instance_id,))?
        } else {
            class.call1((instance_id,))?
        };
        Ok(context.cast_into::<RuntimeContext>()?)
    }
}

/// Builds the response. The state is taken out of the context meanwhile: encoding runs user code, and what that calls on
/// the context must neither wait for this nor change it.
fn respond(py: Python<'_>, context: &RuntimeContext, completion_token: &str) -> PyResult<OrchestratorResponse> {
    let mut orchestration = {
        let state = &mut *context.lock();
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
    context.lock().orchestration = orchestration;
    response
}

fn unreadable(instance_id: &str, completion_token: &str, corrupt: Corrupt) -> OrchestratorResponse {
    let details = FailureDetails {
        error_type: "OrchestrationStateError".to_owned(),
        error_message: durabletask_core::Error::Corrupt(corrupt).to_string(),
        ..FailureDetails::default()
    };
    decode_failure_response(instance_id.to_owned(), completion_token.to_owned(), details)
}
