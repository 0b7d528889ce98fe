//! What each event does: confirmations, completions, and events that are nobody's concern.

use durabletask_core::{Input, Notice};
use durabletask_proto as pb;
use pb::history_event::EventType;

use crate::support::answer::answer;
use crate::support::history::{History, at, history};
use crate::support::host::{orchestrator, play};
use crate::support::script::{Context, Ended, for_ever, json, list};

/// An orchestrator that returns what it was given.
async fn echo(_: Context, input: Option<String>) -> Ended {
    Ok(input)
}

#[test]
fn execution_started_starts_the_orchestrator_that_it_names_with_its_input() {
    let turns = history("i").started_with("greet", r#"{"name": "Ada"}"#);
    let turn = play(&turns, echo);
    turn.gives(answer(&turns).completes(1, r#"{"name": "Ada"}"#));
    assert_eq!(turn.started, ["greet"]);
}

#[test]
fn an_absent_or_empty_input_is_none() {
    for input in [None, Some("")] {
        let turns = history("i").started_with("o", input);
        play(&turns, echo).gives(answer(&turns).completes(1, None));
    }
}

#[test]
fn an_orchestrator_is_started_once() {
    let turns = history("i")
        .started("o")
        .new_turn()
        .event(EventType::ExecutionStarted(pb::ExecutionStartedEvent { name: "o".to_owned(), ..Default::default() }));
    let turn = play(&turns, async |context, _| {
        context.wait("e");
        for_ever().await
    });
    turn.gives(answer(&turns));
    assert_eq!((turn.started.len(), turn.outstanding), (1, (0, 1)));
}

#[test]
fn confirmed_actions_are_not_sent_again_and_the_others_are() {
    let turns = history("i").started("o").scheduled(1, "a").timer_created(2, at(9)).sub_created(3, "s").new_turn();
    let turn = play(&turns, async |context, _| {
        context.activity("a");
        context.timer(9);
        context.sub("s");
        context.activity("b");
        for_ever().await
    });
    turn.gives(answer(&turns).schedules(4, "b", 1));
}

#[test]
fn confirmations_may_come_in_any_order() {
    let turns = history("i").started("o").scheduled(3, "c").scheduled(1, "a").scheduled(4, "d").new_turn();
    let turn = play(&turns, async |context, _| {
        for name in ["a", "b", "c", "d", "e"] {
            context.activity(name);
        }
        for_ever().await
    });
    turn.gives(answer(&turns).schedules(2, "b", 1).schedules(5, "e", 4));
}

#[test]
fn a_completion_resumes_the_orchestrator_with_its_result() {
    let script = async |context: Context, _| {
        let activity = context.activity("a").await?;
        let sub = context.sub("s").await?;
        let timer = context.timer(1).await?;
        list(&[activity, sub, timer])
    };
    let turns = history("i").started("o").scheduled(1, "a").new_turn().completed(1, "\"A\"");
    play(&turns, script).gives(answer(&turns).creates_sub(2, "s", "i:0002"));

    let turns = turns.sub_created(2, "s").new_turn().sub_completed(2, "\"S\"");
    play(&turns, script).gives(answer(&turns).creates_timer(3, at(3)));

    let turns = turns.timer_created(3, at(3)).new_turn().timer_fired(3, at(3));
    play(&turns, script).gives(answer(&turns).completes(4, r#"[Some("\"A\""), Some("\"S\""), None]"#));
}

#[test]
fn an_absent_or_empty_result_is_none() {
    for result in [None, Some("")] {
        let turns = history("i").started("o").scheduled(1, "a").sub_created(2, "s").new_turn();
        let turns = turns.completed(1, result).sub_completed(2, result);
        let turn = play(&turns, async |context, _| {
            let (activity, sub) = (context.activity("a"), context.sub("s"));
            list(&[activity.await?, sub.await?])
        });
        turn.gives(answer(&turns).completes(3, "[None, None]"));
    }
}

#[test]
fn falsy_results_are_results() {
    for result in ["0", "\"\"", "[]", "{}", "false", "null", "0.0"] {
        let turns = history("i").started("o").scheduled(1, "a").new_turn().completed(1, result);
        let turn = play(&turns, async |context, _| Ok(context.activity("a").await?));
        turn.gives(answer(&turns).completes(2, result));
    }
}

#[test]
fn a_failure_names_the_instance_and_the_activity() {
    let turns =
        history("i").started("o").scheduled(1, "a").new_turn().failed(1, "ValueError", "no good").last(|event| {
            if let Some(EventType::TaskFailed(failed)) = &mut event.event_type {
                failed.failure_details.get_or_insert_default().stack_trace = Some("line 1".to_owned());
            }
        });
    let turn = play(&turns, async |context, _| {
        let failed = context.activity("a").await.expect_err("the history has a failure");
        list(&[failed.text, failed.error_type, failed.message, failed.stack_trace.unwrap_or_default()])
    });
    let expected = r#"["i: Activity task #1 failed: no good", "ValueError", "no good", "line 1"]"#;
    turn.gives(answer(&turns).completes(2, expected));
}

#[test]
fn a_sub_orchestrations_failure_names_it() {
    let turns = history("i").started("o").sub_created(1, "s").new_turn().sub_failed(1, "ValueError", "no good");
    let turn = play(&turns, async |context, _| {
        let failed = context.sub("s").await.expect_err("the history has a failure");
        list(&[failed.text, failed.error_type])
    });
    turn.gives(answer(&turns).completes(2, r#"["Sub-orchestration task #1 failed: no good", "ValueError"]"#));
}

#[test]
fn a_failure_without_details_is_still_a_failure() {
    let turns = history("i").started("o").scheduled(1, "a").new_turn();
    let turns = turns.event(EventType::TaskFailed(pb::TaskFailedEvent { task_scheduled_id: 1, ..Default::default() }));
    let turn = play(&turns, async |context, _| {
        Ok(Some(context.activity("a").await.expect_err("the history has a failure").text))
    });
    turn.gives(answer(&turns).completes(2, "i: Activity task #1 failed: "));
}

#[test]
fn completions_of_nothing_that_is_waited_for_are_ignored_and_reported() {
    let told = |turns: History| {
        turns.completed(1, "2").failed(1, "E", "m").sub_completed(1, None).sub_failed(1, "E", "m").timer_fired(1, at(1))
    };
    let names = [
        "taskCompleted",
        "taskFailed",
        "subOrchestrationInstanceCompleted",
        "subOrchestrationInstanceFailed",
        "timerFired",
    ];
    let turns = told(history("i").started("o").scheduled(1, "a").turn().completed(1, "1"));
    let turns = told(turns.new_turn());
    let turn = play(&turns, async |context, _| {
        context.activity("a").await?;
        for_ever().await
    });
    turn.gives(answer(&turns));
    let replayed_then_new = [true, false]
        .into_iter()
        .flat_map(|replaying| names.into_iter().map(move |name| (Notice::UnexpectedCompletion(name, 1), replaying)));
    assert_eq!(turn.notices, replayed_then_new.collect::<Vec<_>>());
}

#[test]
fn events_of_the_sidecars_own_business_have_no_effect() {
    let events = [
        EventType::OrchestratorCompleted(pb::OrchestratorCompletedEvent {}),
        EventType::ExecutionCompleted(pb::ExecutionCompletedEvent::default()),
        EventType::ExecutionStalled(pb::ExecutionStalledEvent::default()),
        EventType::ContinueAsNew(pb::ContinueAsNewEvent::default()),
        EventType::EventSent(pb::EventSentEvent::default()),
        EventType::DetachedOrchestrationInstanceCreated(pb::DetachedOrchestrationInstanceCreatedEvent::default()),
    ];
    for event in events {
        let turns = history("i").started("o").event(event.clone()).scheduled(1, "a").new_turn();
        let turns = turns.event(event.clone()).completed(1, "1").event(event);
        let turn = play(&turns, async |context, _| Ok(context.activity("a").await?));
        turn.gives(answer(&turns).completes(2, "1"));
    }
}

#[test]
fn a_turn_in_which_nothing_is_called_has_no_actions() {
    let turns = history("i").started("o");
    let turn = orchestrator(async |_, _| for_ever().await).play(&turns);
    turn.gives(answer(&turns));
    assert_eq!(turn.outstanding, (0, 0));
}

#[test]
fn inputs_travel_as_they_are_given() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.activity_with("a", json("{\"x\": \u{e9}}"));
        context.activity_with("b", Input::None);
        context.activity_with("c", json(""));
        for_ever().await
    });
    turn.gives(
        answer(&turns)
            .schedules(1, "a", 0)
            .input("{\"x\": \u{e9}}")
            .schedules(2, "b", 1)
            .schedules(3, "c", 2)
            .input(""),
    );
}

#[test]
fn actions_that_the_past_should_have_confirmed_are_sent_and_reported() {
    let turns = history("i").started("o").scheduled(1, "a").new_turn().raised("e", None);
    let turn = play(&turns, async |context, _| {
        context.activity("a");
        context.activity("added");
        context.timer(5);
        context.sub("added, too");
        for_ever().await
    });
    turn.gives(answer(&turns).schedules(2, "added", 1).creates_timer(3, at(5)).creates_sub(4, "added, too", "i:0004"));
    let unconfirmed: Vec<_> = turn.unconfirmed.iter().map(|(id, call)| (*id, call.to_string())).collect();
    let expected = [
        (2, "call_activity('added')".to_owned()),
        (3, "create_timer".to_owned()),
        (4, "call_sub_orchestrator('added, too')".to_owned()),
    ];
    assert_eq!(unconfirmed, expected);
}

#[test]
fn a_past_that_confirms_everything_leaves_nothing_unconfirmed() {
    let turns = history("i").started("o").scheduled(1, "a").timer_created(2, at(5)).new_turn();
    let turn = play(&turns, async |context, _| {
        context.activity("a");
        context.timer(5);
        for_ever().await
    });
    assert_eq!(turn.unconfirmed, []);
}

#[test]
fn an_execution_that_ended_in_the_past_leaves_nothing_unconfirmed() {
    let turns = history("i").started("o").turn().terminated(None).raised("e", None).new_turn();
    let turn = play(&turns, async |context, _| {
        context.wait("e").await?;
        context.activity("a");
        for_ever().await
    });
    turn.gives(answer(&turns).terminates(1, None));
    assert_eq!(turn.unconfirmed, []);
}
