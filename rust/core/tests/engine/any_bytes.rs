//! Whatever the bytes are, the engine answers: with a response or an error, never with a panic.
//!
//! A panic inside these properties is the failure; `PROPTEST_CASES` asks for longer runs.

use durabletask_core::Error;
use durabletask_core::semantics::Semantics;
use durabletask_core::wire::{Event, EventType, Request, Span, WorkItem};
use pb::prost::Message;
use proptest::prelude::*;
use proptest::sample::Index;

use durabletask_proto as pb;

use crate::support::cases;
use crate::support::follower::{follower, wanderer};
use crate::support::host::{Player, Turn};
use crate::support::messages::request;
use crate::support::recordings::recordings;

/// Reads bytes as a work item, and plays what can be read.
fn play(bytes: &[u8], player: impl FnOnce(&Request<'_>) -> Player) -> Option<Turn> {
    let item = WorkItem::decode(Span::whole(bytes)).ok()?;
    let request = Request::decode(item.request).ok()?;
    let turn = player(&request).play_request(&request);
    check(&turn, request.instance_id);
    Some(turn)
}

/// What holds for every response.
fn check(turn: &Turn, instance_id: &str) {
    let response = &turn.response;
    assert_eq!(response.instance_id, instance_id);
    assert!(response.actions.is_sorted_by(|a, b| a.id < b.id), "ids do not ascend: {response:?}");
    assert!(response.actions.iter().all(|action| action.id > 0), "an id below one: {response:?}");
    assert!(
        response.actions.iter().all(|action| action.orchestrator_action_type.is_some()),
        "an action that asks for nothing: {response:?}"
    );
    if turn.error.is_some() {
        assert_eq!(response.actions.len(), 1, "after {:?} there is more than the end: {response:?}", turn.error);
    }
}

/// The bytes of one recorded work item.
fn recorded() -> impl Strategy<Value = Vec<u8>> {
    any::<Index>().prop_map(|index| index.get(recordings()).work_item.clone())
}

fn truncated() -> impl Strategy<Value = Vec<u8>> {
    (recorded(), any::<Index>()).prop_map(|(mut bytes, end)| {
        bytes.truncate(end.index(bytes.len()));
        bytes
    })
}

fn flipped() -> impl Strategy<Value = Vec<u8>> {
    (recorded(), prop::collection::vec((any::<Index>(), 0..8_u8), 1..8)).prop_map(|(mut bytes, flips)| {
        for (place, bit) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
        }
        bytes
    })
}

fn spliced() -> impl Strategy<Value = Vec<u8>> {
    (recorded(), recorded(), any::<[Index; 3]>()).prop_map(|(mut into, from, [at, start, end])| {
        let (start, end) = (start.index(from.len()), end.index(from.len()));
        let at = at.index(into.len());
        into.splice(at..at, from[start.min(end)..start.max(end)].iter().copied());
        into
    })
}

/// A recorded request whose events were shuffled, dropped and taken from other recordings.
fn rearranged() -> impl Strategy<Value = Vec<u8>> {
    let events = prop::collection::vec((any::<Index>(), any::<Index>()), 0..40);
    (any::<Index>(), events, any::<Index>()).prop_map(|(head, events, past)| {
        let mut request = head.get(recordings()).request();
        let begin = request.past_events.iter().chain(&request.new_events).take(2).cloned().collect::<Vec<_>>();
        let taken = events.into_iter().filter_map(|(turn, event)| {
            let request = turn.get(recordings()).request();
            let all: Vec<_> = request.past_events.into_iter().chain(request.new_events).collect();
            (!all.is_empty()).then(|| event.get(&all).clone())
        });
        let mut all: Vec<_> = begin.into_iter().chain(taken).collect();
        let new = all.split_off(past.index(all.len() + 1));
        (request.past_events, request.new_events) = (all, new);
        work_item(request)
    })
}

fn work_item(request: pb::OrchestratorRequest) -> Vec<u8> {
    let request = Some(pb::work_item::Request::OrchestratorRequest(request));
    pb::WorkItem { request, completion_token: String::new() }.encode_to_vec()
}

proptest! {
    #![proptest_config(cases(4_096))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), seed: u64) {
        play(&bytes, |request| wanderer(request, seed));
        let _ = Event::decode(Span::whole(&bytes)).map(|event| (event.timestamp(), event.app_id()));
    }

    #[test]
    fn truncated_recordings(bytes in truncated(), seed: u64) {
        play(&bytes, |request| wanderer(request, seed));
    }

    #[test]
    fn recordings_with_flipped_bits(bytes in flipped(), seed: u64) {
        play(&bytes, |request| wanderer(request, seed));
        play(&bytes, follower);
    }

    #[test]
    fn spliced_recordings(bytes in spliced(), seed: u64) {
        play(&bytes, |request| wanderer(request, seed));
        play(&bytes, follower);
    }

    #[test]
    fn rearranged_recordings(bytes in rearranged(), seed: u64) {
        play(&bytes, |request| wanderer(request, seed)).expect("readable bytes");
        play(&bytes, follower).expect("readable bytes");
    }

    #[test]
    fn recordings_under_orchestrators_that_they_do_not_fit(bytes in recorded(), seed: u64) {
        play(&bytes, |request| wanderer(request, seed)).expect("readable bytes");
    }
}

proptest! {
    #![proptest_config(cases(1_024))]

    #[test]
    fn random_messages(request in request(), seed: u64) {
        let turn = play(&work_item(request), |request| wanderer(request, seed)).expect("readable bytes");
        prop_assert!(!matches!(turn.error, Some(Error::Corrupt(_))), "well-formed messages are not corrupt: {:?}", turn.error);
    }

    #[test]
    fn under_other_semantics(bytes in rearranged(), request in request(), seed: u64) {
        for semantics in [Semantics::Dapr1_18, Semantics::Dapr1_19] {
            play(&bytes, |request| wanderer(request, seed).following(semantics)).expect("readable bytes");
            play(&bytes, |request| follower(request).following(semantics)).expect("readable bytes");
            play(&work_item(request.clone()), |request| wanderer(request, seed).following(semantics)).expect("readable bytes");
        }
    }

    #[test]
    fn a_turn_replays_to_the_same_response(bytes in rearranged(), seed: u64) {
        let first = play(&bytes, |request| wanderer(request, seed)).expect("readable bytes");
        let second = play(&bytes, |request| wanderer(request, seed)).expect("readable bytes");
        prop_assert_eq!(first.response, second.response);
    }
}

#[test]
fn long_nests_and_lengths_are_no_danger() {
    // A length of almost 2^64, and groups nested deeply, which protobuf 3 does not use.
    for bytes in [vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], vec![0x0b; 100_000]] {
        assert!(WorkItem::decode(Span::whole(&bytes)).is_err());
        assert!(Request::decode(Span::whole(&bytes)).is_err());
        assert!(Event::decode(Span::whole(&bytes)).is_err());
    }
    assert_eq!(Event::decode(Span::whole(&[])).expect("no bytes").event_type, EventType::Unknown(0));
}
