//! The borrowed view of the wire format reads what the generated messages wrote, field by field: this is what keeps the
//! field numbers in `src/wire` true.

use durabletask_core::time::Timestamp;
use durabletask_core::wire::{
    Event, EventRaised, EventSent, EventType, ExecutionStarted, Failed, Failure, OrchestratorStarted, Request, Span,
    SubOrchestrationCreated, TaskCompleted, TaskScheduled, Terminated, TimerCreated, TimerFired, WorkItem,
};
use durabletask_proto as pb;
use pb::history_event::EventType as Body;
use pb::prost::Message;
use proptest::prelude::*;

use crate::support::cases;
use crate::support::messages::{event, request, text};
use crate::support::recordings::recordings;

/// Payloads of no characters count as none.
fn payload(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|text| !text.is_empty())
}

fn time(value: Option<pb::prost_types::Timestamp>) -> Option<Timestamp> {
    value.map(|time| Timestamp::from_parts(time.seconds, time.nanos))
}

/// The name that prost's side of an event's type has, and the bytes of its body.
fn expected_body(body: Option<&Body>) -> (Option<&'static str>, Vec<u8>) {
    macro_rules! bodies {
        ($($variant:ident => $name:literal),+ $(,)?) => {
            match body {
                None => (None, Vec::new()),
                $(Some(Body::$variant(message)) => (Some($name), message.encode_to_vec()),)+
            }
        };
    }
    bodies! {
        ExecutionStarted => "executionStarted",
        ExecutionCompleted => "executionCompleted",
        ExecutionTerminated => "executionTerminated",
        TaskScheduled => "taskScheduled",
        TaskCompleted => "taskCompleted",
        TaskFailed => "taskFailed",
        SubOrchestrationInstanceCreated => "subOrchestrationInstanceCreated",
        SubOrchestrationInstanceCompleted => "subOrchestrationInstanceCompleted",
        SubOrchestrationInstanceFailed => "subOrchestrationInstanceFailed",
        TimerCreated => "timerCreated",
        TimerFired => "timerFired",
        OrchestratorStarted => "orchestratorStarted",
        OrchestratorCompleted => "orchestratorCompleted",
        EventSent => "eventSent",
        EventRaised => "eventRaised",
        ContinueAsNew => "continueAsNew",
        ExecutionSuspended => "executionSuspended",
        ExecutionResumed => "executionResumed",
        ExecutionStalled => "executionStalled",
        DetachedOrchestrationInstanceCreated => "detachedOrchestrationInstanceCreated",
    }
}

fn readable_text(text: Span<'_>) -> &str {
    text.text().expect("text that prost wrote is readable")
}

fn agrees_on_failure(ours: &Failed<'_>, task_id: i32, theirs: Option<&pb::TaskFailureDetails>) {
    let inner = theirs.and_then(|details| details.inner_failure.as_ref()).map(Message::encode_to_vec);
    let theirs = theirs.map_or_else(Failure::default, |details| Failure {
        error_type: &details.error_type,
        message: &details.error_message,
        stack_trace: payload(details.stack_trace.as_ref()),
        inner: inner.as_deref(),
    });
    assert_eq!(ours.error_type().expect("text that prost wrote is readable"), theirs.error_type);
    assert_eq!((ours.task_id, ours.failure().expect("a failure that prost wrote is readable")), (task_id, theirs));
}

/// Reads a body as its type's own decoder does, and compares what comes out.
fn agrees_on_body(body: Span<'_>, theirs: &Body) {
    let readable = "a body that prost wrote is readable";
    match theirs {
        Body::OrchestratorStarted(theirs) => {
            let ours = OrchestratorStarted::decode(body).expect(readable);
            let version = theirs.version.clone().unwrap_or_default();
            assert_eq!(
                (ours.version_name, ours.patches),
                (version.name(), version.patches.iter().map(String::as_str).collect())
            );
        }
        Body::ExecutionStarted(theirs) => {
            let ours = ExecutionStarted::decode(body).expect(readable);
            let execution_id = theirs.orchestration_instance.as_ref().and_then(|it| payload(it.execution_id.as_ref()));
            assert_eq!(
                (ours.name, ours.input, ours.execution_id),
                (theirs.name.as_str(), payload(theirs.input.as_ref()), execution_id)
            );
        }
        Body::TaskScheduled(theirs) => {
            let ours = TaskScheduled::decode(body).expect(readable);
            assert_eq!(
                (ours.name.text().unwrap(), ours.input().expect(readable), ours.execution_id.bytes),
                (theirs.name.as_str(), payload(theirs.input.as_ref()), theirs.task_execution_id.as_bytes())
            );
        }
        Body::SubOrchestrationInstanceCreated(theirs) => {
            let ours = SubOrchestrationCreated::decode(body).expect(readable);
            assert_eq!(
                (ours.name.text().unwrap(), ours.input().expect(readable)),
                (theirs.name.as_str(), payload(theirs.input.as_ref()))
            );
        }
        Body::EventSent(theirs) => {
            let ours = EventSent::decode(body).expect(readable);
            assert_eq!(
                (ours.instance_id.bytes, ours.name.bytes, ours.input().expect(readable).map(readable_text)),
                (theirs.instance_id.as_bytes(), theirs.name.as_bytes(), payload(theirs.input.as_ref()))
            );
        }
        Body::TaskCompleted(theirs) => {
            let ours = TaskCompleted::decode(body).expect(readable);
            assert_eq!(
                (ours.task_id, ours.result.map(readable_text)),
                (theirs.task_scheduled_id, payload(theirs.result.as_ref()))
            );
            assert_eq!(ours.execution_id.bytes, theirs.task_execution_id.as_bytes());
        }
        Body::SubOrchestrationInstanceCompleted(theirs) => {
            let ours = TaskCompleted::decode(body).expect(readable);
            assert_eq!(
                (ours.task_id, ours.result.map(readable_text)),
                (theirs.task_scheduled_id, payload(theirs.result.as_ref()))
            );
        }
        Body::TaskFailed(theirs) => {
            let ours = Failed::decode(body).expect(readable);
            agrees_on_failure(&ours, theirs.task_scheduled_id, theirs.failure_details.as_ref());
            assert_eq!(ours.execution_id.bytes, theirs.task_execution_id.as_bytes());
        }
        Body::SubOrchestrationInstanceFailed(theirs) => {
            let ours = Failed::decode(body).expect(readable);
            agrees_on_failure(&ours, theirs.task_scheduled_id, theirs.failure_details.as_ref());
        }
        Body::TimerCreated(theirs) => {
            let ours = TimerCreated::decode(body).expect(readable);
            assert_eq!(ours.fire_at().expect(readable), time(theirs.fire_at));
        }
        Body::TimerFired(theirs) => {
            let ours = TimerFired::decode(body).expect(readable);
            assert_eq!((ours.timer_id, ours.fire_at().expect(readable)), (theirs.timer_id, time(theirs.fire_at)));
        }
        Body::EventRaised(theirs) => {
            let ours = EventRaised::decode(body).expect(readable);
            assert_eq!(
                (ours.name, ours.input.map(readable_text)),
                (theirs.name.as_str(), payload(theirs.input.as_ref()))
            );
        }
        Body::ExecutionTerminated(theirs) => {
            let ours = Terminated::decode(body).expect(readable);
            assert_eq!(ours.output, payload(theirs.input.as_ref()));
        }
        // The engine reads nothing of these.
        Body::ExecutionCompleted(_)
        | Body::OrchestratorCompleted(_)
        | Body::ContinueAsNew(_)
        | Body::ExecutionSuspended(_)
        | Body::ExecutionResumed(_)
        | Body::ExecutionStalled(_)
        | Body::DetachedOrchestrationInstanceCreated(_) => {}
    }
}

fn agrees_on_event(raw: Span<'_>, theirs: &pb::HistoryEvent) {
    let ours = Event::decode(raw).expect("an event that prost wrote is readable");
    let (name, _) = expected_body(theirs.event_type.as_ref());
    assert_eq!((ours.id, ours.event_type.name()), (theirs.event_id, name));
    if name.is_none() {
        assert_eq!(ours.event_type, EventType::Unknown(0));
    }
    let timestamp = ours.timestamp().expect("a timestamp that prost wrote is readable");
    assert_eq!(timestamp, time(theirs.timestamp).unwrap_or(Timestamp::EPOCH));
    let router = theirs.router.clone().unwrap_or_default();
    let app_id = if router.target_app_id().is_empty() { &router.source_app_id } else { router.target_app_id() };
    assert_eq!(ours.app_id().expect("a router that prost wrote is readable"), app_id);
    if let Some(body) = &theirs.event_type {
        agrees_on_body(ours.body(), body);
    }
}

fn agrees_on_request(span: Span<'_>, theirs: &pb::OrchestratorRequest) {
    let ours = Request::decode(span).expect("a request that prost wrote is readable");
    assert_eq!(
        (ours.instance_id, ours.execution_id, ours.cached_count),
        (
            theirs.instance_id.as_str(),
            payload(theirs.execution_id.as_ref()),
            theirs.cached_history.map(|cached| cached.event_count)
        )
    );
    assert_eq!((ours.past_count, ours.new_count), (theirs.past_events.len(), theirs.new_events.len()));
    let past: Vec<_> = ours.past_events().collect::<Result<_, _>>().expect("past events are readable");
    let new: Vec<_> = ours.new_events().collect::<Result<_, _>>().expect("new events are readable");
    assert_eq!((past.len(), new.len()), (theirs.past_events.len(), theirs.new_events.len()));
    for (raw, theirs) in past.iter().zip(&theirs.past_events).chain(new.iter().zip(&theirs.new_events)) {
        agrees_on_event(*raw, theirs);
    }
}

/// A field of a later version of the protocol, of each wire type.
fn append_unknown(bytes: &mut Vec<u8>) {
    use pb::prost::encoding::{fixed32, fixed64, string, uint64};
    uint64::encode(901, &u64::MAX, bytes);
    fixed64::encode(902, &7, bytes);
    string::encode(903, &"later".to_owned(), bytes);
    fixed32::encode(904, &7, bytes);
}

proptest! {
    #![proptest_config(cases(2_048))]

    #[test]
    fn events_are_read_as_prost_wrote_them(theirs in event()) {
        agrees_on_event(Span::whole(&theirs.encode_to_vec()), &theirs);
    }

    #[test]
    fn event_bodies_stand_where_prost_wrote_them(theirs in event()) {
        let raw = theirs.encode_to_vec();
        let ours = Event::decode(Span::whole(&raw)).expect("an event that prost wrote is readable");
        let (_, body) = expected_body(theirs.event_type.as_ref());
        prop_assert_eq!(ours.body().bytes, &body);
        if !body.is_empty() {
            prop_assert_eq!(&raw[ours.body().offset..][..body.len()], &body);
        }
    }

    #[test]
    fn fields_of_later_versions_change_nothing(theirs in event()) {
        prop_assume!(theirs.event_type.is_some());
        let mut raw = theirs.encode_to_vec();
        append_unknown(&mut raw);
        agrees_on_event(Span::whole(&raw), &theirs);
    }
}

proptest! {
    #![proptest_config(cases(384))]

    #[test]
    fn requests_are_read_as_prost_wrote_them(theirs in request()) {
        let mut raw = theirs.encode_to_vec();
        append_unknown(&mut raw);
        agrees_on_request(Span::whole(&raw), &theirs);
    }

    #[test]
    fn work_items_are_read_as_prost_wrote_them(theirs in request(), completion_token in text()) {
        let item = pb::WorkItem {
            request: Some(pb::work_item::Request::OrchestratorRequest(theirs.clone())),
            completion_token: completion_token.clone(),
        };
        let mut raw = item.encode_to_vec();
        append_unknown(&mut raw);
        let ours = WorkItem::decode(Span::whole(&raw)).expect("a work item that prost wrote is readable");
        prop_assert_eq!(ours.completion_token, completion_token);
        agrees_on_request(ours.request, &theirs);
    }
}

#[test]
fn an_empty_work_item_has_an_empty_request() {
    let item = WorkItem::decode(Span::whole(&[])).expect("no bytes are a message without fields");
    agrees_on_request(item.request, &pb::OrchestratorRequest::default());
}

#[test]
fn recorded_work_items_are_read_as_prost_reads_them() {
    for recorded in recordings() {
        let theirs = pb::WorkItem::decode(recorded.work_item.as_slice()).expect("a recorded work item");
        let ours = WorkItem::decode(Span::whole(&recorded.work_item)).expect("a recorded work item");
        assert_eq!(ours.completion_token, theirs.completion_token, "{}", recorded.title);
        agrees_on_request(ours.request, &recorded.request());
    }
}
