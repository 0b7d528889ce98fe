//! What a worker reports: results of activities, and turns that could not be run or delivered.

use durabletask_proto as proto;
use durabletask_proto::OrchestrationStatus;
use durabletask_proto::orchestrator_action::OrchestratorActionType;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::encode;
use super::failure::{self, Link};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(encode_activity_result, module)?)?;
    module.add_function(wrap_pyfunction!(encode_activity_failure, module)?)?;
    module.add_function(wrap_pyfunction!(encode_orchestrator_failure, module)?)?;
    module.add_function(wrap_pyfunction!(encode_orchestrator_stall, module)?)
}

#[pyfunction]
fn encode_activity_result(
    py: Python<'_>,
    instance_id: String,
    task_id: i32,
    completion_token: String,
    result: Option<String>,
) -> PyResult<Bound<'_, PyBytes>> {
    let response = proto::ActivityResponse { instance_id, task_id, result, failure_details: None, completion_token };
    encode(py, &response)
}

#[pyfunction]
fn encode_activity_failure(
    py: Python<'_>,
    instance_id: String,
    task_id: i32,
    completion_token: String,
    failure: Vec<Link>,
) -> PyResult<Bound<'_, PyBytes>> {
    let response = proto::ActivityResponse {
        instance_id,
        task_id,
        result: None,
        failure_details: failure::from_chain(failure),
        completion_token,
    };
    encode(py, &response)
}

/// A turn that ends its orchestration as FAILED. The id -1 marks a completion that the orchestrator did not ask for.
#[pyfunction]
fn encode_orchestrator_failure(
    py: Python<'_>,
    instance_id: String,
    completion_token: String,
    failure: Vec<Link>,
) -> PyResult<Bound<'_, PyBytes>> {
    let completion = proto::CompleteOrchestrationAction {
        orchestration_status: OrchestrationStatus::Failed.into(),
        failure_details: failure::from_chain(failure),
        ..Default::default()
    };
    let response = proto::OrchestratorResponse {
        instance_id,
        completion_token,
        actions: vec![proto::OrchestratorAction {
            id: -1,
            router: None,
            orchestrator_action_type: Some(OrchestratorActionType::CompleteOrchestration(completion)),
        }],
        ..Default::default()
    };
    encode(py, &response)
}

/// A turn that leaves its orchestration STALLED, until a worker with other code is connected.
#[pyfunction]
fn encode_orchestrator_stall(
    py: Python<'_>,
    instance_id: String,
    completion_token: String,
) -> PyResult<Bound<'_, PyBytes>> {
    let action = proto::OrchestratorVersionNotAvailableAction {};
    let response = proto::OrchestratorResponse {
        instance_id,
        completion_token,
        actions: vec![proto::OrchestratorAction {
            id: -1,
            router: None,
            orchestrator_action_type: Some(OrchestratorActionType::OrchestratorVersionNotAvailable(action)),
        }],
        ..Default::default()
    };
    encode(py, &response)
}
