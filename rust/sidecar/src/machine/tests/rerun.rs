//! Stories of instances that are run again.

use durabletask_proto::history_event::EventType;
use durabletask_proto::{
    HistoryEvent, OrchestrationStatus, SubOrchestrationInstanceCompletedEvent, TaskCompletedEvent, TaskFailedEvent,
};

use super::story::{
    Story, child, complete, entry, event_to, in_words, parent, raised, schedule, suspended, timer, with_environment,
};
use crate::machine::{Outcome, Rerun, RerunError, rerun};

fn done(task_scheduled_id: i32) -> HistoryEvent {
    HistoryEvent {
        event_id: -1,
        event_type: Some(EventType::TaskCompleted(TaskCompletedEvent { task_scheduled_id, ..Default::default() })),
        ..HistoryEvent::default()
    }
}

fn failed(task_scheduled_id: i32) -> HistoryEvent {
    let event = EventType::TaskFailed(TaskFailedEvent { task_scheduled_id, ..Default::default() });
    HistoryEvent { event_type: Some(event), ..done(0) }
}

fn child_done(task_scheduled_id: i32) -> HistoryEvent {
    let event = SubOrchestrationInstanceCompletedEvent { task_scheduled_id, ..Default::default() };
    HistoryEvent { event_type: Some(EventType::SubOrchestrationInstanceCompleted(event)), ..done(0) }
}

/// `first`, a sub-orchestration and a timer; once `first` is done, `second` with an event sent beside it; then the end.
fn order() -> Story {
    Story::of("order")
        .answers([schedule(1, "first"), child(2, "", "pack"), timer(3, 50)])
        .receives(done(1))
        .answers([schedule(4, "second"), event_to(5, "other", "go"), schedule(6, "third")])
        .receives(child_done(2))
        .receives(failed(4))
        .answers([complete(7, "over")])
}

fn again(story: &Story, asked: &Rerun) -> Result<Outcome, RerunError> {
    with_environment(|environment| rerun(&story.outcome.instance, story.events.clone(), asked, environment))
}

fn from(event_id: i32) -> Rerun {
    Rerun { event_id, new_id: "copy".to_owned(), ..Rerun::default() }
}

fn history(outcome: &Outcome) -> Vec<String> {
    outcome.history.iter().map(|made| in_words(&entry(made))).collect()
}

#[test]
fn what_had_ended_stays_and_what_was_under_way_is_done_again() {
    let copy = again(&order(), &from(4)).expect("it can be run again");

    let kept = [
        "orchestratorStarted",
        "executionStarted order",
        "taskScheduled #1 first",
        "subOrchestrationInstanceCreated #2 copy:0002",
        "timerCreated #3",
        "orchestratorStarted",
    ];
    let history = history(&copy);
    assert_eq!(history[..6], kept);
    assert_eq!(history[7..], ["taskScheduled #4 second", "eventSent #5 go", "taskScheduled #6 third"]);
    let activities: Vec<_> = copy.activities.iter().map(|event| event.event_id).collect();
    assert_eq!(activities, [4, 6]);
    assert_eq!(copy.timers.len(), 1, "it had not fired");
    assert_eq!(copy.children.len(), 1);
    assert!(copy.messages.is_empty(), "what was sent is not sent again");
    assert_eq!((copy.instance.id.as_str(), copy.instance.status), ("copy", OrchestrationStatus::Running));
    assert_ne!(copy.instance.execution_id(), Some("first-run"));
}

#[test]
fn the_call_says_where_it_comes_from_and_may_be_given_another_input() {
    let asked = Rerun { overwrite_input: true, input: Some("better".to_owned()), ..from(4) };
    let copy = again(&order(), &asked).expect("it can be run again");

    let inputs: Vec<_> = copy
        .activities
        .iter()
        .map(|event| match &event.event_type {
            Some(EventType::TaskScheduled(it)) => {
                (it.input.as_deref(), it.rerun_parent_instance_info.as_ref().map(|info| info.instance_id.as_str()))
            }
            other => panic!("expected taskScheduled, found {other:?}"),
        })
        .collect();
    assert_eq!(inputs, [(Some("better"), Some("instance")), (None, None)]);
}

#[test]
fn a_sub_orchestration_is_started_under_the_given_id() {
    let asked = Rerun { new_child_id: Some("mine".to_owned()), ..from(2) };
    let copy = again(&order(), &asked).expect("it can be run again");

    assert_eq!(history(&copy)[3..], ["subOrchestrationInstanceCreated #2 mine", "timerCreated #3"]);
    let Some(EventType::ExecutionStarted(start)) = &copy.children[0].event.event_type else {
        panic!("expected executionStarted, found {:?}", copy.children[0]);
    };
    assert_eq!(start.orchestration_instance.as_ref().map(|it| it.instance_id.as_str()), Some("mine"));
    let parent = start.parent_instance.as_ref().and_then(|it| it.orchestration_instance.as_ref());
    assert_eq!(parent.map(|it| it.instance_id.as_str()), Some("copy"));
    assert_eq!(copy.activities.len(), 1, "the activity beside it had not ended either");
}

#[test]
fn a_suspension_before_the_call_is_one_of_the_copy() {
    let story = Story::of("order").receives(suspended()).answers([schedule(1, "first")]);
    let story = story.receives(raised("go")).answers([complete(2, "over")]);
    let copy = again(&story, &from(1)).expect("it can be run again");
    assert_eq!(copy.instance.status, OrchestrationStatus::Suspended);
}

#[test]
fn what_can_not_be_run_again_is_refused() {
    let id = || "instance".to_owned();
    let with_input = |event_id| Rerun { overwrite_input: true, ..from(event_id) };
    let with_child = |event_id| Rerun { new_child_id: Some("c".to_owned()), ..from(event_id) };
    let refused = [
        (from(9), RerunError::NoSuchEvent(id(), 9)),
        (from(-1), RerunError::NoSuchEvent(id(), -1)),
        (from(5), RerunError::NoCall(id(), 5)),
        (from(7), RerunError::NoCall(id(), 7)),
        (with_input(3), RerunError::TakesNoInput(3)),
        (with_child(3), RerunError::StartsNothing(3)),
        (with_child(4), RerunError::StartsNothing(4)),
    ];
    for (asked, expected) in refused {
        assert_eq!(again(&order(), &asked).expect_err("it can not be run again"), expected);
    }
    let running = Story::of("order").answers([schedule(1, "first")]);
    assert_eq!(again(&running, &from(1)).expect_err("it is running"), RerunError::NotEnded(id()));
    let child = Story::of("order").under(parent("other", 1)).answers([schedule(1, "first")]);
    let child = child.receives(done(1)).answers([complete(2, "over")]);
    assert_eq!(again(&child, &from(1)).expect_err("it has a parent"), RerunError::SubOrchestration(id()));
}
