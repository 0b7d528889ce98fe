//! What the sidecar answers to clients.

use durabletask_proto as proto;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{decode, failure, micros};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(decode_create_instance_response, module)?)?;
    module.add_function(wrap_pyfunction!(decode_get_instance_response, module)?)?;
    module.add_function(wrap_pyfunction!(decode_purge_instances_response, module)?)?;
    module.add_function(wrap_pyfunction!(decode_rerun_response, module)?)?;
    module.add_function(wrap_pyfunction!(decode_list_instance_ids_response, module)?)
}

#[pyfunction]
fn decode_create_instance_response(data: &[u8]) -> PyResult<String> {
    decode::<proto::CreateInstanceResponse>("CreateInstanceResponse", data).map(|response| response.instance_id)
}

/// None if there is no such instance, else `(name, status, created_micros, updated_micros, input, output, custom_status,
/// failure)`. Payloads that are absent or empty are None, as is a failure without a type and a message.
#[pyfunction]
fn decode_get_instance_response<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let response: proto::GetInstanceResponse = decode("GetInstanceResponse", data)?;
    if !response.exists {
        return Ok(None);
    }
    state_tuple(py, &response.orchestration_state.unwrap_or_default()).map(Some)
}

pub(super) fn state_tuple<'py>(py: Python<'py>, state: &proto::OrchestrationState) -> PyResult<Bound<'py, PyTuple>> {
    let failure = state
        .failure_details
        .as_ref()
        .filter(|details| !details.error_type.is_empty() || !details.error_message.is_empty())
        .map(|details| failure::to_tuple(py, details))
        .transpose()?;
    (
        &state.name,
        state.orchestration_status,
        state.created_timestamp.as_ref().map_or(0, micros),
        state.last_updated_timestamp.as_ref().map_or(0, micros),
        payload(state.input.as_ref()),
        payload(state.output.as_ref()),
        payload(state.custom_status.as_ref()),
        failure,
    )
        .into_pyobject(py)
}

fn payload(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// How many instances were deleted, and whether those are all that were asked for, if the sidecar says so.
#[pyfunction]
fn decode_purge_instances_response(data: &[u8]) -> PyResult<(i32, Option<bool>)> {
    decode::<proto::PurgeInstancesResponse>("PurgeInstancesResponse", data)
        .map(|response| (response.deleted_instance_count, response.is_complete))
}

#[pyfunction]
fn decode_rerun_response(data: &[u8]) -> PyResult<String> {
    decode::<proto::RerunWorkflowFromEventResponse>("RerunWorkflowFromEventResponse", data)
        .map(|response| response.new_instance_id)
}

/// The ids, and the token of the next page, if there is one.
#[pyfunction]
fn decode_list_instance_ids_response(data: &[u8]) -> PyResult<(Vec<String>, Option<String>)> {
    decode::<proto::ListInstanceIDsResponse>("ListInstanceIDsResponse", data)
        .map(|response| (response.instance_ids, response.continuation_token))
}
