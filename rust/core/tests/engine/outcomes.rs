//! How a turn ends: one completion and nothing beside it.

use durabletask_core::{Input, decode_failure_response};
use durabletask_proto as pb;
use pb::orchestrator_action::OrchestratorActionType;

use crate::support::answer::answer;
use crate::support::history::{failure, history};
use crate::support::host::play;
use crate::support::script::{Raised, UNENCODABLE, for_ever};

#[test]
fn completion_clears_pending_actions() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.activity("a");
        context.timer(1);
        Ok(Some("\"done\"".to_owned()))
    });
    turn.gives(answer(&turns).completes(3, "\"done\""));
}

#[test]
fn a_completion_without_result_has_none() {
    let turns = history("i").started("o");
    play(&turns, async |_, _| Ok(None)).gives(answer(&turns).completes(1, None));
}

#[test]
fn falsy_results_are_reported() {
    for result in ["0", "\"\"", "[]", "false", "null"] {
        let turns = history("i").started("o");
        play(&turns, async move |_, _| Ok(Some(result.to_owned()))).gives(answer(&turns).completes(1, result));
    }
}

#[test]
fn an_exception_fails_the_execution_and_clears_pending_actions() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.activity("a");
        Err(Raised { error_type: "KeyError".to_owned(), message: "'x'".to_owned() })
    });
    turn.gives(answer(&turns).fails(2, failure("KeyError", "'x'")));
}

#[test]
fn a_failure_that_the_orchestrator_does_not_catch_fails_the_execution() {
    let turns = history("i").started("o").scheduled(1, "a").new_turn().failed(1, "ValueError", "no good");
    let turn = play(&turns, async |context, _| Ok(context.activity("a").await?));
    turn.gives(answer(&turns).fails(2, failure("TaskFailedError", "i: Activity task #1 failed: no good")));
}

#[test]
fn termination_clears_pending_actions_and_keeps_the_output_as_it_is() {
    for output in [Some("\"enough\""), Some("0"), Some("\"\""), Some("not json"), None] {
        let turns = history("i").started("o").new_turn().terminated(output);
        let turn = play(&turns, async |context, _| {
            context.activity("a");
            for_ever().await
        });
        turn.gives(answer(&turns).terminates(2, output));
    }
}

#[test]
fn the_first_end_counts() {
    let turns = history("i").started("o").new_turn().terminated("1").raised("e", None).terminated("2");
    let turn = play(&turns, async |context, _| {
        context.wait("e").await?;
        context.activity("too late");
        Ok(Some("3".to_owned()))
    });
    turn.gives(answer(&turns).terminates(1, "1"));

    let turns = history("i").started("o").new_turn().raised("e", None).terminated("1");
    let turn = play(&turns, async |context, _| {
        context.wait("e").await?;
        Ok(Some("3".to_owned()))
    });
    turn.gives(answer(&turns).completes(1, "3"));
}

#[test]
fn calls_after_the_end_are_not_sent() {
    let turns = history("i").started("o").new_turn().terminated(None).raised("e", None);
    let turn = play(&turns, async |context, _| {
        context.wait("e").await?;
        context.activity("a");
        context.timer(1);
        context.sub("s");
        for_ever().await
    });
    turn.gives(answer(&turns).terminates(1, None));
}

#[test]
fn confirmations_after_the_end_are_no_contradiction() {
    let turns = history("i").started("o").now_new().terminated(None).scheduled(1, "a").turn().completed(1, None);
    let turn = play(&turns, async |context, _| {
        context.activity("a");
        for_ever().await
    });
    turn.gives(answer(&turns).terminates(2, None));
    assert!(turn.error.is_none(), "{:?}", turn.error);
}

#[test]
fn each_response_carries_the_custom_status_set_last() {
    let turns = history("i").started("o").new_turn().raised("e", None);
    let turn = play(&turns, async |context, _| {
        context.set_custom_status(Some("\"waiting\""));
        context.wait("e").await?;
        context.set_custom_status(Some("not json"));
        for_ever().await
    });
    turn.gives(answer(&turns).status("not json"));

    let turns = history("i").started("o");
    play(&turns, async |context, _| {
        context.set_custom_status(Some(""));
        Ok(None)
    })
    .gives(answer(&turns).completes(1, None).status(""));
    play(&turns, async |context, _| {
        context.set_custom_status(Some("1"));
        context.set_custom_status(None);
        Ok(None)
    })
    .gives(answer(&turns).completes(1, None));
}

#[test]
fn a_failed_execution_still_reports_its_custom_status() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.set_custom_status(Some("1"));
        Err(Raised { error_type: "E".to_owned(), message: "m".to_owned() })
    });
    turn.gives(answer(&turns).fails(1, failure("E", "m")).status("1"));
}

#[test]
fn an_argument_that_can_not_be_encoded_fails_the_execution_however_it_had_ended() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.activity_with("a", Input::Deferred(UNENCODABLE));
        for_ever().await
    });
    turn.gives(answer(&turns).fails(2, failure("TypeError", "not JSON")));

    let turn = play(&turns, async |context, _| {
        context.continue_as_new(Input::Deferred(UNENCODABLE), true);
        Ok(None)
    });
    turn.gives(answer(&turns).fails(1, failure("TypeError", "not JSON")));
}

#[test]
fn an_argument_that_can_not_be_encoded_is_nothing_once_it_is_not_needed() {
    let turns = history("i").started("o").scheduled_with(1, "a", "1").new_turn().completed(1, None);
    let turn = play(&turns, async |context, _| {
        context.activity_with("a", Input::Deferred(UNENCODABLE)).await?;
        Ok(None)
    });
    turn.gives(answer(&turns).completes(2, None));
}

#[test]
fn a_request_that_cannot_be_read_is_answered_with_a_failure_under_id_minus_one() {
    let details = failure("ValueError", "what and where");
    let response = decode_failure_response("i".to_owned(), "token".to_owned(), details.clone());
    let complete = pb::CompleteOrchestrationAction {
        orchestration_status: pb::OrchestrationStatus::Failed.into(),
        result: Some(String::new()),
        failure_details: Some(details),
        ..Default::default()
    };
    let action = pb::OrchestratorAction {
        id: -1,
        router: None,
        orchestrator_action_type: Some(OrchestratorActionType::CompleteOrchestration(complete)),
    };
    let expected = pb::OrchestratorResponse {
        instance_id: "i".to_owned(),
        completion_token: "token".to_owned(),
        actions: vec![action],
        ..Default::default()
    };
    assert_eq!(response, expected);
}
