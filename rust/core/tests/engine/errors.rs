//! What can be wrong with a turn, and what is said about it.

use durabletask_core::error::{CallName, End, Found, Method, NonDeterminism, StateError};
use durabletask_core::wire::{
    Corrupt, Event, EventType, Problem, Request, Span, TaskCompleted, TaskScheduled, WorkItem,
};
use durabletask_core::{Error, Input};
use durabletask_proto as pb;
use pb::orchestrator_action::OrchestratorActionType;
use pb::prost::Message;

use crate::support::answer::answer;
use crate::support::history::{History, at, failure, history};
use crate::support::host::{failure_of, orchestrator, play};
use crate::support::script::{Context, Ended, Raised, for_ever};

/// An activity, a timer and a sub-orchestration.
async fn three_calls(context: Context, _: Option<String>) -> Ended {
    context.activity("a");
    context.timer(5);
    context.sub("s");
    for_ever().await
}

fn call(method: Method, name: Option<&str>) -> CallName {
    CallName { method, name: name.map(str::to_owned) }
}

/// Plays `three_calls` and expects it to fail with this disagreement, at the history's event of this index.
#[track_caller]
fn disagrees(turns: &History, event_index: usize, event_id: i32, expected: CallName, found: Option<CallName>) {
    let turn = play(turns, three_calls);
    let Some(error @ Error::NonDeterminism(details)) = &turn.error else {
        panic!("expected a non-determinism error, found {:?}", turn.error);
    };
    let found = Found::from(found);
    assert_eq!(**details, NonDeterminism { instance_id: "i".to_owned(), event_index, event_id, expected, found });
    turn.gives(answer(turns).fails(4, failure_of(error)));
}

#[test]
fn another_activity_than_the_history_has_is_non_determinism() {
    let turns = history("i").started("o").scheduled(1, "b").new_turn();
    disagrees(&turns, 2, 1, call(Method::CallActivity, Some("b")), Some(call(Method::CallActivity, Some("a"))));
}

#[test]
fn names_of_activities_compare_exactly() {
    let turns = history("i").started("o").scheduled(1, "A").new_turn();
    disagrees(&turns, 2, 1, call(Method::CallActivity, Some("A")), Some(call(Method::CallActivity, Some("a"))));
}

#[test]
fn another_orchestrator_than_the_history_has_is_non_determinism() {
    let turns = history("i").started("o").scheduled(1, "a").new_turn().sub_created(3, "t");
    let found = call(Method::CallSubOrchestrator, Some("s"));
    disagrees(&turns, 4, 3, call(Method::CallSubOrchestrator, Some("t")), Some(found));
}

#[test]
fn another_kind_of_call_than_the_history_has_is_non_determinism() {
    let (activity, timer, sub) = (
        call(Method::CallActivity, Some("a")),
        call(Method::CreateTimer, None),
        call(Method::CallSubOrchestrator, Some("s")),
    );
    let turns = || history("i").started("o");
    disagrees(&turns().scheduled(2, "a"), 2, 2, activity.clone(), Some(timer.clone()));
    disagrees(&turns().scheduled(3, "a"), 2, 3, activity.clone(), Some(sub.clone()));
    disagrees(&turns().timer_created(1, at(5)), 2, 1, timer.clone(), Some(activity.clone()));
    disagrees(&turns().timer_created(3, at(5)), 2, 3, timer.clone(), Some(sub.clone()));
    disagrees(&turns().sub_created(1, "s"), 2, 1, sub.clone(), Some(activity));
    disagrees(&turns().sub_created(2, "s"), 2, 2, sub, Some(timer));
}

#[test]
fn a_call_that_the_code_does_not_make_is_non_determinism() {
    let turns = || history("i").started("o").new_turn();
    for id in [4, 0, -1, i32::MAX, i32::MIN] {
        disagrees(&turns().scheduled(id, "a"), 3, id, call(Method::CallActivity, Some("a")), None);
        disagrees(&turns().timer_created(id, at(5)), 3, id, call(Method::CreateTimer, None), None);
        disagrees(&turns().sub_created(id, "s"), 3, id, call(Method::CallSubOrchestrator, Some("s")), None);
    }
}

#[test]
fn a_call_confirmed_twice_is_non_determinism() {
    let turns = history("i").started("o").scheduled(1, "a").scheduled(1, "a").new_turn();
    disagrees(&turns, 3, 1, call(Method::CallActivity, Some("a")), None);
}

/// Code that makes one call and then ends.
fn ends(end: End) -> impl Fn(Context, Option<String>) -> std::future::Ready<Ended> {
    move |context, _| {
        context.activity("a");
        std::future::ready(match &end {
            End::Returned => Ok(Some("1".to_owned())),
            End::Raised(_) => Err(Raised { error_type: "E".to_owned(), message: "m".to_owned() }),
            End::ContinuedAsNew => {
                context.continue_as_new(Input::None, false);
                Ok(None)
            }
        })
    }
}

fn all_ends() -> [End; 3] {
    [End::Returned, End::Raised("E: m".to_owned()), End::ContinuedAsNew]
}

#[test]
fn code_that_ends_before_its_history_is_non_determinism() {
    for end in all_ends() {
        let next_id = if end == End::ContinuedAsNew { 2 } else { 3 };
        for id in [2, 3, 9] {
            let begun = || history("i").started("o").scheduled(1, "a").turn();
            let confirmed = [
                (begun().scheduled(id, "b"), call(Method::CallActivity, Some("b"))),
                (begun().timer_created(id, at(5)), call(Method::CreateTimer, None)),
                (begun().sub_created(id, "s"), call(Method::CallSubOrchestrator, Some("s"))),
            ];
            for (turns, expected) in confirmed {
                let turns = turns.new_turn().completed(id, None);
                let turn = play(&turns, ends(end.clone()));
                let Some(error @ Error::NonDeterminism(details)) = &turn.error else {
                    panic!("{end:?}: expected a non-determinism error, found {:?}", turn.error);
                };
                let instance_id = "i".to_owned();
                let found = Found::End(end.clone());
                assert_eq!(**details, NonDeterminism { instance_id, event_index: 4, event_id: id, expected, found });
                turn.gives(answer(&turns).fails(next_id, failure_of(error)));
            }
        }
    }
}

#[test]
fn what_was_called_before_the_end_may_be_confirmed_after_it() {
    for end in all_ends() {
        let turns = history("i").started("o").turn().scheduled(1, "a").new_turn().completed(1, None);
        let turn = play(&turns, ends(end.clone()));
        assert!(turn.error.is_none(), "{end:?}: {:?}", turn.error);
        match end {
            End::Returned => turn.gives(answer(&turns).completes(2, "1")),
            End::Raised(_) => turn.gives(answer(&turns).fails(2, failure("E", "m"))),
            End::ContinuedAsNew => turn.gives(answer(&turns).continues_as_new(2, None)),
        }
    }
}

#[test]
fn a_retry_may_go_on_after_the_end_under_any_id() {
    let policy = durabletask_core::retry::RetryPolicy {
        first_interval: 1_000_000,
        max_attempts: 3,
        backoff_coefficient: 1.0,
        max_interval: None,
        timeout: None,
        non_retryable_error_types: [].into(),
    };
    let failed = || history("i").started("o").scheduled(1, "a").turn().failed(1, "E", "m");
    let returns = move |context: Context, _| {
        context.retried("a", &policy);
        std::future::ready(Ok(Some("1".to_owned())))
    };
    let turns = failed().timer_created(2, at(1)).turn().timer_fired(2, at(1)).scheduled(3, "a").new_turn();
    let turn = play(&turns, returns.clone());
    assert!(turn.error.is_none(), "{:?}", turn.error);
    turn.gives(answer(&turns).completes(2, "1"));
    let turn = play(&failed().scheduled(2, "b").new_turn(), returns);
    assert!(matches!(turn.error, Some(Error::NonDeterminism(_))), "another call is no retry: {:?}", turn.error);
}

/// 0.17.4 compares a retry timeout with the clock on its wall, and only before the pause.
#[test]
fn a_retry_that_is_given_up_for_its_timeout_may_have_gone_on() {
    let policy = durabletask_core::retry::RetryPolicy {
        first_interval: 1_000_000,
        max_attempts: 9,
        backoff_coefficient: 1.0,
        max_interval: None,
        timeout: Some(2_500_000),
        non_retryable_error_types: [].into(),
    };
    let until_failed = move |context: Context, _: Option<String>| {
        let call = context.retried("a", &policy);
        async move { Ok(Some(call.await.is_err().to_string())) }
    };
    let failed =
        || history("i").started("o").scheduled(1, "a").turn().failed(1, "E", "m").timer_created(2, at(2)).turn();
    let after_the_pause = || failed().turn().timer_fired(2, at(2)).scheduled(3, "a").turn();
    let before_the_pause = failed().timer_fired(2, at(2)).scheduled(3, "a").turn().failed(3, "E", "m");
    for turns in [
        after_the_pause().completed(3, None).new_turn(),
        before_the_pause.timer_created(4, at(4)).turn().timer_fired(4, at(4)).scheduled(5, "a").new_turn(),
    ] {
        let turn = play(&turns, until_failed.clone());
        assert!(turn.error.is_none(), "{:?}", turn.error);
        let ends = turn.response.actions.iter().filter(|action| {
            matches!(action.orchestrator_action_type, Some(OrchestratorActionType::CompleteOrchestration(_)))
        });
        assert_eq!((ends.count(), turn.response.actions.len()), (1, 1));
    }
    let turns = after_the_pause().scheduled(4, "b").new_turn();
    assert!(play(&turns, until_failed).error.is_some(), "another call is no retry");
}

#[test]
fn a_terminated_execution_contradicts_nothing() {
    let turns = history("i").started("o").turn().terminated(None).scheduled(9, "b").new_turn();
    let turn = play(&turns, three_calls);
    assert!(turn.error.is_none(), "{:?}", turn.error);
    turn.gives(answer(&turns).terminates(4, None));
}

#[test]
fn retried_calls_are_compared_as_others_are() {
    let policy = durabletask_core::retry::RetryPolicy {
        first_interval: 0,
        max_attempts: 2,
        backoff_coefficient: 1.0,
        max_interval: None,
        timeout: None,
        non_retryable_error_types: [].into(),
    };
    for turns in [history("i").started("o").scheduled(1, "b"), history("i").started("o").sub_created(1, "a")] {
        let policy = policy.clone();
        let turn = play(&turns, move |context, _| {
            context.retried("a", &policy);
            for_ever()
        });
        let Some(Error::NonDeterminism(details)) = turn.error else { panic!("{:?}", turn.error) };
        assert_eq!(details.found, Found::Call(call(Method::CallActivity, Some("a"))));
    }
}

#[test]
fn the_message_names_place_ids_and_both_calls() {
    let turns = history("order-7").started("o").scheduled(1, "pay").new_turn();
    let turn = play(&turns, three_calls);
    let message = turn.error.expect("a non-determinism error").to_string();
    for part in ["order-7", "event 2", "ID=1", "call_activity('pay')", "call_activity('a')", "is_patched"] {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
    let turns = history("order-7").started("o").timer_created(9, at(1)).new_turn();
    let message = play(&turns, three_calls).error.expect("a non-determinism error").to_string();
    for part in ["create_timer with ID=9", "no call with this ID"] {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
    for (end, text) in all_ends().into_iter().zip(["it returned.", "it raised E: m.", "it called continue_as_new."]) {
        let turns = history("order-7").started("o").scheduled(1, "a").turn().scheduled(2, "pay").new_turn();
        let message = play(&turns, ends(end)).error.expect("a non-determinism error").to_string();
        for part in ["event 4 (ID=2)", "call_activity('pay') with ID=2", "had ended by then: ", text] {
            assert!(message.contains(part), "{part:?} is missing in: {message}");
        }
    }
}

/// Appends a field that no version of the protocol has.
fn with_unknown_field(mut event: Vec<u8>, number: u32) -> Vec<u8> {
    pb::prost::encoding::encode_key(number, pb::prost::encoding::WireType::LengthDelimited, &mut event);
    event.push(0);
    event
}

fn request_with_event(turns: &History, event: &[u8]) -> Vec<u8> {
    let mut bytes = turns.bytes();
    pb::prost::encoding::bytes::encode(4, &event.to_vec(), &mut bytes);
    bytes
}

#[test]
fn an_event_of_an_unknown_type_is_an_error_that_names_its_field() {
    let turns = history("i").started("o");
    let event = with_unknown_field(pb::HistoryEvent { event_id: 9, ..Default::default() }.encode_to_vec(), 77);
    let bytes = request_with_event(&turns, &event);
    let turn = orchestrator(three_calls).play_request(&Request::decode(Span::whole(&bytes)).expect("a request"));
    let Some(Error::State(error)) = turn.error else { panic!("expected a state error, found {:?}", turn.error) };
    assert_eq!(*error, StateError::UnknownEventType { instance_id: "i".into(), event_index: 2, field: 77 });
    let message = error.to_string();
    for part in ["i: ", "event 2", "field 77", "newer"] {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
}

#[test]
fn an_event_without_a_type_is_an_error_that_says_so() {
    let turns = history("i").started("o");
    let bytes = request_with_event(&turns, &pb::HistoryEvent { event_id: 9, ..Default::default() }.encode_to_vec());
    let turn = orchestrator(three_calls).play_request(&Request::decode(Span::whole(&bytes)).expect("a request"));
    let Some(Error::State(error)) = turn.error else { panic!("expected a state error, found {:?}", turn.error) };
    assert_eq!(*error, StateError::EventWithoutType { instance_id: "i".into(), event_index: 2 });
    assert!(error.to_string().contains("event 2 of the history has no type"), "{error}");
}

#[test]
fn a_newer_field_beside_a_known_type_does_not_hide_it() {
    let event = pb::HistoryEvent {
        event_id: 1,
        event_type: Some(pb::history_event::EventType::TimerCreated(pb::TimerCreatedEvent::default())),
        ..Default::default()
    };
    let raw = with_unknown_field(event.encode_to_vec(), 77);
    assert_eq!(Event::decode(Span::whole(&raw)).expect("an event").event_type, EventType::TimerCreated);
    let mut raw = with_unknown_field(Vec::new(), 77);
    raw.extend(event.encode_to_vec());
    assert_eq!(Event::decode(Span::whole(&raw)).expect("an event").event_type, EventType::TimerCreated);
}

/// Decodes a span and says what is wrong with it.
fn corrupt(bytes: &[u8]) -> Corrupt {
    Request::decode(Span::whole(bytes)).expect_err("bytes that are no request")
}

#[test]
fn corruption_is_reported_with_its_kind_and_place() {
    // Field 1 is instanceId, field 3 a past event.
    let cases: [(&[u8], usize, Problem); 7] = [
        (&[0x0a, 5, b'a'], 2, Problem::Truncated),
        (&[0x0a], 1, Problem::Truncated),
        (&[0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], 11, Problem::VarintTooLong),
        (&[0x0a, 1, b'a', 0x0b], 4, Problem::WireType(3)),
        (&[0x0a, 1, b'a', 0x02, 0], 4, Problem::FieldNumber),
        (&[0x0a, 2, b'a', 0xff], 3, Problem::NotUtf8),
        (&[0x0a, 1, b'a', 0x09, 0, 0, 0, 0, 0, 0, 0, 0], 4, Problem::Mismatch(1)),
    ];
    for (bytes, offset, problem) in cases {
        assert_eq!(corrupt(bytes), Corrupt { offset, problem }, "{bytes:?}");
    }
}

#[test]
fn a_number_where_a_message_belongs_is_reported_with_its_place() {
    assert_eq!(corrupt(&[0x0a, 1, b'a', 0x18, 7]), Corrupt { offset: 4, problem: Problem::Mismatch(3) });
}

#[test]
fn places_inside_nested_messages_count_from_the_start_of_the_work_item() {
    let mut event = pb::HistoryEvent {
        event_id: 1,
        event_type: Some(pb::history_event::EventType::TaskScheduled(pb::TaskScheduledEvent {
            name: "name".to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    };
    event.timestamp = Some(pb::prost_types::Timestamp { seconds: 5, nanos: 0 });
    let request =
        pb::OrchestratorRequest { instance_id: "i".to_owned(), new_events: vec![event], ..Default::default() };
    let item = pb::WorkItem {
        request: Some(pb::work_item::Request::OrchestratorRequest(request)),
        completion_token: "token".to_owned(),
    };
    let mut bytes = item.encode_to_vec();
    let place = bytes.windows(4).position(|window| window == b"name").expect("the name is in the bytes");
    bytes[place + 2] = 0xff;

    let item = WorkItem::decode(Span::whole(&bytes)).expect("a work item");
    let request = Request::decode(item.request).expect("a request");
    let raw = request.new_events().next().expect("an event").expect("readable");
    let body = Event::decode(raw).expect("a header").body();
    let scheduled = TaskScheduled::decode(body).expect("fields");
    let error = scheduled.name.text().expect_err("text that is not UTF-8");
    assert_eq!(error, Corrupt { offset: place + 2, problem: Problem::NotUtf8 });

    let turn = orchestrator(three_calls).play_request(&request);
    let message = turn.error.expect("the turn fails").to_string();
    assert_eq!(
        message,
        format!("the orchestrator request can not be decoded: text at byte {} is not UTF-8", place + 2)
    );
}

#[test]
fn numbers_are_cut_to_their_declared_width() {
    // -1 as an int32 has ten bytes on the wire.
    let body = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(TaskCompleted::decode(Span::whole(&body)).expect("a body").task_id, -1);
}
