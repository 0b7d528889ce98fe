//! External events: matched by casefolded name, first come first served on both sides.

use durabletask_core::Notice;

use crate::support::answer::answer;
use crate::support::history::history;
use crate::support::host::play;
use crate::support::script::{for_ever, list};

#[test]
fn an_event_resumes_its_waiter_with_its_payload() {
    let turns = history("i").started("o").new_turn().raised("approved", "true");
    let turn = play(&turns, async |context, _| Ok(context.wait("approved").await?));
    turn.gives(answer(&turns).completes(1, "true"));
}

#[test]
fn names_compare_without_case_in_every_alphabet() {
    // Pairs that Python's str.casefold() makes equal.
    for (raised, awaited) in
        [("APPROVED", "approved"), ("Straße", "STRASSE"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("ﬁnal", "FINAL")]
    {
        let turns = history("i").started("o").new_turn().raised(raised, "1");
        let turn = play(&turns, async |context, _| Ok(context.wait(awaited).await?));
        turn.gives(answer(&turns).completes(1, "1"));
    }
}

#[test]
fn other_names_are_other_events() {
    let turns = history("i").started("o").new_turn().raised("a", "1").raised("a b", "2");
    let turn = play(&turns, async |context, _| Ok(context.wait("b").await?));
    turn.gives(answer(&turns));
}

#[test]
fn of_several_waiters_the_oldest_is_served_first() {
    let turns = history("i").started("o").new_turn().raised("e", "1").raised("E", "2");
    let turn = play(&turns, async |context, _| {
        let (first, second) = (context.wait("e"), context.wait("e"));
        let (second, first) = (second.await?, first.await?);
        list(&[first, second])
    });
    turn.gives(answer(&turns).completes(1, r#"[Some("1"), Some("2")]"#));
}

#[test]
fn events_nobody_waits_for_are_kept_in_order_for_each_name() {
    let turns =
        history("i").started("o").raised("e", "1").raised("f", "2").raised("E", "3").new_turn().raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        let mut got = Vec::new();
        for name in ["e", "e", "f"] {
            got.push(context.wait(name).await?);
        }
        list(&got)
    });
    turn.gives(answer(&turns).completes(1, r#"[Some("1"), Some("3"), Some("2")]"#));
    assert_eq!(turn.notices, [(Notice::Buffered, true); 3]);
}

#[test]
fn an_event_before_the_start_is_kept() {
    let turns = history("i").turn().raised("e", "1").started("o");
    let turn = play(&turns, async |context, _| Ok(context.wait("e").await?));
    turn.gives(answer(&turns).completes(1, "1"));
}

#[test]
fn each_event_is_received_once() {
    let turns = history("i").started("o").raised("e", "1").new_turn().raised("go", None);
    let turn = play(&turns, async |context, _| {
        context.wait("go").await?;
        context.wait("e").await?;
        context.wait("e").await?;
        Ok(None)
    });
    turn.gives(answer(&turns));
    assert_eq!(turn.outstanding, (0, 1));
}

#[test]
fn falsy_payloads_are_payloads_and_an_empty_one_is_none() {
    for (payload, received) in
        [("0", Some("0")), ("\"\"", Some("\"\"")), ("[]", Some("[]")), ("false", Some("false")), ("", None)]
    {
        for turns in [
            history("i").started("o").new_turn().raised("e", payload).raised("go", None),
            history("i").started("o").new_turn().raised("go", None).raised("e", payload),
        ] {
            let turn = play(&turns, async |context, _| {
                context.wait("go").await?;
                Ok(context.wait("e").await?)
            });
            turn.gives(answer(&turns).completes(1, received));
        }
    }
}

#[test]
fn waiters_are_forgotten_once_served() {
    let turns = history("i").started("o").new_turn().raised("e", None);
    let turn = play(&turns, async |context, _| {
        context.wait("e").await?;
        for_ever().await
    });
    assert_eq!(turn.outstanding, (0, 0));
}
