//! Suspension: events wait in order until the execution is resumed, all but an end from outside.

use durabletask_core::Error;

use crate::support::answer::answer;
use crate::support::history::{at, history};
use crate::support::host::play;
use crate::support::script::{Context, Ended, for_ever, list};

/// Two events and the times at which they were received.
async fn two_events(context: Context, _: Option<String>) -> Ended {
    let mut got = Vec::new();
    for _ in 0..2 {
        got.push(context.wait("e").await?);
        got.push(Some(context.now().to_string()));
    }
    list(&got)
}

#[test]
fn while_suspended_events_wait() {
    let turns = history("i").started("o").suspended().new_turn().raised("e", "1").raised("e", "2");
    let turn = play(&turns, two_events);
    turn.gives(answer(&turns));
    assert_eq!(turn.outstanding, (0, 1), "the orchestrator still waits for its first event");
}

#[test]
fn when_resumed_they_are_applied_in_order_with_the_times_of_their_turns() {
    let turns = history("i").started("o").suspended();
    let turns = turns.turn().raised("e", "1").turn().raised("e", "2").new_turn().resumed();
    let turn = play(&turns, two_events);
    let expected = r#"[Some("1"), Some("2026-01-01T00:00:01"), Some("2"), Some("2026-01-01T00:00:02")]"#;
    turn.gives(answer(&turns).completes(1, expected));
}

#[test]
fn after_resuming_events_are_applied_at_once() {
    let turns = history("i").started("o").suspended().raised("e", "1").resumed().new_turn().raised("e", "2");
    let turn = play(&turns, async |context, _| list(&[context.wait("e").await?, context.wait("e").await?]));
    turn.gives(answer(&turns).completes(1, r#"[Some("1"), Some("2")]"#));
}

#[test]
fn held_events_come_before_the_ones_after_the_resumption() {
    let turns = history("i").started("o").suspended().new_turn().raised("e", "1").resumed().raised("e", "2");
    let turn = play(&turns, async |context, _| list(&[context.wait("e").await?, context.wait("e").await?]));
    turn.gives(answer(&turns).completes(1, r#"[Some("1"), Some("2")]"#));
}

/// 0.17.4 lets confirmations wait, and sends unconfirmed actions again in every turn of the suspension.
#[test]
fn what_was_confirmed_while_suspended_may_be_confirmed_again() {
    let script = async |context: Context, _: Option<String>| {
        let (activity, timer, sub) = (context.activity("a"), context.timer(5), context.sub("s"));
        list(&[activity.await?, timer.await?, sub.await?])
    };
    let mut turns = history("i").started("o").suspended();
    for _ in 0..3 {
        turns = turns.scheduled(1, "a").timer_created(2, at(5)).sub_created(3, "s").turn();
    }
    let turns = turns.completed(1, "1").completed(1, "2").resumed().turn().timer_created(2, at(5));
    let turns = turns.new_turn().raised("e", None);
    let turn = play(&turns, script);
    assert!(turn.error.is_none(), "{:?}", turn.error);
    turn.gives(answer(&turns));
    assert_eq!(turn.outstanding, (2, 0));
}

#[test]
fn another_call_confirmed_while_suspended_is_still_found_out() {
    let script = async |context: Context, _: Option<String>| {
        context.activity("a");
        for_ever().await
    };
    for parted in [
        history("i").started("o").suspended().scheduled(1, "a").turn().timer_created(1, at(5)).new_turn(),
        history("i").started("o").suspended().scheduled(1, "a").turn().scheduled(2, "a").new_turn(),
        history("i").started("o").scheduled(1, "a").suspended().scheduled(1, "a").new_turn(),
        history("i").started("o").suspended().scheduled(1, "a").resumed().turn().timer_created(1, at(5)).new_turn(),
    ] {
        let turn = play(&parted, script);
        assert!(matches!(turn.error, Some(Error::NonDeterminism(_))), "{:?}", turn.error);
    }
}

#[test]
fn completions_wait_too() {
    let script = async |context: Context, _: Option<String>| {
        let (activity, timer, sub) = (context.activity("a"), context.timer(5), context.sub("s"));
        list(&[activity.await?, timer.await?, sub.await?])
    };
    let turns =
        history("i").started("o").scheduled(1, "a").timer_created(2, at(5)).sub_created(3, "s").turn().suspended();
    let turns = turns.new_turn().completed(1, "1").timer_fired(2, at(5)).sub_completed(3, "3");
    let turn = play(&turns, script);
    turn.gives(answer(&turns));
    assert_eq!(turn.outstanding, (3, 0));

    let turns = turns.new_turn().resumed();
    play(&turns, script).gives(answer(&turns).completes(4, r#"[Some("1"), None, Some("3")]"#));
}

#[test]
fn suspending_twice_takes_one_resumption() {
    let turns = history("i").started("o").suspended().raised("e", "1").suspended().raised("e", "2");
    let turns = turns.new_turn().resumed();
    let turn = play(&turns, async |context, _| list(&[context.wait("e").await?, context.wait("e").await?]));
    turn.gives(answer(&turns).completes(1, r#"[Some("1"), Some("2")]"#));
}

#[test]
fn resuming_what_is_not_suspended_has_no_effect() {
    let turns = history("i").started("o").resumed().new_turn().resumed().raised("e", "1");
    let turn = play(&turns, async |context, _| Ok(context.wait("e").await?));
    turn.gives(answer(&turns).completes(1, "1"));
}

#[test]
fn an_execution_may_be_suspended_again_and_again() {
    let turns = history("i").started("o");
    let turns = turns.suspended().raised("e", "1").resumed().suspended().turn().raised("e", "2");
    let first = turns.clone().new_turn();
    play(&first, two_events).gives(answer(&first));

    let turns = turns.new_turn().resumed();
    let expected = r#"[Some("1"), Some("2026-01-01T00:00:00"), Some("2"), Some("2026-01-01T00:00:01")]"#;
    play(&turns, two_events).gives(answer(&turns).completes(1, expected));
}

#[test]
fn termination_does_not_wait() {
    let turns = history("i").started("o").suspended().new_turn().raised("e", "1").terminated("\"enough\"");
    let turn = play(&turns, two_events);
    turn.gives(answer(&turns).terminates(1, "\"enough\""));
}

#[test]
fn an_execution_suspended_before_its_start_starts_when_it_is_resumed() {
    let turns = history("i").suspended().started_with("o", "1");
    let turn = play(&turns, async |_, input| Ok(input));
    turn.gives(answer(&turns));
    assert_eq!(turn.started.len(), 0);

    let turns = turns.new_turn().resumed();
    play(&turns, async |_, input| Ok(input)).gives(answer(&turns).completes(1, "1"));
}

#[test]
fn what_is_called_when_held_events_are_applied_is_sent() {
    let turns = history("i").started("o").scheduled(1, "a").turn().suspended().turn().completed(1, "1");
    let turns = turns.new_turn().resumed();
    let turn = play(&turns, async |context, _| {
        context.activity("a").await?;
        context.activity("b").await?;
        for_ever().await
    });
    turn.gives(answer(&turns).schedules_at(at(2), 2, "b", 1));
}

#[test]
fn confirmations_that_were_held_confirm_when_they_are_applied() {
    let turns = history("i").started("o").scheduled(1, "a").turn().completed(1, "1").suspended().scheduled(2, "b");
    let turns = turns.new_turn().resumed().completed(2, "2");
    let turn = play(&turns, async |context, _| {
        context.activity("a").await?;
        Ok(context.activity("b").await?)
    });
    turn.gives(answer(&turns).completes(3, "2"));
}
