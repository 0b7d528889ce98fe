//! Builds the histories, with what real ones carry beside what replay needs: routers, execution ids, times, inputs.

use durabletask_core::time::Timestamp;
use durabletask_proto as pb;
use pb::history_event::EventType;
use pb::prost::Message;

const INSTANCE: &str = "6f1c24d5f789de453b8e4dfb8db97e2e";
const EXECUTION: &str = "0ad7905b-747e-4529-800e-bc7b59da2988";
const APP: &str = "orders-app";
const STACK: &str = "  File \"/app/orders/activities.py\", line 45, in reserve\n    raise ConnectionError(\"the warehouse does not answer\")\n";
/// The first turn's time, in microseconds since the epoch.
const START: i64 = 1_795_360_446_816_478;
/// From one turn to the next.
const TURN: i64 = 15_271;

/// A history under construction. Everything but the last turn is past.
pub(crate) struct History {
    events: Vec<pb::HistoryEvent>,
    past: usize,
    now: i64,
    last_id: i32,
}

impl History {
    /// The first turn, in which the orchestrator starts.
    pub(crate) fn new() -> Self {
        let mut this = Self { events: Vec::new(), past: 0, now: START, last_id: 0 };
        this.turn();
        let instance =
            pb::OrchestrationInstance { instance_id: INSTANCE.to_owned(), execution_id: Some(EXECUTION.to_owned()) };
        this.add(EventType::ExecutionStarted(pb::ExecutionStartedEvent {
            name: "orchestrator".to_owned(),
            input: Some("10000".to_owned()),
            orchestration_instance: Some(instance),
            ..Default::default()
        }));
        this
    }

    /// What was new becomes past, and the next turn begins.
    pub(crate) fn turn(&mut self) -> &mut Self {
        self.past = self.events.len();
        self.now += TURN;
        self.event(-1, EventType::OrchestratorStarted(pb::OrchestratorStartedEvent::default()), false);
        self
    }

    /// The time of the turn.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    /// Confirms an activity's call; returns its id.
    pub(crate) fn call(&mut self) -> i32 {
        let id = self.next_id();
        let scheduled = pb::TaskScheduledEvent {
            name: "activity".to_owned(),
            input: Some(id.to_string()),
            task_execution_id: execution_id(id),
            ..Default::default()
        };
        self.event(id, EventType::TaskScheduled(scheduled), true);
        id
    }

    /// An activity's result has arrived.
    pub(crate) fn completed(&mut self, id: i32) {
        self.add(EventType::TaskCompleted(pb::TaskCompletedEvent {
            task_scheduled_id: id,
            result: Some(format!("\"Hello customer {id}!\"")),
            task_execution_id: execution_id(id),
            ..Default::default()
        }));
    }

    /// An activity has failed.
    pub(crate) fn failed(&mut self, id: i32) {
        let details = pb::TaskFailureDetails {
            error_type: "ConnectionError".to_owned(),
            error_message: "the warehouse does not answer".to_owned(),
            stack_trace: Some(STACK.to_owned()),
            ..Default::default()
        };
        self.add(EventType::TaskFailed(pb::TaskFailedEvent {
            task_scheduled_id: id,
            failure_details: Some(details),
            task_execution_id: execution_id(id),
            ..Default::default()
        }));
    }

    /// Confirms a timer; returns its id.
    pub(crate) fn timer(&mut self, fire_at: Timestamp) -> i32 {
        let id = self.next_id();
        let fire_at = Some(proto_time(fire_at));
        self.event(id, EventType::TimerCreated(pb::TimerCreatedEvent { fire_at, ..Default::default() }), true);
        id
    }

    /// A timer has fired.
    pub(crate) fn fired(&mut self, timer_id: i32, fire_at: Timestamp) {
        let fire_at = Some(proto_time(fire_at));
        self.event(-1, EventType::TimerFired(pb::TimerFiredEvent { timer_id, fire_at }), false);
    }

    /// An external event has arrived.
    pub(crate) fn raised(&mut self, name: &str) {
        let raised = pb::EventRaisedEvent { name: name.to_owned(), input: Some("true".to_owned()) };
        self.event(-1, EventType::EventRaised(raised), false);
    }

    /// The request for the last turn.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (past, new) = self.events.split_at(self.past);
        pb::OrchestratorRequest {
            instance_id: INSTANCE.to_owned(),
            execution_id: Some(EXECUTION.to_owned()),
            past_events: past.to_vec(),
            new_events: new.to_vec(),
            ..Default::default()
        }
        .encode_to_vec()
    }

    fn add(&mut self, event_type: EventType) {
        self.event(-1, event_type, true);
    }

    fn event(&mut self, event_id: i32, event_type: EventType, with_router: bool) {
        let router = with_router.then(|| pb::TaskRouter { source_app_id: APP.to_owned(), ..Default::default() });
        let timestamp = Some(proto_time(self.now()));
        self.events.push(pb::HistoryEvent { event_id, timestamp, router, event_type: Some(event_type) });
    }

    fn next_id(&mut self) -> i32 {
        self.last_id += 1;
        self.last_id
    }
}

fn proto_time(time: Timestamp) -> pb::prost_types::Timestamp {
    let (seconds, nanos) = time.parts();
    pb::prost_types::Timestamp { seconds, nanos }
}

/// As long as the real ones, which nobody who replays looks at.
fn execution_id(id: i32) -> String {
    format!("{id:08x}-7326-54cc-ae86-c0ffee000000")
}
