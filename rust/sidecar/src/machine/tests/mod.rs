//! The state machine, told as stories: what happens to an instance, and what its history says afterwards.

mod recordings;
mod rerun;
mod story;
mod traces;

use durabletask_proto::history_event::EventType;
use durabletask_proto::{OrchestrationStatus, OrchestrationVersion, OrchestratorResponse};

use story::{
    Carrying, Story, at_app, cancel, child, complete, continue_as_new, detached, elsewhere, event_to, fail, parent,
    raised, resumed, schedule, suspended, terminated, terminated_with_all, timer, unknown_action, unversioned,
};

#[test]
fn a_turn_commits_what_it_was_sent_and_then_what_it_was_answered() {
    let story = Story::of("greet").answers([schedule(1, "hello"), timer(2, 60)]);

    assert_eq!(
        story.history(),
        ["orchestratorStarted", "executionStarted greet", "taskScheduled #1 hello", "timerCreated #2"]
    );
    assert_eq!(story.status(), OrchestrationStatus::Running);
    assert_eq!(story.outcome.activities.len(), 1);
    assert_eq!(story.outcome.timers.len(), 1);
    assert_eq!(story.outcome.timers[0].0.seconds, 60);
}

#[test]
fn events_keep_the_order_of_their_arrival() {
    let story = Story::of("greet").answers([]).receives(raised("b")).receives(raised("a")).answers([]);

    assert_eq!(story.history()[2..], ["orchestratorStarted", "eventRaised b", "eventRaised a"]);
}

#[test]
fn confirmations_carry_the_action_s_id_and_the_application_s() {
    let story = Story::of("greet").answers([schedule(7, "hello")]);

    let event = story.events.last().expect("a confirmation");
    assert_eq!(event.event_id, 7);
    assert_eq!(event.router.as_ref().map(|router| router.source_app_id.as_str()), Some("app"));
}

#[test]
fn completing_keeps_the_result() {
    let story = Story::of("greet").answers([complete(1, "done")]);

    assert_eq!(story.status(), OrchestrationStatus::Completed);
    assert_eq!(story.history().last().map(String::as_str), Some("executionCompleted #1"));
    assert_eq!(story.completion().output.as_deref(), Some("done"));
}

#[test]
fn failing_keeps_the_failure() {
    let story = Story::of("greet").answers([fail(1, "no")]);

    assert_eq!(story.status(), OrchestrationStatus::Failed);
    assert_eq!(story.completion().failure.as_ref().map(|it| it.error_message.as_str()), Some("no"));
}

#[test]
fn only_the_first_completion_of_a_turn_counts() {
    let story = Story::of("greet").answers([complete(1, "first"), complete(2, "second"), continue_as_new(3, "third")]);

    assert_eq!(story.completion().output.as_deref(), Some("first"));
    assert!(story.outcome.next_execution.is_none());
}

#[test]
fn a_completion_that_is_no_end_fails_the_orchestration() {
    let story = Story::of("greet").answers([cancel(1, OrchestrationStatus::Running)]);

    assert_eq!(story.status(), OrchestrationStatus::Failed);
    let message = &story.completion().failure.as_ref().expect("a failure").error_message;
    assert!(message.contains("RUNNING"), "the message names the status: {message}");
}

#[test]
fn a_child_is_created_with_a_way_back_to_its_parent() {
    let story = Story::of("parent").answers([child(1, "", "child")]);

    assert_eq!(story.history()[2], "subOrchestrationInstanceCreated #1 instance:0001");
    let created = &story.outcome.children[0];
    assert_eq!(created.awaited_as, Some(1));
    let Some(EventType::ExecutionStarted(start)) = &created.event.event_type else {
        panic!("expected executionStarted, found {:?}", created.event);
    };
    let back = start.parent_instance.as_ref().expect("a parent");
    assert_eq!(back.task_scheduled_id, 1);
    assert_eq!(back.name.as_deref(), Some("parent"));
    let instance = back.orchestration_instance.as_ref().expect("the parent's instance");
    assert_eq!((instance.instance_id.as_str(), instance.execution_id.as_deref()), ("instance", Some("first-run")));
}

#[test]
fn the_parent_is_told_when_its_child_completes() {
    let story = Story::of("child").under(parent("boss", 3)).answers([complete(1, "42")]);

    let message = &story.outcome.messages[0];
    assert_eq!((message.target.as_str(), message.execution_id.as_deref()), ("boss", Some("boss-run")));
    let Some(EventType::SubOrchestrationInstanceCompleted(event)) = &message.event.event_type else {
        panic!("expected subOrchestrationInstanceCompleted, found {:?}", message.event);
    };
    assert_eq!((event.task_scheduled_id, event.result.as_deref()), (3, Some("42")));
}

#[test]
fn the_parent_is_told_why_when_its_child_is_terminated() {
    let story = Story::of("child").under(parent("boss", 3)).receives(terminated(None)).answers([]);

    let Some(EventType::SubOrchestrationInstanceFailed(event)) = &story.outcome.messages[0].event.event_type else {
        panic!("expected subOrchestrationInstanceFailed, found {:?}", story.outcome.messages[0].event);
    };
    let failure = event.failure_details.as_ref().expect("a reason, although nothing raised");
    assert!(failure.error_message.contains("was terminated"), "{failure:?}");
}

#[test]
fn nobody_waits_for_a_detached_orchestration() {
    let story = Story::of("greet").answers([detached(1, "later", "cleanup")]);

    assert_eq!(story.history()[2], "detachedOrchestrationInstanceCreated #1 later");
    let created = &story.outcome.children[0];
    assert_eq!(created.awaited_as, None);
    let Some(EventType::ExecutionStarted(start)) = &created.event.event_type else {
        panic!("expected executionStarted, found {:?}", created.event);
    };
    assert_eq!(start.parent_instance, None);
    let execution = start.orchestration_instance.as_ref().and_then(|it| it.execution_id.clone());
    assert!(execution.is_some_and(|id| !id.is_empty()), "a detached orchestration has an execution id");
}

#[test]
fn an_event_sent_is_an_event_raised_on_the_other_side() {
    let story = Story::of("greet").answers([event_to(1, "other", "ping")]);

    assert_eq!(story.history()[2], "eventSent #1 ping");
    let message = &story.outcome.messages[0];
    assert_eq!((message.target.as_str(), message.execution_id.as_deref()), ("other", None));
    assert!(matches!(&message.event.event_type, Some(EventType::EventRaised(event)) if event.name == "ping"));
}

#[test]
fn suspending_and_resuming_changes_the_status_only() {
    let story = Story::of("greet").answers([]).receives(suspended()).answers([]);
    assert_eq!(story.status(), OrchestrationStatus::Suspended);

    let story = story.receives(raised("go")).answers([]);
    assert_eq!(story.status(), OrchestrationStatus::Suspended, "events reach the worker, which holds them back");

    let story = story.receives(resumed()).answers([]);
    assert_eq!(story.status(), OrchestrationStatus::Running);
}

#[test]
fn a_terminated_orchestration_ends_whatever_the_worker_says() {
    let story = Story::of("greet").receives(terminated(Some("enough"))).answers([schedule(1, "hello"), timer(2, 1)]);

    assert_eq!(story.status(), OrchestrationStatus::Terminated);
    assert_eq!(story.completion().output.as_deref(), Some("enough"));
    assert!(story.outcome.activities.is_empty() && story.outcome.timers.is_empty(), "nothing is begun any more");
}

#[test]
fn terminating_is_not_lost_to_continue_as_new() {
    let story = Story::of("loop").receives(terminated(None)).answers([continue_as_new(1, "again")]);

    assert_eq!(story.status(), OrchestrationStatus::Terminated);
    assert!(story.outcome.next_execution.is_none());
}

#[test]
fn terminating_reaches_the_children_if_it_is_asked_to() {
    let story = Story::of("greet").receives(terminated_with_all()).answers([]);
    assert!(story.outcome.cascade.is_some());

    let story = Story::of("greet").receives(terminated(None)).answers([]);
    assert!(story.outcome.cascade.is_none());
}

#[test]
fn an_orchestration_scheduled_for_later_ends_without_running() {
    let story = Story::of("later").terminated_before_its_start();

    assert_eq!(story.status(), OrchestrationStatus::Terminated);
    assert_eq!(story.history(), ["executionStarted later", "executionTerminated", "executionCompleted #-1"]);
}

#[test]
fn continuing_as_new_begins_again_with_the_events_that_are_carried_over() {
    let again = continue_as_new(3, "next input").carrying(raised("kept"));
    let story = Story::of("loop").answers([schedule(1, "hello"), again]);

    let first = story.outcome.next_execution.as_ref().expect("a new execution");
    assert!(story.outcome.activities.is_empty(), "what else was asked for is dropped");
    let Some(EventType::ExecutionStarted(start)) = &first[0].event_type else {
        panic!("expected executionStarted, found {:?}", first[0]);
    };
    assert_eq!((start.name.as_str(), start.input.as_deref()), ("loop", Some("next input")));
    assert_eq!(first[1], raised("kept"));
    let execution = start.orchestration_instance.as_ref().and_then(|it| it.execution_id.clone());
    assert_ne!(execution.as_deref(), Some("first-run"));
    assert_eq!(story.outcome.instance.execution_id(), execution.as_deref());
    assert_eq!(story.status(), OrchestrationStatus::Running);
}

#[test]
fn what_concerns_others_outlasts_continuing_as_new() {
    let asked = [
        event_to(1, "other", "go"),
        child(2, "theirs", "work"),
        detached(3, "own", "work"),
        schedule(4, "hello"),
        continue_as_new(5, "again"),
    ];
    let story = Story::of("loop").answers(asked);

    assert!(story.outcome.next_execution.is_some());
    let targets: Vec<_> = story.outcome.messages.iter().map(|message| message.target.as_str()).collect();
    assert_eq!(targets, ["other"]);
    let children: Vec<_> = story.outcome.children.iter().map(|child| child.awaited_as).collect();
    assert_eq!(children, [None], "nobody is left who waits for the other child");
    assert!(story.outcome.activities.is_empty());
}

#[test]
fn version_and_patches_are_remembered_where_the_turn_began() {
    let version = OrchestrationVersion { name: Some("v2".to_owned()), patches: vec!["fix".to_owned()] };
    let response = OrchestratorResponse { version: Some(version.clone()), ..OrchestratorResponse::default() };
    let story = Story::of("greet").answers_with(response);

    let Some(EventType::OrchestratorStarted(started)) = &story.events[0].event_type else {
        panic!("expected orchestratorStarted, found {:?}", story.events[0]);
    };
    assert_eq!(started.version, Some(version));
}

#[test]
fn a_version_that_is_missing_stalls_the_instance_and_consumes_nothing() {
    let story = Story::of("greet").answers([]).receives(raised("go")).answers([unversioned()]);

    assert!(story.outcome.stalled);
    assert_eq!(story.status(), OrchestrationStatus::Stalled);
    assert_eq!(story.history()[2..], ["executionStalled"]);

    let story = story.receives(raised("go")).answers([unversioned()]);
    assert_eq!(story.history()[2..], ["executionStalled"], "saying so once is enough");

    let story = story.receives(raised("go")).answers([]);
    assert_eq!(story.status(), OrchestrationStatus::Running);
    assert_eq!(story.history()[3..], ["orchestratorStarted", "eventRaised go"]);
}

#[test]
fn an_action_that_is_not_known_fails_the_orchestration_instead_of_leaving_it_waiting() {
    let story = Story::of("greet").answers([unknown_action(5)]);

    assert_eq!(story.status(), OrchestrationStatus::Failed);
    let failure = story.completion().failure.as_ref().expect("a failure");
    assert_eq!(failure.error_type, "UnknownActionError");
    assert!(failure.error_message.contains("#5"), "{failure:?}");
}

#[test]
fn the_custom_status_of_a_turn_is_kept() {
    let response = OrchestratorResponse { custom_status: Some("halfway".to_owned()), ..Default::default() };
    assert_eq!(Story::of("greet").answers_with(response).outcome.custom_status.as_deref(), Some("halfway"));
    assert_eq!(Story::of("greet").answers([]).outcome.custom_status, None, "silence changes nothing");
}

#[test]
fn what_is_asked_of_another_app_fails_and_says_that_it_needs_dapr() {
    let story = Story::of("caller").answers([elsewhere(schedule(1, "hello")), elsewhere(child(2, "child", "child"))]);
    assert_eq!(story.outcome.activities, []);
    assert!(story.outcome.children.is_empty());
    assert_eq!(story.outcome.messages.len(), 2);
    for message in &story.outcome.messages {
        assert_eq!((message.target.as_str(), message.execution_id.as_deref()), ("instance", Some("first-run")));
        let text = format!("{:?}", message.event);
        assert!(text.contains("'other'") && text.contains("needs Dapr"), "{text}");
    }
    assert_eq!(
        story.history()[2..],
        ["taskScheduled #1 hello", "subOrchestrationInstanceCreated #2 child"],
        "the orchestration is told of it like of any other failure"
    );

    let story = Story::of("caller").answers([elsewhere(event_to(1, "target", "ping"))]);
    assert_eq!(story.status(), OrchestrationStatus::Failed, "nobody waits for it");
    assert!(story.outcome.messages.is_empty());

    let story = Story::of("caller").answers([at_app(schedule(1, "hello"), "app")]);
    assert_eq!(story.outcome.activities.len(), 1, "its own app is no other");
}
