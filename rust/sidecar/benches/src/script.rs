//! What the instances of a load do: decided from new events alone, with a few numbers kept for each.

use durabletask_proto::history_event::EventType;
use durabletask_proto::orchestrator_action::OrchestratorActionType;
use durabletask_proto::{
    CompleteOrchestrationAction, HistoryEvent, OrchestrationStatus, OrchestratorAction, ScheduleTaskAction,
};

pub(crate) const ORCHESTRATOR: &str = "load";
pub(crate) const EVENT: &str = "go";
const ACTIVITY: &str = "step";

#[derive(Clone, Copy)]
pub(crate) enum Script {
    Chain(u32),
    FanOut(u32),
    Wait,
}

impl Script {
    /// The instance's input, by which the worker knows what to do.
    pub(crate) fn input(self) -> String {
        match self {
            Self::Chain(steps) => format!("\"chain {steps}\""),
            Self::FanOut(steps) => format!("\"fan-out {steps}\""),
            Self::Wait => "\"wait\"".to_owned(),
        }
    }

    fn from_input(input: &str) -> Option<Self> {
        let (name, steps) = input.trim_matches('"').split_once(' ').unwrap_or((input.trim_matches('"'), "0"));
        let steps = steps.parse().ok()?;
        match name {
            "chain" => Some(Self::Chain(steps)),
            "fan-out" => Some(Self::FanOut(steps)),
            "wait" => Some(Self::Wait),
            _ => None,
        }
    }
}

/// An instance between its turns.
pub(crate) struct Progress {
    script: Script,
    done: u32,
}

impl Progress {
    /// Of the instance that begins with these events; `None` if it is no instance of a load.
    pub(crate) fn begin(events: &[HistoryEvent]) -> Option<Self> {
        events.iter().find_map(|event| match &event.event_type {
            Some(EventType::ExecutionStarted(started)) => {
                Some(Self { script: Script::from_input(started.input.as_deref()?)?, done: 0 })
            }
            _ => None,
        })
    }

    /// What the instance asks for in the turn with these new events.
    pub(crate) fn turn(&mut self, events: &[HistoryEvent]) -> Vec<OrchestratorAction> {
        let mut actions = Vec::new();
        for event in events {
            match (&event.event_type, self.script) {
                (Some(EventType::ExecutionStarted(_)), Script::Chain(_)) => actions.push(call(1)),
                (Some(EventType::ExecutionStarted(_)), Script::FanOut(steps)) => actions.extend((1..=steps).map(call)),
                (Some(EventType::TaskCompleted(_)), Script::Chain(steps)) => {
                    self.done += 1;
                    actions.push(if self.done < steps { call(self.done + 1) } else { end(steps + 1) });
                }
                (Some(EventType::TaskCompleted(_)), Script::FanOut(steps)) => {
                    self.done += 1;
                    if self.done == steps {
                        actions.push(end(steps + 1));
                    }
                }
                (Some(EventType::EventRaised(_)), Script::Wait) => actions.push(end(1)),
                _ => {}
            }
        }
        actions
    }
}

fn call(id: u32) -> OrchestratorAction {
    action(
        id,
        OrchestratorActionType::ScheduleTask(ScheduleTaskAction {
            name: ACTIVITY.to_owned(),
            input: Some(id.to_string()),
            ..ScheduleTaskAction::default()
        }),
    )
}

fn end(id: u32) -> OrchestratorAction {
    action(
        id,
        OrchestratorActionType::CompleteOrchestration(CompleteOrchestrationAction {
            orchestration_status: OrchestrationStatus::Completed.into(),
            result: Some("null".to_owned()),
            ..CompleteOrchestrationAction::default()
        }),
    )
}

fn action(id: u32, kind: OrchestratorActionType) -> OrchestratorAction {
    OrchestratorAction { id: id.try_into().unwrap_or(i32::MAX), router: None, orchestrator_action_type: Some(kind) }
}
