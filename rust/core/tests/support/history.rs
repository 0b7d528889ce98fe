//! Builds the history of an instance event by event, as a sidecar would write it.

use durabletask_core::time::Timestamp;
use durabletask_proto as pb;
use pb::history_event::EventType;
use pb::prost::Message;

/// The first turn's time: 2026-01-01T00:00:00 UTC.
const START: i64 = 1_767_225_600;

/// So many seconds after the first turn. Each further turn of a [`History`] is one second later.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_parts(START + seconds, 0)
}

/// A point in time as messages have it.
pub(crate) fn proto_time(time: Timestamp) -> pb::prost_types::Timestamp {
    let (seconds, nanos) = time.parts();
    pb::prost_types::Timestamp { seconds, nanos }
}

/// An instance's history, told from its beginning.
#[derive(Clone, Debug)]
pub(crate) struct History {
    instance_id: String,
    events: Vec<pb::HistoryEvent>,
    past: usize,
    turns: i64,
}

/// Begins a history without events. Until [`History::new_turn`] says otherwise, all events are new.
pub(crate) fn history(instance_id: &str) -> History {
    History { instance_id: instance_id.to_owned(), events: Vec::new(), past: 0, turns: 0 }
}

impl History {
    pub(crate) fn instance_id(&self) -> &str {
        &self.instance_id
    }

    pub(crate) fn request(&self) -> pb::OrchestratorRequest {
        let (past, new) = self.events.split_at(self.past);
        pb::OrchestratorRequest {
            instance_id: self.instance_id.clone(),
            past_events: past.to_vec(),
            new_events: new.to_vec(),
            ..Default::default()
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.request().encode_to_vec()
    }

    /// A turn begins, one second after the one before.
    pub(crate) fn turn(self) -> Self {
        let time = at(self.turns);
        self.turn_at(time)
    }

    pub(crate) fn turn_at(mut self, time: Timestamp) -> Self {
        self.turns += 1;
        self.event(EventType::OrchestratorStarted(pb::OrchestratorStartedEvent::default()))
            .last(|event| event.timestamp = Some(proto_time(time)))
    }

    /// What was told so far is the past; the events from here on are those of the turn to be played.
    pub(crate) fn now_new(mut self) -> Self {
        self.past = self.events.len();
        self
    }

    /// The turn to be played begins.
    pub(crate) fn new_turn(self) -> Self {
        self.now_new().turn()
    }

    /// The first turn begins, with an orchestrator that has no input.
    pub(crate) fn started(self, name: &str) -> Self {
        self.started_with(name, None)
    }

    pub(crate) fn started_with<'a>(self, name: &str, input: impl Into<Option<&'a str>>) -> Self {
        let instance = pb::OrchestrationInstance { instance_id: self.instance_id.clone(), execution_id: None };
        self.turn().event(EventType::ExecutionStarted(pb::ExecutionStartedEvent {
            name: name.to_owned(),
            input: input.into().map(str::to_owned),
            orchestration_instance: Some(instance),
            ..Default::default()
        }))
    }

    pub(crate) fn scheduled(self, id: i32, name: &str) -> Self {
        self.scheduled_with(id, name, None)
    }

    pub(crate) fn scheduled_with<'a>(self, id: i32, name: &str, input: impl Into<Option<&'a str>>) -> Self {
        self.confirmed(
            id,
            EventType::TaskScheduled(pb::TaskScheduledEvent {
                name: name.to_owned(),
                input: input.into().map(str::to_owned),
                ..Default::default()
            }),
        )
    }

    /// An activity that is scheduled under this execution id.
    pub(crate) fn scheduled_by(self, id: i32, name: &str, execution_id: &str) -> Self {
        self.scheduled(id, name).last(|event| {
            if let Some(EventType::TaskScheduled(scheduled)) = &mut event.event_type {
                execution_id.clone_into(&mut scheduled.task_execution_id);
            }
        })
    }

    pub(crate) fn completed<'a>(self, id: i32, result: impl Into<Option<&'a str>>) -> Self {
        self.completed_by(id, "", result)
    }

    /// An activity's result that names the execution it comes from.
    pub(crate) fn completed_by<'a>(self, id: i32, execution_id: &str, result: impl Into<Option<&'a str>>) -> Self {
        self.event(EventType::TaskCompleted(pb::TaskCompletedEvent {
            task_scheduled_id: id,
            result: result.into().map(str::to_owned),
            task_execution_id: execution_id.to_owned(),
            ..Default::default()
        }))
    }

    pub(crate) fn failed(self, id: i32, error_type: &str, message: &str) -> Self {
        self.event(EventType::TaskFailed(pb::TaskFailedEvent {
            task_scheduled_id: id,
            failure_details: Some(failure(error_type, message)),
            ..Default::default()
        }))
    }

    /// An activity's failure that names the execution it comes from.
    pub(crate) fn failed_by(self, id: i32, execution_id: &str, error_type: &str) -> Self {
        self.failed(id, error_type, "m").last(|event| {
            if let Some(EventType::TaskFailed(failed)) = &mut event.event_type {
                execution_id.clone_into(&mut failed.task_execution_id);
            }
        })
    }

    pub(crate) fn sub_created(self, id: i32, name: &str) -> Self {
        self.sub_created_with(id, name, None)
    }

    pub(crate) fn sub_created_with<'a>(self, id: i32, name: &str, input: impl Into<Option<&'a str>>) -> Self {
        self.confirmed(
            id,
            EventType::SubOrchestrationInstanceCreated(pb::SubOrchestrationInstanceCreatedEvent {
                name: name.to_owned(),
                input: input.into().map(str::to_owned),
                ..Default::default()
            }),
        )
    }

    pub(crate) fn sub_completed<'a>(self, id: i32, result: impl Into<Option<&'a str>>) -> Self {
        self.event(EventType::SubOrchestrationInstanceCompleted(pb::SubOrchestrationInstanceCompletedEvent {
            task_scheduled_id: id,
            result: result.into().map(str::to_owned),
            ..Default::default()
        }))
    }

    pub(crate) fn sub_failed(self, id: i32, error_type: &str, message: &str) -> Self {
        self.event(EventType::SubOrchestrationInstanceFailed(pb::SubOrchestrationInstanceFailedEvent {
            task_scheduled_id: id,
            failure_details: Some(failure(error_type, message)),
            ..Default::default()
        }))
    }

    pub(crate) fn timer_created(self, id: i32, fire_at: Timestamp) -> Self {
        let fire_at = Some(proto_time(fire_at));
        self.confirmed(id, EventType::TimerCreated(pb::TimerCreatedEvent { fire_at, ..Default::default() }))
    }

    pub(crate) fn timer_fired(self, id: i32, fire_at: Timestamp) -> Self {
        self.event(EventType::TimerFired(pb::TimerFiredEvent { timer_id: id, fire_at: Some(proto_time(fire_at)) }))
    }

    pub(crate) fn raised<'a>(self, name: &str, payload: impl Into<Option<&'a str>>) -> Self {
        let input = payload.into().map(str::to_owned);
        self.event(EventType::EventRaised(pb::EventRaisedEvent { name: name.to_owned(), input }))
    }

    pub(crate) fn suspended(self) -> Self {
        self.event(EventType::ExecutionSuspended(pb::ExecutionSuspendedEvent::default()))
    }

    pub(crate) fn resumed(self) -> Self {
        self.event(EventType::ExecutionResumed(pb::ExecutionResumedEvent::default()))
    }

    pub(crate) fn terminated<'a>(self, output: impl Into<Option<&'a str>>) -> Self {
        let input = output.into().map(str::to_owned);
        self.event(EventType::ExecutionTerminated(pb::ExecutionTerminatedEvent { input, recurse: true }))
    }

    /// An event that confirms no action.
    pub(crate) fn event(self, event_type: EventType) -> Self {
        self.confirmed(-1, event_type)
    }

    fn confirmed(mut self, event_id: i32, event_type: EventType) -> Self {
        let timestamp = Some(pb::prost_types::Timestamp::default());
        let event_type = Some(event_type);
        self.events.push(pb::HistoryEvent { event_id, timestamp, router: None, event_type });
        self
    }

    /// Changes the event told last.
    pub(crate) fn last(mut self, change: impl FnOnce(&mut pb::HistoryEvent)) -> Self {
        change(self.events.last_mut().expect("a history with an event to change"));
        self
    }

    /// The event told last is addressed so.
    pub(crate) fn routed(self, source_app_id: &str, target_app_id: Option<&str>) -> Self {
        self.last(|event| {
            event.router = Some(pb::TaskRouter {
                source_app_id: source_app_id.to_owned(),
                target_app_id: target_app_id.map(str::to_owned),
                target_app_namespace: None,
            });
        })
    }

    /// The turn told last ran with this version and these patches.
    pub(crate) fn with_version(self, name: Option<&str>, patches: &[&str]) -> Self {
        let version = pb::OrchestrationVersion {
            name: name.map(str::to_owned),
            patches: patches.iter().map(|&patch| patch.to_owned()).collect(),
        };
        self.last(|event| {
            event.event_type =
                Some(EventType::OrchestratorStarted(pb::OrchestratorStartedEvent { version: Some(version) }));
        })
    }
}

pub(crate) fn failure(error_type: &str, message: &str) -> pb::TaskFailureDetails {
    pb::TaskFailureDetails {
        error_type: error_type.to_owned(),
        error_message: message.to_owned(),
        ..Default::default()
    }
}
