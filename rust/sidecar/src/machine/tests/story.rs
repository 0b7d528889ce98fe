//! Builders for the stories: an instance, what it receives, what its worker answers.

use durabletask_proto::history_event::EventType;
use durabletask_proto::orchestrator_action::OrchestratorActionType;
use durabletask_proto::prost::Message as _;
use durabletask_proto::prost_types::Timestamp;
use durabletask_proto::{
    CompleteOrchestrationAction, CreateDetachedOrchestrationAction, CreateSubOrchestrationAction, CreateTimerAction,
    ExecutionStartedEvent, ExecutionTerminatedEvent, HistoryEvent, OrchestrationInstance, OrchestrationStatus,
    OrchestratorAction, OrchestratorResponse, OrchestratorVersionNotAvailableAction, ParentInstanceInfo,
    ScheduleTaskAction, SendEventAction, TaskFailureDetails, TaskRouter, TraceContext,
};
use uuid::Uuid;

use crate::machine::{
    Completion, Entry, Environment, Instance, Outcome, RawEvent, Turn, complete_turn, events, terminate_unstarted,
};

const NOW: Timestamp = Timestamp { seconds: 1_000, nanos: 0 };

/// An instance called "instance", in its first execution, "first-run".
pub(super) struct Story {
    start: ExecutionStartedEvent,
    instance: Option<Instance>,
    waiting: Vec<HistoryEvent>,
    /// The committed history.
    pub(super) events: Vec<HistoryEvent>,
    /// Of the last turn.
    pub(super) outcome: Outcome,
}

impl Story {
    pub(super) fn of(name: &str) -> Self {
        let start = ExecutionStartedEvent {
            name: name.to_owned(),
            input: Some("input".to_owned()),
            orchestration_instance: Some(instance("instance", "first-run")),
            ..ExecutionStartedEvent::default()
        };
        Self { start, instance: None, waiting: Vec::new(), events: Vec::new(), outcome: Outcome::default() }
    }

    pub(super) fn under(mut self, parent: ParentInstanceInfo) -> Self {
        self.start.parent_instance = Some(parent);
        self
    }

    pub(super) fn traced(mut self, trace_parent: &str) -> Self {
        self.start.parent_trace_context = Some(TraceContext {
            trace_parent: trace_parent.to_owned(),
            trace_state: Some("vendor=1".to_owned()),
            ..TraceContext::default()
        });
        self
    }

    /// What a sidecar that makes spans itself has written down.
    pub(super) fn with_span(mut self, id: &str) -> Self {
        self.start.orchestration_span_id = Some(id.to_owned());
        self
    }

    pub(super) fn receives(mut self, event: HistoryEvent) -> Self {
        self.waiting.push(event);
        self
    }

    pub(super) fn answers<const N: usize>(self, actions: [OrchestratorAction; N]) -> Self {
        self.answers_with(OrchestratorResponse { actions: actions.into(), ..OrchestratorResponse::default() })
    }

    /// Takes all that waits to a worker, and the worker's answer back.
    pub(super) fn answers_with(mut self, response: OrchestratorResponse) -> Self {
        let instance = self.begin();
        let events: Vec<RawEvent> = self.waiting.drain(..).map(|event| RawEvent::from(&event)).collect();
        let turn = Turn { started: events::orchestrator_started(NOW), events };
        let outcome = with_environment(|environment| complete_turn(&instance, turn, response, environment));
        self.end(outcome)
    }

    pub(super) fn terminated_before_its_start(mut self) -> Self {
        let instance = self.begin();
        let waiting = self.waiting.drain(..).map(|event| RawEvent::from(&event)).collect();
        let event = ExecutionTerminatedEvent::default();
        let outcome = with_environment(|environment| terminate_unstarted(&instance, waiting, &event, environment));
        self.end(outcome)
    }

    fn begin(&mut self) -> Instance {
        if let Some(instance) = &self.instance {
            return instance.clone();
        }
        self.waiting.insert(0, events::execution_started(NOW, self.start.clone(), None));
        Instance::pending("instance", &self.start)
    }

    fn end(mut self, outcome: Outcome) -> Self {
        self.events.extend(outcome.history.iter().map(entry));
        self.instance = Some(outcome.instance.clone());
        self.outcome = outcome;
        self
    }

    pub(super) fn status(&self) -> OrchestrationStatus {
        self.outcome.instance.status
    }

    pub(super) fn completion(&self) -> &Completion {
        self.outcome.completion.as_ref().expect("the last turn should have ended the execution")
    }

    /// The committed history in words.
    pub(super) fn history(&self) -> Vec<String> {
        self.events.iter().map(in_words).collect()
    }
}

pub(super) fn entry(entry: &Entry) -> HistoryEvent {
    match entry {
        Entry::Received(event) => HistoryEvent::decode(event.bytes.clone()).expect("what was encoded here"),
        Entry::Made(event) => (**event).clone(),
    }
}

pub(super) fn with_environment<T>(call: impl FnOnce(&mut Environment<'_>) -> T) -> T {
    let mut last = 0;
    let mut new_id = || {
        last += 1;
        Uuid::from_u128(last)
    };
    call(&mut Environment { now: NOW, app_id: "app", new_id: &mut new_id })
}

pub(super) fn in_words(event: &HistoryEvent) -> String {
    let id = event.event_id;
    match event.event_type.as_ref().expect("an event of a known type") {
        EventType::OrchestratorStarted(_) => "orchestratorStarted".to_owned(),
        EventType::ExecutionStarted(it) => format!("executionStarted {}", it.name),
        EventType::ExecutionCompleted(_) => format!("executionCompleted #{id}"),
        EventType::ExecutionTerminated(_) => "executionTerminated".to_owned(),
        EventType::ExecutionStalled(_) => "executionStalled".to_owned(),
        EventType::TaskScheduled(it) => format!("taskScheduled #{id} {}", it.name),
        EventType::TimerCreated(_) => format!("timerCreated #{id}"),
        EventType::SubOrchestrationInstanceCreated(it) => {
            format!("subOrchestrationInstanceCreated #{id} {}", it.instance_id)
        }
        EventType::DetachedOrchestrationInstanceCreated(it) => {
            format!("detachedOrchestrationInstanceCreated #{id} {}", it.instance_id)
        }
        EventType::EventSent(it) => format!("eventSent #{id} {}", it.name),
        EventType::EventRaised(it) => format!("eventRaised {}", it.name),
        other => format!("{other:?}"),
    }
}

fn instance(instance_id: &str, execution_id: &str) -> OrchestrationInstance {
    OrchestrationInstance { instance_id: instance_id.to_owned(), execution_id: Some(execution_id.to_owned()) }
}

pub(super) fn parent(id: &str, task_scheduled_id: i32) -> ParentInstanceInfo {
    ParentInstanceInfo {
        task_scheduled_id,
        orchestration_instance: Some(instance(id, &format!("{id}-run"))),
        ..ParentInstanceInfo::default()
    }
}

pub(super) fn raised(name: &str) -> HistoryEvent {
    events::event_raised(NOW, name.to_owned(), None)
}

pub(super) fn suspended() -> HistoryEvent {
    events::execution_suspended(NOW, None)
}

pub(super) fn resumed() -> HistoryEvent {
    events::execution_resumed(NOW, None)
}

pub(super) fn terminated(output: Option<&str>) -> HistoryEvent {
    let event = ExecutionTerminatedEvent { input: output.map(str::to_owned), recurse: false };
    events::execution_terminated(NOW, event)
}

pub(super) fn terminated_with_all() -> HistoryEvent {
    events::execution_terminated(NOW, ExecutionTerminatedEvent { input: None, recurse: true })
}

fn action(id: i32, asked: OrchestratorActionType) -> OrchestratorAction {
    OrchestratorAction { id, orchestrator_action_type: Some(asked), router: None }
}

pub(super) fn schedule(id: i32, name: &str) -> OrchestratorAction {
    let asked = ScheduleTaskAction { name: name.to_owned(), ..ScheduleTaskAction::default() };
    action(id, OrchestratorActionType::ScheduleTask(asked))
}

pub(super) fn timer(id: i32, seconds: i64) -> OrchestratorAction {
    let fire_at = Some(Timestamp { seconds, nanos: 0 });
    action(id, OrchestratorActionType::CreateTimer(CreateTimerAction { fire_at, ..CreateTimerAction::default() }))
}

pub(super) fn child(id: i32, instance_id: &str, name: &str) -> OrchestratorAction {
    let asked = CreateSubOrchestrationAction {
        instance_id: instance_id.to_owned(),
        name: name.to_owned(),
        ..CreateSubOrchestrationAction::default()
    };
    action(id, OrchestratorActionType::CreateSubOrchestration(asked))
}

pub(super) fn detached(id: i32, instance_id: &str, name: &str) -> OrchestratorAction {
    let asked = CreateDetachedOrchestrationAction {
        instance_id: instance_id.to_owned(),
        name: name.to_owned(),
        ..CreateDetachedOrchestrationAction::default()
    };
    action(id, OrchestratorActionType::CreateDetachedOrchestration(asked))
}

pub(super) fn event_to(id: i32, target: &str, name: &str) -> OrchestratorAction {
    let asked = SendEventAction { instance: Some(instance(target, "")), name: name.to_owned(), data: None };
    action(id, OrchestratorActionType::SendEvent(asked))
}

fn ending(id: i32, asked: CompleteOrchestrationAction) -> OrchestratorAction {
    action(id, OrchestratorActionType::CompleteOrchestration(asked))
}

/// A completion with any status.
pub(super) fn cancel(id: i32, status: OrchestrationStatus) -> OrchestratorAction {
    ending(id, CompleteOrchestrationAction { orchestration_status: status.into(), ..Default::default() })
}

pub(super) fn complete(id: i32, result: &str) -> OrchestratorAction {
    let orchestration_status = OrchestrationStatus::Completed.into();
    let result = Some(result.to_owned());
    ending(id, CompleteOrchestrationAction { orchestration_status, result, ..Default::default() })
}

pub(super) fn fail(id: i32, message: &str) -> OrchestratorAction {
    let failure = TaskFailureDetails { error_message: message.to_owned(), ..TaskFailureDetails::default() };
    let orchestration_status = OrchestrationStatus::Failed.into();
    let failure_details = Some(failure);
    ending(id, CompleteOrchestrationAction { orchestration_status, failure_details, ..Default::default() })
}

pub(super) fn continue_as_new(id: i32, input: &str) -> OrchestratorAction {
    let orchestration_status = OrchestrationStatus::ContinuedAsNew.into();
    let result = Some(input.to_owned());
    ending(id, CompleteOrchestrationAction { orchestration_status, result, ..Default::default() })
}

pub(super) fn unversioned() -> OrchestratorAction {
    let asked = OrchestratorVersionNotAvailableAction {};
    action(1, OrchestratorActionType::OrchestratorVersionNotAvailable(asked))
}

pub(super) fn unknown_action(id: i32) -> OrchestratorAction {
    OrchestratorAction { id, ..OrchestratorAction::default() }
}

/// Adds carried-over events to a continue-as-new.
pub(super) trait Carrying {
    fn carrying(self, event: HistoryEvent) -> Self;
}

impl Carrying for OrchestratorAction {
    fn carrying(mut self, event: HistoryEvent) -> Self {
        if let Some(OrchestratorActionType::CompleteOrchestration(asked)) = &mut self.orchestrator_action_type {
            asked.carryover_events.push(event);
        }
        self
    }
}

/// The action, asked of an app.
pub(super) fn at_app(action: OrchestratorAction, app: &str) -> OrchestratorAction {
    let router = TaskRouter { target_app_id: Some(app.to_owned()), ..TaskRouter::default() };
    OrchestratorAction { router: Some(router), ..action }
}

pub(super) fn elsewhere(action: OrchestratorAction) -> OrchestratorAction {
    at_app(action, "other")
}
