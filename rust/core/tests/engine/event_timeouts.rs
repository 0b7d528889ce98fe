//! Waiting for an external event up to some time: a timer that fails the wait, unless the event comes first.

use crate::support::answer::answer;
use crate::support::history::{at, failure, history};
use crate::support::host::play;
use crate::support::script::{Context, Ended, for_ever, list};

const OVER: &str = "i: the external event 'Go' did not arrive within its timeout of 5 s, until 2026-01-01T00:00:05 UTC";

async fn patient(context: Context, _: Option<String>) -> Ended {
    Ok(context.wait_for("Go", 5).await?)
}

#[test]
fn the_wait_is_bounded_by_a_timer_of_its_own_kind() {
    let turns = history("i").started("o");
    play(&turns, patient).gives(answer(&turns).bounds_wait(1, at(5), "Go"));
}

#[test]
fn the_task_fails_when_the_timer_fires() {
    let turns = history("i").started("o").timer_created(1, at(5)).new_turn().timer_fired(1, at(5));
    let turn = play(&turns, patient);
    turn.gives(answer(&turns).fails(2, failure("TaskFailedError", OVER)));
    assert_eq!(turn.outstanding, (0, 0), "nobody waits any longer");
}

#[test]
fn an_event_that_comes_first_wins_and_the_timer_then_disturbs_nobody() {
    let turns = history("i").started("o").timer_created(1, at(5)).turn().raised("go", "1");
    let turns = turns.new_turn().timer_fired(1, at(5)).raised("GO", "2");
    let turn = play(&turns, async |context, _| {
        let first = context.wait_for("Go", 5).await?;
        let second = context.wait("go").await?;
        list(&[first, second])
    });
    turn.gives(answer(&turns).completes(2, r#"[Some("1"), Some("2")]"#));
    assert!(turn.notices.is_empty(), "the timer is nothing unexpected: {:?}", turn.notices);
}

#[test]
fn an_event_in_the_turn_that_asks_for_the_timer_leaves_the_timer_in_place() {
    // Later calls have later ids on every replay, so the timer is created all the same.
    let turns = history("i").started("o").raised("go", "1");
    let turn = play(&turns, async |context, _| {
        context.wait_for("Go", 5).await?;
        context.activity("a").await?;
        Ok(None)
    });
    turn.gives(answer(&turns).bounds_wait(1, at(5), "Go").schedules(2, "a", 0));
}

#[test]
fn an_event_that_has_arrived_needs_no_timer() {
    let turns = history("i").started("o").raised("go", "1").new_turn().raised("start", None);
    let turn = play(&turns, async |context, _| {
        context.wait("start").await?;
        let got = context.wait_for("Go", 5).await?;
        context.activity("a");
        context.wait(&got.unwrap_or_default()).await?;
        Ok(None)
    });
    turn.gives(answer(&turns).schedules_at(at(1), 1, "a", 0));
}

#[test]
fn no_time_left_is_a_failure_at_once_without_a_timer() {
    for seconds in [0, -5] {
        let turns = history("i").started("o");
        let turn = play(&turns, move |context, _| async move {
            let failed = context.wait_for("Go", seconds).await;
            assert_eq!(failed.map_err(|failed| failed.error_type), Err("TimeoutError".to_owned()));
            context.activity("a");
            for_ever().await
        });
        turn.gives(answer(&turns).schedules(1, "a", 0));
    }
}

#[test]
fn only_the_waiter_whose_time_is_over_gives_up() {
    let turns = history("i").started("o").timer_created(1, at(5)).timer_created(2, at(3));
    let turns = turns.new_turn().timer_fired(2, at(3)).raised("go", "1");
    let turn = play(&turns, async |context, _| {
        let (long, short) = (context.wait_for("Go", 5), context.wait_for("go", 3));
        let short = short.await.map_err(|failed| failed.error_type);
        assert_eq!(short, Err("TimeoutError".to_owned()));
        Ok(long.await?)
    });
    turn.gives(answer(&turns).completes(3, "1"));
}

#[test]
fn the_completion_of_something_else_does_not_end_the_wait() {
    let turns = history("i").started("o").timer_created(1, at(5)).new_turn().completed(1, "stale").raised("go", "1");
    play(&turns, patient).gives(answer(&turns).completes(2, "1"));
}
