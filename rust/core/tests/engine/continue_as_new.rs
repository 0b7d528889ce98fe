//! Continue-as-new: one action that ends this execution, with the next one's input and the events it inherits.

use durabletask_core::Input;

use crate::support::answer::answer;
use crate::support::history::{at, history};
use crate::support::host::play;
use crate::support::script::{Value, for_ever, json};

#[test]
fn the_new_input_is_the_result_and_pending_actions_are_cleared() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.activity("a");
        context.continue_as_new(json("2"), false);
        Ok(Some("ignored".to_owned()))
    });
    turn.gives(answer(&turns).continues_as_new(2, "2"));
}

#[test]
fn an_input_left_unencoded_is_encoded_for_the_response() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.continue_as_new(Input::Deferred(Value("[]")), false);
        Ok(None)
    });
    turn.gives(answer(&turns).continues_as_new(1, "[]"));
    assert_eq!(turn.encoded, 1);
}

#[test]
fn falsy_inputs_are_inputs_and_none_is_none() {
    for input in ["0", "\"\"", "[]", "false", "null"] {
        let turns = history("i").started("o");
        let turn = play(&turns, move |context, _| async move {
            context.continue_as_new(json(input), false);
            Ok(None)
        });
        turn.gives(answer(&turns).continues_as_new(1, input));
    }
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.continue_as_new(Input::None, true);
        Ok(None)
    });
    turn.gives(answer(&turns).continues_as_new(1, None));
}

#[test]
fn calls_made_afterwards_are_not_sent_and_count() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.continue_as_new(json("1"), false);
        context.activity("a");
        context.timer(1);
        Ok(None)
    });
    turn.gives(answer(&turns).continues_as_new(3, "1"));
}

#[test]
fn the_first_call_counts() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.continue_as_new(json("1"), false);
        context.continue_as_new(json("2"), true);
        Ok(None)
    });
    turn.gives(answer(&turns).continues_as_new(1, "1"));
}

#[test]
fn a_failure_afterwards_changes_nothing() {
    let turns = history("i").started("o").new_turn().raised("e", None).terminated("1");
    let turn = play(&turns, async |context, _| {
        context.wait("e").await?;
        context.continue_as_new(json("1"), false);
        Err(crate::support::script::Raised { error_type: "E".to_owned(), message: "m".to_owned() })
    });
    turn.gives(answer(&turns).continues_as_new(1, "1"));
}

#[test]
fn unconsumed_events_travel_along_grouped_by_casefolded_name() {
    let turns = history("i").started("o");
    let turns = turns.raised("Straße", "1").raised("B", "\"x\"").raised("STRASSE", "2").raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        context.continue_as_new(json("1"), true);
        Ok(None)
    });
    turn.gives(
        answer(&turns)
            .continues_as_new(1, "1")
            .carrying("strasse", "1")
            .carrying("strasse", "2")
            .carrying("b", "\"x\""),
    );
}

#[test]
fn payloads_travel_untouched_falsy_ones_too() {
    let payloads = ["0", "\"\"", "[]", "false", "null", "{\"b\":1, \"a\": 2}", "not json", "1.10"];
    let turns = payloads.iter().fold(history("i").started("o"), |turns, &payload| turns.raised("e", payload));
    let turns = turns.raised("e", None).new_turn().raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        context.continue_as_new(Input::None, true);
        Ok(None)
    });
    let expected = payloads.iter().fold(answer(&turns).continues_as_new(1, None), |answer, &p| answer.carrying("e", p));
    turn.gives(expected.carrying("e", None));
}

#[test]
fn a_name_used_up_and_met_again_goes_to_the_end_of_the_order() {
    let turns = history("i").started("o").raised("a", "1").raised("b", "2").raised("go", None);
    let turns = turns.new_turn().raised("a", "3").raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        context.wait("a").await?;
        context.wait("go").await?;
        context.continue_as_new(Input::None, true);
        Ok(None)
    });
    turn.gives(answer(&turns).continues_as_new(1, None).carrying("b", "2").carrying("a", "3"));
}

#[test]
fn consumed_events_do_not_travel() {
    let turns = history("i").started("o").raised("e", "1").raised("e", "2").raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        context.wait("e").await?;
        context.continue_as_new(Input::None, true);
        Ok(None)
    });
    turn.gives(answer(&turns).continues_as_new(1, None).carrying("e", "2"));
}

#[test]
fn without_save_events_none_travel() {
    let turns = history("i").started("o").raised("e", "1").raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        context.continue_as_new(Input::None, false);
        Ok(None)
    });
    turn.gives(answer(&turns).continues_as_new(1, None));
}

#[test]
fn events_of_the_same_turn_that_arrive_afterwards_travel_too() {
    let turns = history("i").started("o").new_turn().raised("go", None).raised("e", "1");
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        context.continue_as_new(Input::None, true);
        Ok(None)
    });
    turn.gives(answer(&turns).continues_as_new(1, None).carrying("e", "1"));
}

#[test]
fn it_ends_the_execution_while_the_orchestrator_still_waits() {
    let turns = history("i").started("o").timer_created(1, at(1)).new_turn();
    let turn = play(&turns, async |context, _| {
        context.timer(1);
        context.continue_as_new(json("1"), false);
        for_ever().await
    });
    turn.gives(answer(&turns).continues_as_new(2, "1"));
}
