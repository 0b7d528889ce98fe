//! Completions that the execution before has left over: they come under ids that this one uses again, and belong to nobody.

use durabletask_core::Notice;
use durabletask_core::ids::GuidSeed;
use durabletask_core::retry::RetryPolicy;

use crate::support::answer::answer;
use crate::support::history::{History, at, history};
use crate::support::host::play;
use crate::support::script::{Context, Ended, TaskResult, for_ever, list};

const BEFORE: &str = "of the execution before";

/// The execution id that an execution gives its first activity, in its first turn.
fn own() -> String {
    GuidSeed { at: at(0), count: 0 }.text("i")
}

async fn one_activity(context: Context, _: Option<String>) -> Ended {
    list(&[context.activity("a").await?])
}

fn stale(turn: &crate::support::host::Turn) -> usize {
    turn.notices.iter().filter(|(notice, _)| matches!(notice, Notice::StaleCompletion(..))).count()
}

#[test]
fn a_result_for_the_execution_before_does_not_complete_a_call_made_in_the_same_turn() {
    let turns = history("i").started("o").completed_by(1, BEFORE, "\"old\"");
    let turn = play(&turns, one_activity);
    turn.gives(answer(&turns).schedules(1, "a", 0));
    assert_eq!(turn.notices, [(Notice::StaleCompletion("taskCompleted", 1), false)]);

    let turns = turns.scheduled_by(1, "a", &own()).new_turn().completed_by(1, &own(), "\"new\"");
    let turn = play(&turns, one_activity);
    turn.gives(answer(&turns).completes(2, r#"[Some("\"new\"")]"#));
    assert_eq!(turn.notices, [(Notice::StaleCompletion("taskCompleted", 1), true)]);
}

#[test]
fn it_does_not_complete_a_call_that_is_confirmed_either() {
    let turns = history("i").started("o").scheduled_by(1, "a", &own()).new_turn().completed_by(1, BEFORE, "\"old\"");
    let turn = play(&turns, one_activity);
    turn.gives(answer(&turns));
    assert_eq!((stale(&turn), turn.outstanding), (1, (1, 0)));

    let turns = turns.new_turn().completed_by(1, &own(), "\"new\"");
    play(&turns, one_activity).gives(answer(&turns).completes(2, r#"[Some("\"new\"")]"#));
}

#[test]
fn where_one_side_does_not_name_an_execution_the_id_decides() {
    let started = || history("i").started("o");
    for turns in [
        started().completed(1, "7"),
        started().scheduled_by(1, "a", &own()).new_turn().completed(1, "7"),
        started().scheduled(1, "a").new_turn().completed_by(1, BEFORE, "7"),
        started().scheduled(1, "a").new_turn().completed(1, "7"),
    ] {
        play(&turns, one_activity).gives(answer(&turns).completes(2, r#"[Some("7")]"#));
    }
}

#[test]
fn the_execution_that_the_history_confirmed_counts_and_not_the_one_that_the_code_would_ask_for_today() {
    // As in a history that was taken over by another instance: ids are made from the name of the first.
    let turns = history("i").started("o").scheduled_by(1, "a", BEFORE).new_turn().completed_by(1, BEFORE, "7");
    play(&turns, one_activity).gives(answer(&turns).completes(2, r#"[Some("7")]"#));
}

#[test]
fn a_failure_for_the_execution_before_fails_nothing() {
    let turns = history("i").started("o").scheduled_by(1, "a", &own()).new_turn().failed_by(1, BEFORE, "ValueError");
    let turn = play(&turns, one_activity);
    turn.gives(answer(&turns));
    assert_eq!(turn.notices, [(Notice::StaleCompletion("taskFailed", 1), false)]);
}

async fn two_attempts(context: Context, _: Option<String>) -> Ended {
    let policy = RetryPolicy {
        first_interval: 1_000_000,
        max_attempts: 2,
        backoff_coefficient: 1.0,
        max_interval: None,
        timeout: None,
        non_retryable_error_types: [].into(),
    };
    let result: TaskResult = context.retried("a", &policy).await;
    list(&[result?])
}

#[test]
fn it_takes_no_attempt_from_a_call_that_is_retried() {
    let started = || history("i").started("o").scheduled_by(1, "a", &own());
    let turns = started().new_turn().failed_by(1, BEFORE, "ValueError");
    play(&turns, two_attempts).gives(answer(&turns));

    // Every attempt has the execution id of the first.
    let turns =
        started().turn().failed_by(1, &own(), "ValueError").timer_created(2, at(2)).turn().timer_fired(2, at(2));
    let turns = turns.scheduled_by(3, "a", &own()).new_turn().completed_by(3, &own(), "7");
    play(&turns, two_attempts).gives(answer(&turns).completes(4, r#"[Some("7")]"#));
}

#[test]
fn a_pause_ends_with_the_timer_of_its_time() {
    let failed = history("i").started("o").scheduled_by(1, "a", &own()).turn().failed_by(1, &own(), "ValueError");
    let turns = failed.clone().timer_created(2, at(2)).new_turn().timer_fired(2, at(1));
    let turn = play(&turns, two_attempts);
    turn.gives(answer(&turns));
    assert_eq!(turn.notices, [(Notice::StaleCompletion("timerFired", 2), false)]);

    let turns = failed.timer_created(2, at(2)).new_turn().timer_fired(2, at(2));
    play(&turns, two_attempts).gives(answer(&turns).schedules_at(at(0), 3, "a", 0));
}

async fn one_timer(context: Context, _: Option<String>) -> Ended {
    context.timer(9).await?;
    list(&["fired"])
}

fn timer_of(turns: History, fired: i64) -> History {
    turns.new_turn().timer_fired(1, at(fired))
}

#[test]
fn a_timer_fires_at_its_own_time() {
    let same_turn = history("i").started("o").timer_fired(1, at(8));
    let turn = play(&same_turn, one_timer);
    turn.gives(answer(&same_turn).creates_timer(1, at(9)));
    assert_eq!(turn.notices, [(Notice::StaleCompletion("timerFired", 1), false)]);

    let created = || history("i").started("o").timer_created(1, at(9));
    let turns = timer_of(created(), 8);
    play(&turns, one_timer).gives(answer(&turns));
    let turns = timer_of(timer_of(created(), 8), 9);
    play(&turns, one_timer).gives(answer(&turns).completes(2, r#"["fired"]"#));
}

#[test]
fn the_time_of_a_timer_is_the_one_that_the_history_created_it_with() {
    // The code asked for ten seconds when the timer was created, and asks for nine today.
    let created = || history("i").started("o").timer_created(1, at(10));
    let turns = timer_of(created(), 10);
    play(&turns, one_timer).gives(answer(&turns).completes(2, r#"["fired"]"#));
    let turns = timer_of(created(), 9);
    play(&turns, one_timer).gives(answer(&turns));
    let without_time = created().last(|event| {
        event.event_type = Some(durabletask_proto::history_event::EventType::TimerCreated(
            durabletask_proto::TimerCreatedEvent::default(),
        ));
    });
    let turns = timer_of(without_time, 3);
    play(&turns, one_timer).gives(answer(&turns).completes(2, r#"["fired"]"#));
}

#[test]
fn the_end_of_a_wait_is_that_of_its_own_timer() {
    let script = async |context: Context, _: Option<String>| {
        let waited = context.wait_for("go", 5).await;
        list(&[waited.is_ok()])
    };
    let turns = history("i").started("o").timer_created(1, at(5)).new_turn().timer_fired(1, at(4));
    play(&turns, script).gives(answer(&turns));
    let turns = turns.new_turn().timer_fired(1, at(5));
    play(&turns, script).gives(answer(&turns).completes(2, "[false]"));
}

#[test]
fn a_completion_of_another_kind_completes_nothing() {
    let activity = || history("i").started("o").scheduled(1, "a").new_turn();
    for turns in
        [activity().sub_completed(1, "7"), activity().sub_failed(1, "E", "m"), activity().timer_fired(1, at(0))]
    {
        let turn = play(&turns, one_activity);
        turn.gives(answer(&turns));
        assert_eq!((stale(&turn), turn.outstanding), (1, (1, 0)));
    }
    let timer = || history("i").started("o").timer_created(1, at(9)).new_turn();
    for turns in [timer().completed(1, "7"), timer().failed(1, "E", "m"), timer().sub_completed(1, "7")] {
        play(&turns, one_timer).gives(answer(&turns));
    }
    let sub = || history("i").started("o").sub_created(1, "s").new_turn();
    for turns in [sub().completed(1, "7"), sub().failed(1, "E", "m"), sub().timer_fired(1, at(9))] {
        let turn = play(&turns, async |context, _| {
            context.sub("s").await?;
            for_ever().await
        });
        turn.gives(answer(&turns));
        assert_eq!(turn.outstanding, (1, 0));
    }
}
