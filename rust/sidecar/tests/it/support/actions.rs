//! What orchestrators ask for, in short.

use std::time::{Duration, SystemTime};

use durabletask_proto::orchestrator_action::OrchestratorActionType;
use durabletask_proto::prost_types::Timestamp;
use durabletask_proto::{
    CompleteOrchestrationAction, CreateSubOrchestrationAction, CreateTimerAction, HistoryEvent, OrchestrationInstance,
    OrchestrationStatus, OrchestratorAction, OrchestratorVersionNotAvailableAction, ScheduleTaskAction,
    SendEventAction, TerminateOrchestrationAction,
};

fn action(id: i32, asked: OrchestratorActionType) -> OrchestratorAction {
    OrchestratorAction { id, orchestrator_action_type: Some(asked), router: None }
}

pub(crate) fn schedule(id: i32, name: &str) -> OrchestratorAction {
    let asked = ScheduleTaskAction {
        name: name.to_owned(),
        input: Some(format!("\"{id}\"")),
        task_execution_id: format!("task-{id}"),
        ..ScheduleTaskAction::default()
    };
    action(id, OrchestratorActionType::ScheduleTask(asked))
}

pub(crate) fn at(from_now: Duration) -> Timestamp {
    let now = SystemTime::now() + from_now;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    Timestamp {
        seconds: i64::try_from(since.as_secs()).expect("a clock before the end of time"),
        nanos: i32::try_from(since.subsec_nanos()).expect("less than a second"),
    }
}

pub(crate) fn timer(id: i32, from_now: Duration) -> OrchestratorAction {
    let asked = CreateTimerAction { fire_at: Some(at(from_now)), ..CreateTimerAction::default() };
    action(id, OrchestratorActionType::CreateTimer(asked))
}

/// A timer that fires so long after 1970 began.
pub(crate) fn timer_at(id: i32, since: Duration) -> OrchestratorAction {
    let seconds = i64::try_from(since.as_secs()).expect("a time in this century");
    let asked = CreateTimerAction { fire_at: Some(Timestamp { seconds, nanos: 0 }), ..CreateTimerAction::default() };
    action(id, OrchestratorActionType::CreateTimer(asked))
}

pub(crate) fn child(id: i32, instance_id: &str, name: &str) -> OrchestratorAction {
    let asked = CreateSubOrchestrationAction {
        instance_id: instance_id.to_owned(),
        name: name.to_owned(),
        ..CreateSubOrchestrationAction::default()
    };
    action(id, OrchestratorActionType::CreateSubOrchestration(asked))
}

pub(crate) fn send(id: i32, target: &str, name: &str) -> OrchestratorAction {
    let instance = OrchestrationInstance { instance_id: target.to_owned(), execution_id: None };
    let asked = SendEventAction { instance: Some(instance), name: name.to_owned(), data: Some("1".to_owned()) };
    action(id, OrchestratorActionType::SendEvent(asked))
}

pub(crate) fn terminate(id: i32, target: &str) -> OrchestratorAction {
    let asked = TerminateOrchestrationAction { instance_id: target.to_owned(), reason: None, recurse: true };
    action(id, OrchestratorActionType::TerminateOrchestration(asked))
}

pub(crate) fn complete(id: i32, result: &str) -> OrchestratorAction {
    end(id, OrchestrationStatus::Completed, Some(result), vec![])
}

pub(crate) fn continue_as_new(id: i32, input: &str, carryover: Vec<HistoryEvent>) -> OrchestratorAction {
    end(id, OrchestrationStatus::ContinuedAsNew, Some(input), carryover)
}

pub(crate) fn terminated(id: i32) -> OrchestratorAction {
    end(id, OrchestrationStatus::Terminated, None, vec![])
}

fn end(
    id: i32,
    status: OrchestrationStatus,
    result: Option<&str>,
    carryover_events: Vec<HistoryEvent>,
) -> OrchestratorAction {
    let asked = CompleteOrchestrationAction {
        orchestration_status: status.into(),
        result: result.map(str::to_owned),
        carryover_events,
        ..CompleteOrchestrationAction::default()
    };
    action(id, OrchestratorActionType::CompleteOrchestration(asked))
}

pub(crate) fn unversioned() -> OrchestratorAction {
    let asked = OrchestratorVersionNotAvailableAction {};
    action(1, OrchestratorActionType::OrchestratorVersionNotAvailable(asked))
}
