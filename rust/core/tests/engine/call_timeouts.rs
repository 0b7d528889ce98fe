//! Calls that may take only so long.

use durabletask_core::retry::RetryPolicy;
use durabletask_core::{ActivityCall, Input, Notice, SubOrchestrationCall};

use crate::support::answer::answer;
use crate::support::history::{History, at, failure, history};
use crate::support::host::play;
use crate::support::script::{Context, Ended, Value, for_ever, list, sub_call};

const SECOND: i64 = 1_000_000;

fn call(timeout: i64) -> ActivityCall<Value> {
    ActivityCall {
        name: "a".into(),
        input: Input::None,
        app_id: None,
        propagation: None,
        timeout: Some(timeout * SECOND),
    }
}

async fn five_seconds(context: Context, _: Option<String>) -> Ended {
    let result = context.call_activity(call(5), None).await;
    context.activity("next");
    list(&[result.map_err(|failed| (failed.error_type, failed.text))])
}

fn asked() -> History {
    history("i").started("o").scheduled(1, "a").timer_created(2, at(5))
}

#[test]
fn a_call_is_paired_with_a_timer_that_has_no_origin() {
    let turns = history("i").started("o");
    let turn = play(&turns, five_seconds);
    turn.gives(answer(&turns).schedules(1, "a", 0).bounds_call(2, at(5)));
    assert_eq!(turn.outstanding, (2, 0));
}

#[test]
fn a_result_that_comes_first_counts_and_the_timer_is_nothing_unexpected() {
    let turns = asked().new_turn().completed(1, "7").timer_fired(2, at(5));
    let turn = play(&turns, five_seconds);
    turn.gives(answer(&turns).completes(4, r#"[Ok(Some("7"))]"#));
    assert!(turn.notices.is_empty(), "{:?}", turn.notices);
}

#[test]
fn a_timer_that_fires_first_fails_the_call_and_what_comes_later_belongs_to_nobody() {
    let turns = asked().new_turn().timer_fired(2, at(5)).completed(1, "7");
    let turn = play(&turns, five_seconds);
    let message =
        "i: call_activity('a') with ID=1 did not complete within its timeout of 5 s, until 2026-01-01T00:00:05 UTC";
    turn.gives(answer(&turns).completes(4, &*format!("[Err((\"TimeoutError\", {message:?}))]")));
    assert_eq!(turn.notices, [(Notice::UnexpectedCompletion("taskCompleted", 1), false)]);
}

#[test]
fn a_failure_that_comes_first_is_the_calls() {
    let turns = asked().new_turn().failed(1, "ValueError", "m").timer_fired(2, at(5));
    let turn = play(&turns, five_seconds);
    turn.gives(answer(&turns).completes(4, r#"[Err(("ValueError", "i: Activity task #1 failed: m"))]"#));
}

#[test]
fn a_sub_orchestration_may_be_bounded_too() {
    let turns = history("i").started("o").sub_created(1, "s").timer_created(2, at(5)).new_turn().timer_fired(2, at(5));
    let turn = play(&turns, async |context, _| {
        let call = SubOrchestrationCall { timeout: Some(5 * SECOND), ..sub_call("s") };
        let failed = context.call_sub(call, None).await.expect_err("its time is over");
        Ok(Some(failed.text))
    });
    let message = "i: call_sub_orchestrator('s') with ID=1 did not complete within its timeout of 5 s, until \
                   2026-01-01T00:00:05 UTC";
    turn.gives(answer(&turns).completes(3, message));
}

fn policy(attempts: u32) -> RetryPolicy {
    RetryPolicy {
        first_interval: SECOND,
        max_attempts: attempts,
        backoff_coefficient: 1.0,
        max_interval: None,
        timeout: None,
        non_retryable_error_types: ["Fatal".into()].into(),
    }
}

async fn two_attempts(context: Context, _: Option<String>) -> Ended {
    let result = context.call_activity(call(5), Some(&policy(2))).await;
    list(&[result.map_err(|failed| failed.error_type)])
}

#[test]
fn with_a_retry_policy_the_timeout_is_each_attempts() {
    let turns = asked().new_turn().timer_fired(2, at(5));
    play(&turns, two_attempts).gives(answer(&turns).pauses(3, at(2), 0));

    let turns = turns.timer_created(3, at(2)).new_turn().timer_fired(3, at(2));
    play(&turns, two_attempts).gives(answer(&turns).schedules_at(at(0), 4, "a", 0).bounds_call(5, at(7)));

    let second = turns.scheduled(4, "a").timer_created(5, at(7));
    let turns = second.clone().new_turn().completed(1, "late").completed(4, "7").timer_fired(5, at(7));
    play(&turns, two_attempts).gives(answer(&turns).completes(6, r#"[Ok(Some("7"))]"#));
    let turns = second.new_turn().timer_fired(5, at(7));
    play(&turns, two_attempts).gives(answer(&turns).completes(6, r#"[Err("TimeoutError")]"#));
}

#[test]
fn an_attempt_that_fails_in_time_is_followed_by_one_with_a_timer_of_its_own() {
    let turns = asked().new_turn().failed(1, "ValueError", "m").timer_fired(2, at(5));
    play(&turns, two_attempts).gives(answer(&turns).pauses(3, at(2), 0));
}

#[test]
fn a_timeout_is_an_error_type_that_a_policy_may_name() {
    let turns = asked().new_turn().timer_fired(2, at(5));
    let turn = play(&turns, async |context, _| {
        let policy = RetryPolicy { non_retryable_error_types: ["TimeoutError".into()].into(), ..policy(9) };
        let failed = context.call_activity(call(5), Some(&policy)).await;
        list(&[failed.is_err()])
    });
    turn.gives(answer(&turns).completes(3, "[true]"));
}

#[test]
fn a_timeout_beyond_all_time_ends_with_it() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.call_activity(call(i64::MAX / SECOND), None);
        for_ever().await
    });
    let end_of_time = durabletask_core::time::Timestamp::MAX;
    turn.gives(answer(&turns).schedules(1, "a", 0).bounds_call(2, end_of_time));
}

#[test]
fn an_execution_that_ends_asks_for_neither() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.call_activity(call(5), None);
        Err(crate::support::script::Raised { error_type: "ValueError".to_owned(), message: "no".to_owned() })
    });
    turn.gives(answer(&turns).fails(3, failure("ValueError", "no")));
}
