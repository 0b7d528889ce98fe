//! Ids and time: the same on every replay, and the same as Python's `uuid` and `datetime` give.

use durabletask_core::Input;
use durabletask_core::ids::GuidSeed;
use durabletask_core::time::Timestamp;

use crate::support::answer::answer;
use crate::support::history::{at, history};
use crate::support::host::play;
use crate::support::script::{for_ever, list, sub_call};

#[test]
fn action_ids_count_from_one_over_all_kinds_of_actions_and_the_completion() {
    let first = history("i").started("o");
    let turn = play(&first, async |context, _| {
        context.activity("a");
        context.timer(5);
        context.sub("s");
        context.activity("b");
        for_ever().await
    });
    turn.gives(
        answer(&first).schedules(1, "a", 0).creates_timer(2, at(5)).creates_sub(3, "s", "i:0003").schedules(4, "b", 1),
    );

    let second = first.scheduled(1, "a").new_turn().completed(1, "7");
    let turn = play(&second, async |context, _| Ok(context.activity("a").await?));
    turn.gives(answer(&second).completes(2, "7"));
}

#[test]
fn waiting_for_external_events_takes_no_action_id() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        context.wait("e");
        context.activity("a");
        for_ever().await
    });
    turn.gives(answer(&turns).schedules(1, "a", 0));
    assert_eq!(turn.outstanding, (1, 1), "one task and one name of events are waited for");
}

#[test]
fn the_time_is_that_of_the_last_turn_and_before_the_first_the_year_1000() {
    let turns = history("i").started("o").new_turn().raised("e", None);
    let turn = play(&turns, async |context, _| {
        let first = context.now();
        context.wait("e").await?;
        list(&[first.to_string(), context.now().to_string()])
    });
    turn.gives(answer(&turns).completes(1, r#"["2026-01-01T00:00:00", "2026-01-01T00:00:01"]"#));
    assert_eq!(Timestamp::BEFORE_START.to_string(), "1000-01-01T00:00:00");
}

#[test]
fn the_time_is_cut_to_microseconds() {
    let turns = history("i").started("o").new_turn().last(|event| {
        event.timestamp = Some(durabletask_proto::prost_types::Timestamp { seconds: 1, nanos: 7_999 });
    });
    let turns = turns.raised("e", None);
    let turn = play(&turns, async |context, _| {
        context.wait("e").await?;
        Ok(Some(context.now().to_string()))
    });
    turn.gives(answer(&turns).completes(1, "1970-01-01T00:00:01.000007"));
}

#[test]
fn guids_are_version_5_of_instance_time_and_count() {
    // Each by Python's uuid.uuid5(namespace, f"{instance_id}_{time.isoformat()}_{count}").
    let cases = [
        ("i", at(0), 0, "a81b0e91-2c6a-567f-aa0e-7171a79d6356"),
        ("i", at(0), 1, "ccd696de-5ab4-5230-a252-59e8e63c7f18"),
        ("i", at(1), 0, "89d40697-37a3-5389-bd92-793c7f9e2d14"),
        ("i", Timestamp::from_micros(at(0).micros() + 7), 2, "cbc25f9c-06a7-50ce-9469-917edbdb51b8"),
        ("Zürich/☃", at(0), 0, "e205242b-aaca-5861-850c-5ea2e666dfaa"),
    ];
    for (instance, time, count, text) in cases {
        assert_eq!(GuidSeed { at: time, count }.text(instance), text, "{instance} {time} {count}");
    }
}

#[test]
fn guids_count_on_over_turns_and_take_each_turns_time() {
    let turns = history("i").started("o").new_turn().raised("e", None);
    let turn = play(&turns, async |context, _| {
        let first = context.guid();
        context.wait("e").await?;
        list(&[first, context.guid()])
    });
    let expected = r#"["a81b0e91-2c6a-567f-aa0e-7171a79d6356", "cd672044-9214-5a57-9712-ffd242847772"]"#;
    turn.gives(answer(&turns).completes(1, expected));
}

#[test]
fn an_activitys_execution_id_is_the_next_guid_and_a_sub_orchestration_draws_none() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        let guid = context.guid();
        assert_eq!(guid, "a81b0e91-2c6a-567f-aa0e-7171a79d6356");
        context.sub("s");
        context.timer(1);
        context.activity("a");
        for_ever().await
    });
    turn.gives(answer(&turns).creates_sub(1, "s", "i:0001").creates_timer(2, at(1)).schedules(3, "a", 1));
}

#[test]
fn a_sub_orchestration_is_named_after_its_parent_and_action_in_hexadecimal() {
    let turns = history("parent").started("o");
    let turn = play(&turns, async |context, _| {
        for _ in 0..16 {
            context.sub("s");
        }
        for_ever().await
    });
    let expected = (1..=16).fold(answer(&turns), |answer, id| {
        answer.creates_sub(id, "s", ["parent:0010", &format!("parent:{id:04x}")][usize::from(id < 16)])
    });
    turn.gives(expected);
}

#[test]
fn a_sub_orchestration_keeps_the_id_that_it_was_given_even_an_empty_one() {
    let turns = history("i").started("o");
    let turn = play(&turns, async |context, _| {
        for id in ["mine", ""] {
            context.call_sub(
                durabletask_core::SubOrchestrationCall { instance_id: Some(id.into()), ..sub_call("s") },
                None,
            );
        }
        for_ever().await
    });
    turn.gives(answer(&turns).creates_sub(1, "s", "mine").creates_sub(2, "s", ""));
}

#[test]
fn events_of_the_past_are_replayed_and_new_ones_are_not() {
    let turns = history("i").started("o").turn().raised("e", None).new_turn().raised("e", None);
    let turn = play(&turns, async |context, _| {
        let mut replayed = vec![context.is_replaying()];
        for _ in 0..2 {
            context.wait("e").await?;
            replayed.push(context.is_replaying());
        }
        list(&replayed)
    });
    turn.gives(answer(&turns).completes(1, "[true, true, false]"));
}

#[test]
fn arguments_are_encoded_only_for_actions_that_are_sent() {
    let turns = history("i").started("o").scheduled_with(1, "a", "1").new_turn().completed(1, None);
    let turn = play(&turns, async |context, _| {
        context.activity_with("a", Input::Deferred(crate::support::script::Value("1"))).await?;
        context.activity_with("b", Input::Deferred(crate::support::script::Value("2"))).await?;
        for_ever().await
    });
    turn.gives(answer(&turns).schedules_at(at(1), 2, "b", 1).input("2"));
    assert_eq!(turn.encoded, 1, "the history has the first argument already");
}
