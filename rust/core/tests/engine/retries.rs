//! Retries: a timer and the same call again under a new id, until the policy gives up.

use durabletask_core::retry::{Delay, RetryPolicy};
use durabletask_core::semantics::Semantics;
use durabletask_core::time::Timestamp;
use durabletask_core::{ActivityCall, Input};

use crate::support::answer::answer;
use crate::support::history::{History, at, failure, history};
use crate::support::host::{Turn, play};
use crate::support::script::{Context, Ended, Value, for_ever, json, list, sub_call};

const SECOND: i64 = 1_000_000;

/// Three attempts, a second apart.
fn policy() -> RetryPolicy {
    RetryPolicy {
        first_interval: SECOND,
        max_attempts: 3,
        backoff_coefficient: 1.0,
        max_interval: None,
        timeout: None,
        non_retryable_error_types: [].into(),
    }
}

async fn retried(context: Context, _: Option<String>) -> Ended {
    let call = ActivityCall {
        name: "a".into(),
        input: json("7"),
        app_id: Some("other".into()),
        propagation: None,
        timeout: None,
    };
    Ok(context.call_activity(call, Some(&policy())).await?)
}

async fn retried_sub(context: Context, _: Option<String>) -> Ended {
    Ok(context.call_sub(sub_call("s"), Some(&policy())).await?)
}

/// Plays one activity under this policy, whose first attempt fails with this error type.
fn first_failure(policy: RetryPolicy, error_type: &str) -> (History, Turn) {
    let turns = history("i").started("o").scheduled(1, "a").new_turn().failed(1, error_type, "m");
    let turn = play(&turns, move |context, _| {
        let policy = policy.clone();
        async move { Ok(context.retried("a", &policy).await?) }
    });
    (turns, turn)
}

#[track_caller]
fn is_retried_after(pause: i64, policy: RetryPolicy, error_type: &str) {
    let (turns, turn) = first_failure(policy, error_type);
    let fire_at = Timestamp::from_micros(at(1).micros() + pause);
    turn.gives(answer(&turns).pauses(2, fire_at, 0));
}

#[track_caller]
fn is_not_retried(policy: RetryPolicy, error_type: &str) {
    let (turns, turn) = first_failure(policy, error_type);
    turn.gives(answer(&turns).fails(2, failure("TaskFailedError", "i: Activity task #1 failed: m")));
}

#[test]
fn a_failed_attempt_is_followed_by_a_timer_and_the_same_call_under_a_new_id() {
    let turns = history("i").started("o");
    play(&turns, retried).gives(answer(&turns).schedules(1, "a", 0).input("7").in_app("other"));

    let turns = turns.scheduled_with(1, "a", "7").new_turn().failed(1, "ValueError", "first");
    play(&turns, retried).gives(answer(&turns).pauses(2, at(2), 0));

    let turns = turns.timer_created(2, at(2)).new_turn().timer_fired(2, at(2));
    play(&turns, retried).gives(answer(&turns).schedules(3, "a", 0).input("7").in_app("other"));

    let turns = turns.scheduled_with(3, "a", "7").new_turn().completed(3, "49");
    play(&turns, retried).gives(answer(&turns).completes(4, "49"));
}

#[test]
fn the_failure_finally_raised_names_the_last_attempt() {
    let turns = history("i").started("o").scheduled(1, "a").turn().failed(1, "ValueError", "first");
    let turns = turns.timer_created(2, at(2)).turn().timer_fired(2, at(2)).scheduled(3, "a");
    let turns = turns.turn().failed(3, "ValueError", "second").timer_created(4, at(4));
    let turns = turns.turn().timer_fired(4, at(4)).scheduled(5, "a").new_turn().failed(5, "ValueError", "third");
    let turn = play(&turns, retried);
    turn.gives(answer(&turns).fails(6, failure("TaskFailedError", "i: Activity task #5 failed: third")));
    assert_eq!(turn.unconfirmed, []);
}

#[test]
fn a_retried_sub_orchestration_keeps_the_instance_id_of_its_first_attempt() {
    let turns = history("i").started("o").sub_created(1, "s").turn().sub_failed(1, "ValueError", "first");
    let turns = turns.timer_created(2, at(2)).new_turn().timer_fired(2, at(2));
    play(&turns, retried_sub).gives(answer(&turns).creates_sub(3, "s", "i:0001"));

    let turns = turns.sub_created(3, "s").turn().sub_failed(3, "ValueError", "second").timer_created(4, at(4)).turn();
    let turns = turns.timer_fired(4, at(4)).sub_created(5, "s").new_turn().sub_failed(5, "ValueError", "third");
    play(&turns, retried_sub)
        .gives(answer(&turns).fails(6, failure("TaskFailedError", "Sub-orchestration task #5 failed: third")));
}

#[test]
fn the_orchestrator_notices_nothing_of_the_attempts() {
    let turns = history("i").started("o").scheduled(1, "a").new_turn().failed(1, "ValueError", "first");
    let turns = turns.timer_created(2, at(2)).turn().timer_fired(2, at(2)).scheduled(3, "a").turn().completed(3, "1");
    let turn = play(&turns, async |context, _| {
        let before = context.guid();
        let result = context.retried("a", &policy()).await?;
        list(&[Some(before), result, Some(context.guid()), Some(context.now().to_string())])
    });
    let expected =
        r#"[Some("a81b0e91-2c6a-567f-aa0e-7171a79d6356"), Some("1"), Some("0c"), Some("2026-01-01T00:00:03")]"#;
    // Two ids were drawn before: the first guid and the execution id, which the second attempt keeps.
    let third = durabletask_core::ids::GuidSeed { at: at(3), count: 2 }.text("i");
    turn.gives(answer(&turns).completes(4, expected.replace("0c", &third).as_str()));
}

#[test]
fn other_work_goes_on_between_attempts() {
    let turns = history("i").started("o").scheduled(1, "a").scheduled(2, "b").new_turn();
    let turns = turns.failed(1, "ValueError", "first").completed(2, "2");
    let turn = play(&turns, async |context, _| {
        let (first, second) = (context.retried("a", &policy()), context.activity("b"));
        second.await?;
        context.activity("c");
        first.await?;
        for_ever().await
    });
    turn.gives(answer(&turns).pauses(3, at(2), 0).schedules_at(at(1), 4, "c", 2));
}

#[test]
fn an_argument_that_the_history_holds_is_sent_again_as_the_history_has_it() {
    let script = async |context: Context, _: Option<String>| {
        let call = ActivityCall {
            name: "a".into(),
            input: Input::Deferred(Value("\"new\"")),
            app_id: None,
            propagation: None,
            timeout: None,
        };
        Ok(context.call_activity(call, Some(&policy())).await?)
    };
    let turns = history("i").started("o").scheduled_with(1, "a", "\"old\"").turn().failed(1, "ValueError", "m");
    let turns = turns.timer_created(2, at(2)).new_turn().timer_fired(2, at(2));
    let turn = play(&turns, script);
    turn.gives(answer(&turns).schedules(3, "a", 0).input("\"old\""));
    assert_eq!(turn.encoded, 0, "nothing is encoded that the history has");
}

#[test]
fn pauses_are_those_of_python() {
    // int(timedelta(seconds=min(coefficient ** (attempt - 1) * first, longest)) / timedelta(microseconds=1)), CPython 3.11.
    let cases: [(i64, f64, Option<i64>, [i64; 8]); 7] = [
        (100_000, 1.1, None, [100_000, 110_000, 121_000, 133_100, 146_410, 161_051, 177_156, 194_872]),
        (
            1_000_000,
            1.5,
            None,
            [1_000_000, 1_500_000, 2_250_000, 3_375_000, 5_062_500, 7_593_750, 11_390_625, 17_085_938],
        ),
        (1, 1.5, None, [1, 2, 2, 3, 5, 8, 11, 17]),
        (3, 1.5, None, [3, 4, 7, 10, 15, 23, 34, 51]),
        (
            333_333,
            3.0,
            Some(5_000_000),
            [333_333, 999_999, 2_999_997, 5_000_000, 5_000_000, 5_000_000, 5_000_000, 5_000_000],
        ),
        (0, 2.0, None, [0; 8]),
        (700_000, 1.3, None, [700_000, 910_000, 1_183_000, 1_537_900, 1_999_270, 2_599_051, 3_378_766, 4_392_396]),
    ];
    for (first_interval, backoff_coefficient, max_interval, pauses) in cases {
        let policy = RetryPolicy { first_interval, backoff_coefficient, max_interval, max_attempts: 9, ..policy() };
        for (attempt, pause) in (1..).zip(pauses) {
            let delay = policy.next_delay(Semantics::V0_17, attempt, "ValueError", at(0), at(0));
            assert_eq!(delay, Some(Delay::Micros(pause)), "after attempt {attempt} under {policy:?}");
        }
        assert_eq!(policy.next_delay(Semantics::V0_17, 9, "ValueError", at(0), at(0)), None);
    }
}

#[test]
fn no_pause_stays_no_pause_however_often_it_is_multiplied() {
    let policy = RetryPolicy { first_interval: 0, backoff_coefficient: 2.0, max_attempts: 5_000, ..policy() };
    for max_interval in [None, Some(SECOND)] {
        let policy = RetryPolicy { max_interval, ..policy.clone() };
        assert_eq!(policy.next_delay(Semantics::V0_17, 4_000, "ValueError", at(0), at(0)), Some(Delay::Micros(0)));
    }
}

#[test]
fn a_single_attempt_is_not_retried() {
    is_not_retried(RetryPolicy { max_attempts: 1, ..policy() }, "ValueError");
}

#[test]
fn a_call_without_policy_is_not_retried() {
    let turns = history("i").started("o").scheduled(1, "a").new_turn().failed(1, "ValueError", "m");
    play(&turns, async |context, _| Ok(context.activity("a").await?))
        .gives(answer(&turns).fails(2, failure("TaskFailedError", "i: Activity task #1 failed: m")));
}

#[test]
fn the_longest_pause_bounds_the_first_one_too() {
    is_retried_after(SECOND / 2, RetryPolicy { max_interval: Some(SECOND / 2), ..policy() }, "ValueError");
    is_retried_after(0, RetryPolicy { max_interval: Some(0), ..policy() }, "ValueError");
}

#[test]
fn the_timeout_counts_replayed_time_from_the_first_schedule() {
    // The failure arrives one second after the call was made.
    is_retried_after(SECOND, RetryPolicy { timeout: Some(SECOND + 1), ..policy() }, "ValueError");
    is_not_retried(RetryPolicy { timeout: Some(SECOND), ..policy() }, "ValueError");
    is_not_retried(RetryPolicy { timeout: Some(0), ..policy() }, "ValueError");
}

#[test]
fn a_timeout_beyond_the_end_of_time_never_ends() {
    is_retried_after(SECOND, RetryPolicy { timeout: Some(i64::MAX), ..policy() }, "ValueError");
}

#[test]
fn errors_that_are_not_retryable_are_matched_by_their_exact_name() {
    let fatal = RetryPolicy { non_retryable_error_types: ["Fatal".into(), "Worse".into()].into(), ..policy() };
    for error_type in ["Fatal", "Worse", "NonRetryableError"] {
        is_not_retried(fatal.clone(), error_type);
    }
    for error_type in ["fatal", "errors.Fatal", "FatalError", "", "durabletask.task.NonRetryableError"] {
        is_retried_after(SECOND, fatal.clone(), error_type);
    }
}

#[test]
fn the_flag_of_a_failure_does_not_decide_over_retries() {
    let turns = history("i").started("o").scheduled(1, "a").new_turn().failed(1, "ValueError", "m").last(|event| {
        if let Some(durabletask_proto::history_event::EventType::TaskFailed(failed)) = &mut event.event_type {
            failed.failure_details.get_or_insert_default().is_non_retriable = true;
        }
    });
    play(&turns, retried).gives(answer(&turns).pauses(2, at(2), 0));
}

#[test]
fn a_pause_beyond_the_year_9999_is_an_error_that_says_so() {
    let policy = RetryPolicy { first_interval: i64::MAX / 2, ..policy() };
    let (turns, turn) = first_failure(policy, "ValueError");
    let message = "i: the retry policy of 'a' asks for a pause after attempt 1 that ends after the year 9999; set \
                   max_retry_interval";
    turn.gives(answer(&turns).fails(2, failure("OrchestrationStateError", message)));
}

#[test]
fn an_attempt_that_ends_before_its_confirmation_is_sent_as_any_other_call() {
    // The sidecar lost what it knew of having scheduled the activity, and did not lose the activity's result.
    let turns = history("i").started("o").completed(1, "1");
    let turn = play(&turns, async |context, _| {
        context.retried("a", &policy()).await?;
        context.activity("b");
        for_ever().await
    });
    turn.gives(answer(&turns).schedules(1, "a", 0).schedules(2, "b", 1));

    let turns = history("i").started("o").failed(1, "ValueError", "m");
    let turn = play(&turns, retried);
    turn.gives(answer(&turns).schedules(1, "a", 0).input("7").in_app("other").pauses(2, at(1), 0));

    let turns = history("i").started("o").failed(1, "NonRetryableError", "m");
    let turn = play(&turns, async |context, _| {
        let failed = context.retried("a", &policy()).await;
        context.activity(&format!("b after {}", failed.is_err()));
        for_ever().await
    });
    turn.gives(answer(&turns).schedules(1, "a", 0).schedules(2, "b after true", 1));
}

#[test]
fn a_retry_after_the_end_is_not_sent() {
    let turns = history("i").started("o").scheduled(1, "a").new_turn().failed(1, "ValueError", "m").terminated(None);
    let turns = turns.turn().timer_fired(2, at(2));
    play(&turns, retried).gives(answer(&turns).terminates(3, None));
}

#[test]
fn the_pause_before_a_sub_orchestration_is_tried_again_names_it() {
    let turns = history("i").started("o").sub_created(1, "s").new_turn().sub_failed(1, "ValueError", "m");
    play(&turns, retried_sub).gives(answer(&turns).pauses_sub(2, at(2), "i:0001"));
}
