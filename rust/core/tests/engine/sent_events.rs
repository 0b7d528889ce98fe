//! Events for other instances: sent once, confirmed like every action, and not lost when the sender ends. Some sidecars deliver
//! them as they are.

use durabletask_core::Input;
use durabletask_core::error::{Error, Found};
use durabletask_proto as pb;

use crate::support::answer::answer;
use crate::support::history::{History, history};
use crate::support::host::play;
use crate::support::script::{Context, Ended, for_ever, json};

async fn sender(context: Context, _: Option<String>) -> Ended {
    context.send_event("other", "Go", json("1"));
    Ok(context.activity("a").await?)
}

fn sent(turns: History, id: i32, name: &str) -> History {
    sent_to("other", turns, id, name)
}

fn sent_to(target: &str, turns: History, id: i32, name: &str) -> History {
    let event = pb::EventSentEvent { instance_id: target.into(), name: name.into(), input: Some("1".into()) };
    turns.event(pb::history_event::EventType::EventSent(event)).last(|event| event.event_id = id)
}

#[test]
fn an_event_takes_an_id_and_is_sent() {
    let turns = history("i").started("o");
    play(&turns, sender).gives(answer(&turns).sends_event(1, "other", "Go", "1").schedules(2, "a", 0));
}

#[test]
fn a_confirmed_event_is_not_sent_again() {
    let turns = sent(history("i").started("o"), 1, "Go").scheduled(2, "a").new_turn().completed(2, "2");
    play(&turns, sender).gives(answer(&turns).completes(3, "2"));
}

#[test]
fn an_event_is_not_lost_when_its_sender_ends_in_the_same_turn() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.activity("a");
        context.send_event("other", "Go", Input::None);
        Ok(None)
    });
    turn.gives(answer(&turns).sends_event(2, "other", "Go", None).completes(3, None));

    let turn = play(&turns, async |context, _| {
        context.send_event("other", "Go", Input::None);
        context.continue_as_new(json("7"), false);
        context.send_event("other", "Went", Input::None);
        for_ever().await
    });
    let expected = answer(&turns).sends_event(1, "other", "Go", None).sends_event(2, "other", "Went", None);
    turn.gives(expected.continues_as_new(3, "7"));
}

#[test]
fn another_call_under_the_id_of_a_sent_event_is_found_out() {
    for (name, found) in [("Stop", "send_event('Go')"), ("Go", "call_activity('a')")] {
        let turns = sent(history("i").started("o"), if name == "Go" { 2 } else { 1 }, name).new_turn();
        let Some(Error::NonDeterminism(details)) = play(&turns, sender).error else {
            panic!("expected a non-determinism error for {name}");
        };
        assert_eq!(details.expected.to_string(), format!("send_event('{name}')"));
        let Found::Call(call) = details.found else { panic!("expected another call, found {:?}", details.found) };
        assert_eq!(call.to_string(), found);
    }
}

#[test]
fn nothing_is_sent_by_code_that_has_parted_with_its_history() {
    let turns = history("i").started("o").scheduled(2, "b").new_turn();
    let turn = play(&turns, sender);
    assert!(turn.error.is_some(), "the history has another activity");
    assert_eq!(turn.response.actions.len(), 1, "nothing but the end: {:?}", turn.response);
}

#[test]
fn a_sent_event_that_no_call_asks_for_is_passed_over() {
    let turns = sent(history("i").started("o"), 9, "Go").new_turn().raised("go", None);
    play(&turns, async |context, _| Ok(context.wait("go").await?)).gives(answer(&turns).completes(1, None));
}

/// durabletask-go and Dapr hand the sender's `eventSent` to the target, under the sender's id.
#[test]
fn an_event_arrives_as_it_was_sent() {
    let turns = sent_to("i", history("i").started("o"), 1, "GO");
    let turn = play(&turns, async |context, _| {
        let other = context.activity("a");
        let event = context.wait("go").await?;
        other.await?;
        Ok(event)
    });
    turn.gives(answer(&turns).schedules(1, "a", 0));

    let turns = turns.scheduled(1, "a").new_turn().completed(1, "2");
    let turn = play(&turns, async |context, _| {
        let other = context.activity("a");
        let event = context.wait("go").await?;
        other.await?;
        Ok(event)
    });
    turn.gives(answer(&turns).completes(2, "1"));
}

#[test]
fn an_event_that_an_instance_sends_to_itself_arrives_once() {
    let turns = sent_to("i", history("i").started("o"), 1, "Go").new_turn();
    let turns = sent_to("i", turns, 1, "Go");
    let turn = play(&turns, async |context, _| {
        context.send_event("i", "Go", json("1"));
        let first = context.wait("Go").await?;
        context.set_custom_status(first.as_deref());
        Ok(context.wait("Go").await?)
    });
    turn.gives(answer(&turns).status("1"));
}

#[test]
fn an_event_that_arrives_as_it_was_sent_waits_while_the_instance_is_suspended() {
    let turns = sent_to("i", history("i").started("o").suspended(), 1, "Go");
    play(&turns, async |context, _| Ok(context.wait("Go").await?)).gives(answer(&turns));
    let turns = turns.resumed();
    play(&turns, async |context, _| Ok(context.wait("Go").await?)).gives(answer(&turns).completes(1, "1"));
}
