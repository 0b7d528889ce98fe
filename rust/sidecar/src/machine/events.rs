//! The history events that a sidecar makes. Events that are no answer to an action have the id -1.

use durabletask_proto::history_event::EventType;
use durabletask_proto::prost_types::Timestamp;
use durabletask_proto::{
    EventRaisedEvent, ExecutionResumedEvent, ExecutionStalledEvent, ExecutionStartedEvent, ExecutionSuspendedEvent,
    ExecutionTerminatedEvent, HistoryEvent, OrchestrationStatus, OrchestratorStartedEvent, ParentInstanceInfo,
    StalledReason, SubOrchestrationInstanceCompletedEvent, SubOrchestrationInstanceFailedEvent, TaskFailureDetails,
    TaskRouter, TimerFiredEvent,
};

fn unnumbered(now: Timestamp, event_type: EventType) -> HistoryEvent {
    HistoryEvent { event_id: -1, timestamp: Some(now), event_type: Some(event_type), router: None }
}

/// The event that confirms the action with this id.
pub(crate) fn confirming(id: i32, now: Timestamp, router: Option<TaskRouter>, event_type: EventType) -> HistoryEvent {
    HistoryEvent { event_id: id, timestamp: Some(now), event_type: Some(event_type), router }
}

pub(crate) fn orchestrator_started(now: Timestamp) -> HistoryEvent {
    unnumbered(now, EventType::OrchestratorStarted(OrchestratorStartedEvent::default()))
}

pub(crate) fn execution_started(
    now: Timestamp,
    start: ExecutionStartedEvent,
    router: Option<TaskRouter>,
) -> HistoryEvent {
    HistoryEvent { router, ..unnumbered(now, EventType::ExecutionStarted(start)) }
}

pub(crate) fn execution_terminated(now: Timestamp, event: ExecutionTerminatedEvent) -> HistoryEvent {
    unnumbered(now, EventType::ExecutionTerminated(event))
}

pub(crate) fn execution_suspended(now: Timestamp, reason: Option<String>) -> HistoryEvent {
    let input = reason.filter(|reason| !reason.is_empty());
    unnumbered(now, EventType::ExecutionSuspended(ExecutionSuspendedEvent { input }))
}

pub(crate) fn execution_resumed(now: Timestamp, reason: Option<String>) -> HistoryEvent {
    let input = reason.filter(|reason| !reason.is_empty());
    unnumbered(now, EventType::ExecutionResumed(ExecutionResumedEvent { input }))
}

pub(crate) fn execution_stalled(now: Timestamp, reason: StalledReason, description: String) -> HistoryEvent {
    let event = ExecutionStalledEvent { reason: reason.into(), description: Some(description) };
    unnumbered(now, EventType::ExecutionStalled(event))
}

pub(crate) fn event_raised(now: Timestamp, name: String, input: Option<String>) -> HistoryEvent {
    unnumbered(now, EventType::EventRaised(EventRaisedEvent { name, input }))
}

pub(crate) fn timer_fired(fire_at: Timestamp, timer_id: i32) -> HistoryEvent {
    let event = TimerFiredEvent { fire_at: Some(fire_at), timer_id };
    unnumbered(fire_at, EventType::TimerFired(event))
}

/// Tells a parent how its sub-orchestration ended.
pub(crate) fn child_ended(
    now: Timestamp,
    parent: &ParentInstanceInfo,
    app_id: &str,
    status: OrchestrationStatus,
    result: Option<String>,
    failure_details: Option<TaskFailureDetails>,
) -> HistoryEvent {
    let task_scheduled_id = parent.task_scheduled_id;
    let event = if status == OrchestrationStatus::Completed {
        EventType::SubOrchestrationInstanceCompleted(SubOrchestrationInstanceCompletedEvent {
            task_scheduled_id,
            result,
            ..Default::default()
        })
    } else {
        EventType::SubOrchestrationInstanceFailed(SubOrchestrationInstanceFailedEvent {
            task_scheduled_id,
            failure_details,
            ..Default::default()
        })
    };
    let router = TaskRouter {
        source_app_id: app_id.to_owned(),
        target_app_id: parent.app_id.clone(),
        target_app_namespace: parent.app_namespace.clone(),
    };
    HistoryEvent { router: Some(router), ..unnumbered(now, event) }
}
