//! Listing, deleting and starting again: what is asked over many instances, and what is answered.

use durabletask_proto as proto;
use durabletask_proto::prost_types::Timestamp;
use durabletask_proto::sidecar;
use durabletask_proto::sidecar::instance_filter::Family;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::requests::router_to;
use super::responses::state_tuple;
use super::{decode, encode, timestamp};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(encode_list_instances_request, module)?)?;
    module.add_function(wrap_pyfunction!(decode_list_instances_response, module)?)?;
    module.add_function(wrap_pyfunction!(encode_purge_by_filter_request, module)?)?;
    module.add_function(wrap_pyfunction!(decode_purge_by_filter_response, module)?)?;
    module.add_function(wrap_pyfunction!(encode_restart_request, module)?)?;
    module.add_function(wrap_pyfunction!(decode_parent_instance_id, module)?)
}

type Range = (Option<i64>, Option<i64>);
/// Statuses, name, created, updated, prefix of the id, roots only.
type Filter = (Vec<i32>, Option<String>, Range, Range, Option<String>, bool);

/// The last moment that Python does not tell from this one: what it was shown is to be within bounds that it gives back.
fn end_of(micros: i64) -> Timestamp {
    let begin = timestamp(micros);
    Timestamp { nanos: begin.nanos + 999, ..begin }
}

fn filter_of((statuses, name, created, updated, prefix, roots_only): Filter) -> sidecar::InstanceFilter {
    sidecar::InstanceFilter {
        statuses,
        name: name.unwrap_or_default(),
        created_from: created.0.map(timestamp),
        created_to: created.1.map(end_of),
        updated_from: updated.0.map(timestamp),
        updated_to: updated.1.map(end_of),
        instance_id_prefix: prefix.unwrap_or_default(),
        family: roots_only.then_some(Family::RootsOnly(true)),
        ..sidecar::InstanceFilter::default()
    }
}

#[pyfunction]
#[pyo3(signature = (wanted, payloads, continuation_token=None, page_size=None))]
fn encode_list_instances_request(
    py: Python<'_>,
    wanted: Filter,
    payloads: bool,
    continuation_token: Option<String>,
    page_size: Option<u32>,
) -> PyResult<Bound<'_, PyBytes>> {
    let request = sidecar::ListInstancesRequest {
        filter: Some(filter_of(wanted)),
        page_size: page_size.unwrap_or(0),
        continuation_token: continuation_token.unwrap_or_default(),
        payloads,
    };
    encode(py, &request)
}

/// The states, each as `(instance_id, state)`, and the token of the next page, if there is one.
#[pyfunction]
#[allow(clippy::type_complexity, reason = "as Python sees it")]
fn decode_list_instances_response<'py>(
    py: Python<'py>,
    data: &[u8],
) -> PyResult<(Vec<(String, Bound<'py, PyTuple>)>, Option<String>)> {
    let response: sidecar::ListInstancesResponse = decode("ListInstancesResponse", data)?;
    let mut states = Vec::with_capacity(response.instances.len());
    for mut state in response.instances {
        states.push((std::mem::take(&mut state.instance_id), state_tuple(py, &state)?));
    }
    Ok((states, Some(response.continuation_token).filter(|token| !token.is_empty())))
}

#[pyfunction]
#[pyo3(signature = (wanted, *, recursive))]
fn encode_purge_by_filter_request(py: Python<'_>, wanted: Filter, recursive: bool) -> PyResult<Bound<'_, PyBytes>> {
    encode(py, &sidecar::PurgeInstancesByFilterRequest { filter: Some(filter_of(wanted)), recursive })
}

#[pyfunction]
fn decode_purge_by_filter_response(data: &[u8]) -> PyResult<u64> {
    decode::<sidecar::PurgeInstancesByFilterResponse>("PurgeInstancesByFilterResponse", data)
        .map(|response| response.count)
}

/// What starts an instance once more as it was started before, out of a `GetInstanceResponse`; None if that has none.
#[pyfunction]
#[pyo3(signature = (response, new_instance_id, *, app_id=None))]
fn encode_restart_request<'py>(
    py: Python<'py>,
    response: &[u8],
    new_instance_id: String,
    app_id: Option<String>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let response: proto::GetInstanceResponse = decode("GetInstanceResponse", response)?;
    let Some(state) = response.orchestration_state.filter(|_| response.exists) else {
        return Ok(None);
    };
    let request = proto::CreateInstanceRequest {
        instance_id: new_instance_id,
        name: state.name,
        version: Some(state.version.unwrap_or_default()),
        input: state.input,
        tags: state.tags,
        router: app_id.map(router_to),
        ..Default::default()
    };
    encode(py, &request).map(Some)
}

/// The id of the instance that waits for the one in a `GetInstanceResponse`, if one does.
#[pyfunction]
fn decode_parent_instance_id(data: &[u8]) -> PyResult<Option<String>> {
    let response: proto::GetInstanceResponse = decode("GetInstanceResponse", data)?;
    let parent = response.orchestration_state.and_then(|state| state.parent_instance_id);
    Ok(parent.filter(|id| !id.is_empty()))
}
