//! Routers: every action says which application it comes from, and which it is for if that is another one.

use durabletask_core::retry::RetryPolicy;
use durabletask_core::{ActivityCall, Input, SubOrchestrationCall};

use crate::support::answer::answer;
use crate::support::history::{at, failure, history};
use crate::support::host::play;
use crate::support::script::{Context, Ended, Raised, for_ever, sub_call};

async fn three_calls(context: Context, _: Option<String>) -> Ended {
    context.activity("a");
    context.call_activity(
        ActivityCall {
            name: "b".into(),
            input: Input::None,
            app_id: Some("theirs".into()),
            propagation: None,
            timeout: None,
        },
        None,
    );
    context.call_sub(SubOrchestrationCall { app_id: Some("theirs".into()), ..sub_call("s") }, None);
    context.timer(1);
    for_ever().await
}

#[test]
fn calls_name_their_application_and_the_one_that_runs_them() {
    let turns = history("i").started("o").routed("mine", None);
    play(&turns, three_calls).gives(
        answer(&turns)
            .in_name_of("mine")
            .schedules(1, "a", 0)
            .schedules(2, "b", 1)
            .in_app("theirs")
            .creates_sub(3, "s", "i:0003")
            .in_app("theirs")
            .creates_timer(4, at(1)),
    );
}

#[test]
fn an_execution_started_by_another_application_belongs_to_the_target() {
    let turns = history("i").started("o").routed("caller", Some("mine"));
    let turn = play(&turns, async |_, _| Ok(None));
    turn.gives(answer(&turns).in_name_of("mine").completes(1, None));
}

#[test]
fn an_empty_target_counts_as_none() {
    let turns = history("i").started("o").routed("mine", Some(""));
    play(&turns, async |_, _| Ok(None)).gives(answer(&turns).in_name_of("mine").completes(1, None));
}

#[test]
fn without_an_application_calls_carry_an_empty_router_and_ends_none() {
    let turns = history("i").started("o");
    play(&turns, three_calls).gives(
        answer(&turns)
            .schedules(1, "a", 0)
            .schedules(2, "b", 1)
            .in_app("theirs")
            .creates_sub(3, "s", "i:0003")
            .in_app("theirs")
            .creates_timer(4, at(1)),
    );
    play(&turns, async |_, _| Ok(None)).gives(answer(&turns).completes(1, None));
}

#[test]
fn every_end_carries_the_router() {
    let turns = history("i").started("o").routed("mine", None);
    let turn = play(&turns, async |_, _| Err(Raised { error_type: "E".to_owned(), message: "m".to_owned() }));
    turn.gives(answer(&turns).in_name_of("mine").fails(1, failure("E", "m")));

    let turn = play(&turns, async |context, _| {
        context.continue_as_new(Input::None, false);
        Ok(None)
    });
    turn.gives(answer(&turns).in_name_of("mine").continues_as_new(1, None));

    let turns = turns.new_turn().terminated(None);
    play(&turns, async |_, _| for_ever().await).gives(answer(&turns).in_name_of("mine").terminates(1, None));
}

#[test]
fn a_retried_call_goes_to_the_same_application() {
    let turns = history("i").started("o").routed("mine", None).sub_created(1, "s").turn().sub_failed(1, "E", "m");
    let turns = turns.timer_created(2, at(2)).new_turn().timer_fired(2, at(2));
    let turn = play(&turns, async |context, _| {
        let policy = RetryPolicy {
            first_interval: 1_000_000,
            max_attempts: 2,
            backoff_coefficient: 1.0,
            max_interval: None,
            timeout: None,
            non_retryable_error_types: [].into(),
        };
        let call = SubOrchestrationCall { app_id: Some("theirs".into()), ..sub_call("s") };
        Ok(context.call_sub(call, Some(&policy)).await?)
    });
    turn.gives(answer(&turns).in_name_of("mine").creates_sub(3, "s", "i:0001").in_app("theirs"));
}
