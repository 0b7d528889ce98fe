//! What clients and workers ask of the sidecar.

#![allow(deprecated, reason = "fields that newer sidecars ignore are still sent: older ones need them")]

use durabletask_proto as proto;
use durabletask_proto::purge_instances_request::Request as PurgeTarget;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{encode, timestamp};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(encode_create_instance_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_get_instance_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_raise_event_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_terminate_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_suspend_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_resume_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_purge_instances_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_rerun_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_list_instance_ids_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_get_instance_history_request, module)?)?;
    module.add_function(wrap_pyfunction!(encode_get_work_items_request, module)?)
}

/// Says that a request is for another app; the sidecar itself adds which one it comes from.
pub(super) fn router_to(app_id: String) -> proto::TaskRouter {
    proto::TaskRouter { target_app_id: Some(app_id), ..Default::default() }
}

#[pyfunction]
#[pyo3(signature = (
    instance_id, name, *, input=None, start_at_micros=None, reuse_id_policy=None, trace_context=None,
    unique_instance_id=false, app_id=None
))]
#[allow(clippy::too_many_arguments, reason = "keywords of a Python function")]
fn encode_create_instance_request(
    py: Python<'_>,
    instance_id: String,
    name: String,
    input: Option<String>,
    start_at_micros: Option<i64>,
    reuse_id_policy: Option<(Vec<i32>, i32)>,
    trace_context: Option<(String, Option<String>)>,
    unique_instance_id: bool,
    app_id: Option<String>,
) -> PyResult<Bound<'_, PyBytes>> {
    let request = proto::CreateInstanceRequest {
        instance_id,
        name,
        // No version, said in so many words, is what 0.17 sends.
        version: Some(String::new()),
        input,
        scheduled_start_timestamp: start_at_micros.map(timestamp),
        orchestration_id_reuse_policy: reuse_id_policy
            .map(|(operation_status, action)| proto::OrchestrationIdReusePolicy { operation_status, action }),
        parent_trace_context: trace_context.map(|(trace_parent, trace_state)| proto::TraceContext {
            trace_parent,
            span_id: String::new(),
            trace_state,
        }),
        enforce_unique_instance_id: unique_instance_id,
        router: app_id.map(router_to),
        ..Default::default()
    };
    encode(py, &request)
}

#[pyfunction]
#[pyo3(signature = (instance_id, fetch_payloads, *, app_id=None))]
fn encode_get_instance_request(
    py: Python<'_>,
    instance_id: String,
    fetch_payloads: bool,
    app_id: Option<String>,
) -> PyResult<Bound<'_, PyBytes>> {
    let request = proto::GetInstanceRequest {
        instance_id,
        get_inputs_and_outputs: fetch_payloads,
        router: app_id.map(router_to),
    };
    encode(py, &request)
}

#[pyfunction]
#[pyo3(signature = (instance_id, name, input=None, *, app_id=None))]
fn encode_raise_event_request(
    py: Python<'_>,
    instance_id: String,
    name: String,
    input: Option<String>,
    app_id: Option<String>,
) -> PyResult<Bound<'_, PyBytes>> {
    let request = proto::RaiseEventRequest { instance_id, name, input, router: app_id.map(router_to) };
    encode(py, &request)
}

#[pyfunction]
#[pyo3(signature = (instance_id, output=None, *, recursive, app_id=None))]
fn encode_terminate_request(
    py: Python<'_>,
    instance_id: String,
    output: Option<String>,
    recursive: bool,
    app_id: Option<String>,
) -> PyResult<Bound<'_, PyBytes>> {
    let request = proto::TerminateRequest { instance_id, output, recursive, router: app_id.map(router_to) };
    encode(py, &request)
}

#[pyfunction]
#[pyo3(signature = (instance_id, *, app_id=None))]
fn encode_suspend_request(py: Python<'_>, instance_id: String, app_id: Option<String>) -> PyResult<Bound<'_, PyBytes>> {
    let request = proto::SuspendRequest { instance_id, reason: None, router: app_id.map(router_to) };
    encode(py, &request)
}

#[pyfunction]
#[pyo3(signature = (instance_id, *, app_id=None))]
fn encode_resume_request(py: Python<'_>, instance_id: String, app_id: Option<String>) -> PyResult<Bound<'_, PyBytes>> {
    let request = proto::ResumeRequest { instance_id, reason: None, router: app_id.map(router_to) };
    encode(py, &request)
}

#[pyfunction]
#[pyo3(signature = (instance_id, *, recursive, force=None, app_id=None))]
fn encode_purge_instances_request(
    py: Python<'_>,
    instance_id: String,
    recursive: bool,
    force: Option<bool>,
    app_id: Option<String>,
) -> PyResult<Bound<'_, PyBytes>> {
    let request = proto::PurgeInstancesRequest {
        recursive,
        force,
        router: app_id.map(router_to),
        request: Some(PurgeTarget::InstanceId(instance_id)),
    };
    encode(py, &request)
}

#[pyfunction]
#[pyo3(signature = (
    instance_id, event_id, *, new_instance_id=None, input=None, overwrite_input=false, new_child_instance_id=None,
    app_id=None
))]
#[allow(clippy::too_many_arguments, reason = "keywords of a Python function")]
fn encode_rerun_request(
    py: Python<'_>,
    instance_id: String,
    event_id: u32,
    new_instance_id: Option<String>,
    input: Option<String>,
    overwrite_input: bool,
    new_child_instance_id: Option<String>,
    app_id: Option<String>,
) -> PyResult<Bound<'_, PyBytes>> {
    let request = proto::RerunWorkflowFromEventRequest {
        source_instance_id: instance_id,
        event_id,
        new_instance_id,
        input,
        overwrite_input,
        new_child_workflow_instance_id: new_child_instance_id,
        router: app_id.map(router_to),
    };
    encode(py, &request)
}

#[pyfunction]
#[pyo3(signature = (continuation_token=None, page_size=None))]
fn encode_list_instance_ids_request(
    py: Python<'_>,
    continuation_token: Option<String>,
    page_size: Option<u32>,
) -> PyResult<Bound<'_, PyBytes>> {
    let request = proto::ListInstanceIDsRequest { continuation_token, page_size };
    encode(py, &request)
}

#[pyfunction]
fn encode_get_instance_history_request(py: Python<'_>, instance_id: String) -> PyResult<Bound<'_, PyBytes>> {
    encode(py, &proto::GetInstanceHistoryRequest { instance_id })
}

#[pyfunction]
fn encode_get_work_items_request(
    py: Python<'_>,
    max_orchestrations: i32,
    max_activities: i32,
    capabilities: Vec<i32>,
) -> PyResult<Bound<'_, PyBytes>> {
    let request = proto::GetWorkItemsRequest {
        max_concurrent_orchestration_work_items: max_orchestrations,
        max_concurrent_activity_work_items: max_activities,
        capabilities,
        ..Default::default()
    };
    encode(py, &request)
}
