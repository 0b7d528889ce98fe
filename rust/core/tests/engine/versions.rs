//! Versions and patches: what the history pins, what the response reports.

use crate::support::answer::answer;
use crate::support::history::history;
use crate::support::host::{orchestrator, play};
use crate::support::script::{Context, Ended, for_ever, list};

async fn waits(context: Context, _: Option<String>) -> Ended {
    context.wait("e").await?;
    for_ever().await
}

/// Asks twice for the patch, before and after an event.
async fn patched(context: Context, _: Option<String>) -> Ended {
    let first = context.is_patched("p");
    context.wait("e").await?;
    list(&[first, context.is_patched("p"), context.is_patched("q")])
}

#[test]
fn the_version_used_is_reported() {
    let turns = history("i").started("o");
    let turn = orchestrator(waits).with_versions(&["v1", "v2"]).play(&turns);
    turn.gives(answer(&turns).version(Some("v2"), &[]));
}

#[test]
fn without_versions_and_patches_none_is_reported() {
    let turns = history("i").started("o");
    play(&turns, waits).gives(answer(&turns));
}

#[test]
fn a_version_with_an_empty_name_is_none() {
    let turns = history("i").started("o");
    orchestrator(waits).with_versions(&[""]).play(&turns).gives(answer(&turns));
}

#[test]
fn the_history_pins_the_version() {
    let turns = history("i").turn().with_version(Some("v1"), &[]).started("o").new_turn();
    let turn = orchestrator(waits).with_versions(&["v1", "v2"]).play(&turns);
    turn.gives(answer(&turns).version(Some("v1"), &[]));
}

#[test]
fn a_version_that_is_not_registered_gives_the_turn_back_with_one_action() {
    let turns =
        history("i").turn().with_version(Some("v0"), &[]).started("o").new_turn().raised("e", None).terminated(None);
    let turn = orchestrator(waits).with_versions(&["v1", "v2"]).play(&turns);
    turn.gives(answer(&turns).lacks_version(1));
    assert!(turn.error.is_none(), "{:?}", turn.error);
}

#[test]
fn a_later_turn_without_version_does_not_unpin_it() {
    let turns = history("i").turn().with_version(Some("v1"), &["p"]).turn().with_version(None, &[]).started("o");
    let turn = orchestrator(patched).with_versions(&["v1", "v2"]).play(&turns);
    turn.gives(answer(&turns).version(Some("v1"), &["p"]));
}

#[test]
fn a_patch_first_met_while_not_replaying_is_applied_and_reported() {
    let turns = history("i").started("o");
    play(&turns, patched).gives(answer(&turns).version(None, &["p"]));
}

#[test]
fn a_patch_that_an_earlier_turn_got_past_is_not_applied_and_the_answer_is_remembered() {
    let turns = history("i").started("o").new_turn().raised("e", None);
    play(&turns, patched).gives(answer(&turns).completes(1, "[false, false, true]").version(None, &["q"]));
}

#[test]
fn a_patch_in_the_history_is_applied_while_replaying() {
    let turns = history("i").turn().with_version(None, &["p"]).started("o").new_turn().raised("e", None);
    let turn = play(&turns, patched);
    turn.gives(answer(&turns).completes(1, "[true, true, true]").version(None, &["p", "p", "q"]));
}

#[test]
fn a_patch_is_reported_each_time_it_is_met() {
    let turns = history("i").started("o").raised("e", None);
    let turn = play(&turns, patched);
    turn.gives(answer(&turns).completes(1, "[true, true, true]").version(None, &["p", "p", "q"]));
}

#[test]
fn the_last_version_in_the_history_counts_and_patches_add_up() {
    let turns =
        history("i").turn().with_version(Some("v1"), &["p"]).turn().with_version(Some("v2"), &["q"]).started("o");
    let turns = turns.new_turn().raised("e", None);
    let turn = orchestrator(patched).with_versions(&["v1", "v2", "v3"]).play(&turns);
    turn.gives(answer(&turns).completes(1, "[true, true, true]").version(Some("v2"), &["p", "p", "q"]));
}

#[test]
fn versions_and_patches_are_reported_with_every_kind_of_end() {
    let turns = history("i").started("o").raised("e", None).terminated("1");
    let turn = orchestrator(async |context, _| {
        context.is_patched("p");
        for_ever().await
    });
    let turn = turn.with_versions(&["v1"]).play(&turns);
    turn.gives(answer(&turns).terminates(1, "1").version(Some("v1"), &["p"]));
}
