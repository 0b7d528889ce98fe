//! Recorded histories, for people and tools to read.

use durabletask_core::wire::{Corrupt, Reader, Span};
use durabletask_proto as proto;
use durabletask_proto::history_event::EventType;
use durabletask_proto::prost_types::Timestamp;
use durabletask_proto::timer_created_event::Origin;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::{decode, failure, micros};

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(decode_propagated_history, module)?)?;
    module.add_function(wrap_pyfunction!(decode_history, module)?)
}

/// `(event_id, timestamp_micros | None, type, attributes, serialized)`
type Event<'py> = (i32, Option<i64>, &'static str, Bound<'py, PyDict>, Bound<'py, PyBytes>);

/// The events of a `GetInstanceHistoryResponse`, oldest first. `type` is the event's name in the protocol, "unknown" if this
/// version does not know it; `serialized` is the event as it arrived.
#[pyfunction]
fn decode_history<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Vec<Event<'py>>> {
    let mut events = Vec::new();
    let refuse = |corrupt: Corrupt| {
        PyValueError::new_err(format!(
            "the sidecar sent {} bytes that are no GetInstanceHistoryResponse: {corrupt}",
            data.len()
        ))
    };
    let mut reader = Reader::new(Span::whole(data));
    while let Some((number, field)) = reader.next().map_err(refuse)? {
        if number == 1 {
            events.push(event(py, field.span(number).map_err(refuse)?.bytes)?);
        }
    }
    Ok(events)
}

/// `(app_id, instance_id, workflow_name, events)`
type Chunk<'py> = (String, String, String, Vec<Event<'py>>);

/// The scope's number and the chunks of a `PropagatedHistory`, in the order in which they came.
#[pyfunction]
fn decode_propagated_history<'py>(py: Python<'py>, data: &[u8]) -> PyResult<(i32, Vec<Chunk<'py>>)> {
    let history: proto::PropagatedHistory = decode("PropagatedHistory", data)?;
    let chunks = history.chunks.into_iter().map(|chunk| {
        let events: PyResult<_> = chunk.raw_events.iter().map(|raw| event(py, raw)).collect();
        Ok((chunk.app_id, chunk.instance_id, chunk.workflow_name, events?))
    });
    Ok((history.scope, chunks.collect::<PyResult<_>>()?))
}

fn event<'py>(py: Python<'py>, serialized: &[u8]) -> PyResult<Event<'py>> {
    let event: proto::HistoryEvent = decode("HistoryEvent", serialized)?;
    let attributes = Attributes(PyDict::new(py));
    if let Some(router) = &event.router {
        attributes.set("sourceAppID", &router.source_app_id)?;
        attributes.set_some("targetAppID", router.target_app_id.as_ref())?;
    }
    let kind = match &event.event_type {
        Some(event_type) => attributes.describe(event_type)?,
        None => "unknown",
    };
    let timestamp = event.timestamp.as_ref().map(micros);
    Ok((event.event_id, timestamp, kind, attributes.0, PyBytes::new(py, serialized)))
}

/// The fields of one event under their protocol names; what is absent is left out.
struct Attributes<'py>(Bound<'py, PyDict>);

impl<'py> Attributes<'py> {
    fn set(&self, name: &str, value: impl IntoPyObject<'py>) -> PyResult<()> {
        self.0.set_item(name, value)
    }

    fn set_some(&self, name: &str, value: Option<impl IntoPyObject<'py>>) -> PyResult<()> {
        value.map_or(Ok(()), |value| self.set(name, value))
    }

    fn set_time(&self, name: &str, time: Option<&Timestamp>) -> PyResult<()> {
        self.set_some(name, time.map(micros))
    }

    fn set_failure(&self, details: Option<&proto::TaskFailureDetails>) -> PyResult<()> {
        let tuple = details.map(|details| failure::to_tuple(self.0.py(), details)).transpose()?;
        self.set_some("failureDetails", tuple)
    }

    /// Sets the attributes of an event, and returns its type.
    #[allow(clippy::too_many_lines, reason = "one arm for each event of the protocol, a table in effect")]
    fn describe(&self, event: &EventType) -> PyResult<&'static str> {
        Ok(match event {
            EventType::ExecutionStarted(event) => {
                self.set("name", &event.name)?;
                self.set_some("version", event.version.as_ref())?;
                self.set_some("input", event.input.as_ref())?;
                if let Some(instance) = &event.orchestration_instance {
                    self.set("instanceId", &instance.instance_id)?;
                    self.set_some("executionId", instance.execution_id.as_ref())?;
                }
                if let Some(parent) = &event.parent_instance {
                    self.set("parentTaskScheduledId", parent.task_scheduled_id)?;
                    self.set_some("parentName", parent.name.as_ref())?;
                    let instance = parent.orchestration_instance.as_ref();
                    self.set_some("parentInstanceId", instance.map(|it| &it.instance_id))?;
                }
                self.set_time("scheduledStartTimestamp", event.scheduled_start_timestamp.as_ref())?;
                let trace = event.parent_trace_context.as_ref();
                self.set_some("traceParent", trace.map(|it| &it.trace_parent))?;
                "executionStarted"
            }
            EventType::ExecutionCompleted(event) => {
                self.set("orchestrationStatus", event.orchestration_status)?;
                self.set_some("result", event.result.as_ref())?;
                self.set_failure(event.failure_details.as_ref())?;
                "executionCompleted"
            }
            EventType::ExecutionTerminated(event) => {
                self.set_some("input", event.input.as_ref())?;
                self.set("recurse", event.recurse)?;
                "executionTerminated"
            }
            EventType::TaskScheduled(event) => {
                self.set("name", &event.name)?;
                self.set_some("version", event.version.as_ref())?;
                self.set_some("input", event.input.as_ref())?;
                self.set("taskExecutionId", &event.task_execution_id)?;
                "taskScheduled"
            }
            EventType::TaskCompleted(event) => {
                self.set("taskScheduledId", event.task_scheduled_id)?;
                self.set_some("result", event.result.as_ref())?;
                "taskCompleted"
            }
            EventType::TaskFailed(event) => {
                self.set("taskScheduledId", event.task_scheduled_id)?;
                self.set_failure(event.failure_details.as_ref())?;
                "taskFailed"
            }
            EventType::SubOrchestrationInstanceCreated(event) => {
                self.set("name", &event.name)?;
                self.set("instanceId", &event.instance_id)?;
                self.set_some("version", event.version.as_ref())?;
                self.set_some("input", event.input.as_ref())?;
                "subOrchestrationInstanceCreated"
            }
            EventType::SubOrchestrationInstanceCompleted(event) => {
                self.set("taskScheduledId", event.task_scheduled_id)?;
                self.set_some("result", event.result.as_ref())?;
                "subOrchestrationInstanceCompleted"
            }
            EventType::SubOrchestrationInstanceFailed(event) => {
                self.set("taskScheduledId", event.task_scheduled_id)?;
                self.set_failure(event.failure_details.as_ref())?;
                "subOrchestrationInstanceFailed"
            }
            EventType::TimerCreated(event) => {
                self.set_time("fireAt", event.fire_at.as_ref())?;
                self.set_some("name", event.name.as_ref())?;
                self.set_some("origin", event.origin.as_ref().map(origin_name))?;
                "timerCreated"
            }
            EventType::TimerFired(event) => {
                self.set("timerId", event.timer_id)?;
                self.set_time("fireAt", event.fire_at.as_ref())?;
                "timerFired"
            }
            EventType::OrchestratorStarted(event) => {
                if let Some(version) = &event.version {
                    self.set_some("version", version.name.as_ref())?;
                    self.set("patches", version.patches.clone())?;
                }
                "orchestratorStarted"
            }
            EventType::OrchestratorCompleted(_) => "orchestratorCompleted",
            EventType::EventSent(event) => {
                self.set("instanceId", &event.instance_id)?;
                self.set("name", &event.name)?;
                self.set_some("input", event.input.as_ref())?;
                "eventSent"
            }
            EventType::EventRaised(event) => {
                self.set("name", &event.name)?;
                self.set_some("input", event.input.as_ref())?;
                "eventRaised"
            }
            EventType::ContinueAsNew(event) => {
                self.set_some("input", event.input.as_ref())?;
                "continueAsNew"
            }
            EventType::ExecutionSuspended(event) => {
                self.set_some("input", event.input.as_ref())?;
                "executionSuspended"
            }
            EventType::ExecutionResumed(event) => {
                self.set_some("input", event.input.as_ref())?;
                "executionResumed"
            }
            EventType::ExecutionStalled(event) => {
                self.set("reason", event.reason)?;
                self.set_some("description", event.description.as_ref())?;
                "executionStalled"
            }
            EventType::DetachedOrchestrationInstanceCreated(event) => {
                self.set("instanceId", &event.instance_id)?;
                "detachedOrchestrationInstanceCreated"
            }
        })
    }
}

fn origin_name(origin: &Origin) -> &'static str {
    match origin {
        Origin::CreateTimer(_) => "createTimer",
        Origin::ExternalEvent(_) => "externalEvent",
        Origin::ActivityRetry(_) => "activityRetry",
        Origin::SubOrchestrationRetry(_) => "subOrchestrationRetry",
    }
}
