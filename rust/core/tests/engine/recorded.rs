//! Recorded turns of real sidecars, played without their orchestrators: what can be said of every history.

use durabletask_core::Error;
use durabletask_core::error::Found;
use durabletask_core::wire::{Request, Span, WorkItem};
use pb::orchestrator_action::OrchestratorActionType;
use pb::prost::Message;

use durabletask_proto as pb;

use crate::support::follower::follower;
use crate::support::host::Turn;
use crate::support::recordings::{Recorded, recordings};

fn play(recorded: &Recorded, request: &pb::OrchestratorRequest) -> Turn {
    let bytes = request.encode_to_vec();
    let request = Request::decode(Span::whole(&bytes)).unwrap_or_else(|e| panic!("{}: {e}", recorded.title));
    follower(&request).play_request(&request)
}

#[test]
fn every_recorded_turn_is_read_to_its_end() {
    for recorded in recordings() {
        let item = WorkItem::decode(Span::whole(&recorded.work_item)).expect("a recorded work item");
        let request = Request::decode(item.request).expect("a recorded request");
        let theirs = recorded.request();
        assert_eq!((request.past_count, request.new_count), (theirs.past_events.len(), theirs.new_events.len()));
        let response = recorded.response();
        assert_eq!((request.instance_id, item.completion_token), (&*response.instance_id, &*response.completion_token));
    }
}

#[test]
fn an_orchestrator_that_makes_the_recorded_calls_agrees_with_the_history() {
    for recorded in recordings() {
        let turn = play(recorded, &recorded.request());
        assert!(turn.error.is_none(), "{}: {:?}", recorded.title, turn.error);
        let terminated = turn.response.actions.iter().any(|action| {
            matches!(action.orchestrator_action_type, Some(OrchestratorActionType::CompleteOrchestration(_)))
        });
        assert!(
            terminated || turn.response.actions.is_empty(),
            "{}: everything was confirmed, and still there are {:?}",
            recorded.title,
            turn.response.actions
        );
    }
}

#[test]
fn a_history_that_was_changed_is_found_out() {
    let mut changed = 0;
    for recorded in recordings() {
        let original = recorded.request();
        let bytes = original.encode_to_vec();
        let player = follower(&Request::decode(Span::whole(&bytes)).expect("a recorded request"));
        let mut request = original.clone();
        let scheduled = request.past_events.iter_mut().find_map(|event| match &mut event.event_type {
            Some(pb::history_event::EventType::TaskScheduled(scheduled)) => Some((event.event_id, scheduled)),
            _ => None,
        });
        let Some((id, scheduled)) = scheduled else { continue };
        scheduled.name.push('!');
        let bytes = request.encode_to_vec();
        let turn = player.play_request(&Request::decode(Span::whole(&bytes)).expect("a changed request"));
        let Some(Error::NonDeterminism(details)) = turn.error else {
            panic!("{}: expected a non-determinism error, found {:?}", recorded.title, turn.error);
        };
        assert_eq!(details.event_id, id, "{}", recorded.title);
        let name = original.past_events.get(details.event_index).and_then(|event| match &event.event_type {
            Some(pb::history_event::EventType::TaskScheduled(scheduled)) => Some(scheduled.name.clone()),
            _ => None,
        });
        let Found::Call(call) = details.found else {
            panic!("{}: expected another call, found {:?}", recorded.title, details.found);
        };
        assert_eq!(call.name, name, "{}", recorded.title);
        changed += 1;
    }
    assert!(changed > 50, "only {changed} recorded turns have an activity in their past");
}

#[test]
fn where_the_past_ends_does_not_matter_to_the_actions() {
    for recorded in recordings() {
        let request = recorded.request();
        let all: Vec<_> = request.past_events.iter().chain(&request.new_events).cloned().collect();
        let whole = play(recorded, &request).response;
        for border in [0, 1, all.len() / 2, all.len()] {
            let (past, new) = all.split_at(border.min(all.len()));
            let moved =
                pb::OrchestratorRequest { past_events: past.to_vec(), new_events: new.to_vec(), ..request.clone() };
            assert_eq!(play(recorded, &moved).response, whole, "{}, the past ends at {border}", recorded.title);
        }
    }
}
