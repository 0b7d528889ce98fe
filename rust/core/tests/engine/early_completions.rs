//! Completions that stand in the history before the code makes the call that they complete.

use durabletask_core::Notice;
use durabletask_core::ids::GuidSeed;

use crate::support::answer::answer;
use crate::support::history::{History, at, history};
use crate::support::host::play;
use crate::support::script::{Context, Ended, list};

/// Waits, then calls the activity `a`.
async fn late_activity(context: Context, _: Option<String>) -> Ended {
    context.wait("go").await?;
    list(&[context.activity("a").await?])
}

/// The execution id that `late_activity` gives its activity.
fn execution_id() -> String {
    GuidSeed { at: at(1), count: 0 }.text("i")
}

fn waiting() -> History {
    history("i").started("o").new_turn()
}

#[test]
fn a_result_waits_until_the_call_is_made() {
    let turns = waiting().completed(1, "7").raised("go", None);
    let turn = play(&turns, late_activity);
    turn.gives(answer(&turns).completes(2, r#"[Some("7")]"#));
    assert_eq!(turn.notices, [(Notice::UnexpectedCompletion("taskCompleted", 1), false)]);
}

#[test]
fn a_result_of_the_same_execution_waits_too() {
    let turns = waiting().completed_by(1, &execution_id(), "7").raised("go", None);
    play(&turns, late_activity).gives(answer(&turns).completes(2, r#"[Some("7")]"#));
}

#[test]
fn a_result_of_another_execution_does_not_complete_the_call() {
    let turns = waiting().completed_by(1, "of the generation before", "7").raised("go", None);
    play(&turns, late_activity).gives(answer(&turns).schedules_at(at(1), 1, "a", 0));

    let turns = turns.scheduled(1, "a").new_turn().completed_by(1, &execution_id(), "8");
    play(&turns, late_activity).gives(answer(&turns).completes(2, r#"[Some("8")]"#));
}

#[test]
fn a_failure_waits_as_a_result_does() {
    let turns = waiting().failed(1, "ValueError", "m").raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        Ok(Some(context.activity("a").await.expect_err("the history has a failure").text))
    });
    turn.gives(answer(&turns).completes(2, "i: Activity task #1 failed: m"));
}

#[test]
fn a_timer_that_fired_waits_for_the_timer_of_the_same_time_only() {
    let script = async |context: Context, _: Option<String>| {
        context.wait("go").await?;
        context.timer_at(at(9)).await?;
        Ok(Some("\"fired\"".to_owned()))
    };
    let turns = waiting().timer_fired(1, at(9)).raised("go", None);
    play(&turns, script).gives(answer(&turns).completes(2, "\"fired\""));

    let turns = waiting().timer_fired(1, at(8)).raised("go", None);
    play(&turns, script).gives(answer(&turns).creates_timer(1, at(9)));
}

#[test]
fn a_sub_orchestrations_end_waits_for_its_call() {
    let turns = waiting().sub_completed(1, "1").sub_failed(2, "ValueError", "m").raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        let (first, second) = (context.sub("s"), context.sub("t"));
        list(&[first.await?, second.await.err().map(|failed| failed.text)])
    });
    let expected = r#"[Some("1"), Some("Sub-orchestration task #2 failed: m")]"#;
    turn.gives(answer(&turns).completes(3, expected));
}

#[test]
fn an_end_of_one_kind_does_not_complete_a_call_of_another() {
    for turns in [
        waiting().sub_completed(1, "7").raised("go", None),
        waiting().sub_failed(1, "E", "m").raised("go", None),
        waiting().timer_fired(1, at(1)).raised("go", None),
    ] {
        play(&turns, late_activity).gives(answer(&turns).schedules_at(at(1), 1, "a", 0));
    }
    let turns = waiting().completed(1, "7").completed(2, "7").raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        let (timer, sub) = (context.timer(1), context.sub("s"));
        timer.await?;
        list(&[sub.await?])
    });
    turn.gives(answer(&turns).creates_timer(1, at(2)).creates_sub(2, "s", "i:0002"));
}

#[test]
fn results_of_several_calls_are_let_through_in_the_order_of_the_calls() {
    let turns = waiting().completed(2, "2").completed(1, "1").raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        let tasks = [context.activity("a"), context.activity("b")];
        let first = crate::support::script::any(&tasks).await;
        let [a, b] = tasks;
        list(&[Some(format!("{first}")), a.await?, b.await?])
    });
    turn.gives(answer(&turns).completes(3, r#"[Some("0"), Some("1"), Some("2")]"#));
}

#[test]
fn a_result_let_through_may_bring_the_next_call_and_its_result() {
    let turns = waiting().completed(1, "1").completed(2, "2").completed(3, "3").raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        let mut got = Vec::new();
        for name in ["a", "b", "c"] {
            got.push(context.activity(name).await?);
        }
        list(&got)
    });
    turn.gives(answer(&turns).completes(4, r#"[Some("1"), Some("2"), Some("3")]"#));
}

#[test]
fn a_second_completion_of_a_past_call_is_not_kept() {
    let turns = history("i").started("o").scheduled(1, "a").turn().completed(1, "1").scheduled(2, "a");
    let turns = turns.new_turn().completed(1, "again").completed(2, "2");
    let turn = play(&turns, async |context, _| list(&[context.activity("a").await?, context.activity("a").await?]));
    turn.gives(answer(&turns).completes(3, r#"[Some("1"), Some("2")]"#));
}

#[test]
fn a_kept_result_is_delivered_once() {
    let turns = waiting().completed(1, "7").raised("go", None).scheduled(1, "a").turn().completed(1, "8");
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        let first = context.activity("a").await?;
        context.wait("end").await?;
        list(&[first])
    });
    assert_eq!(turn.notices.len(), 2, "the first came early, the second came again: {:?}", turn.notices);
    turn.gives(answer(&turns));
}
