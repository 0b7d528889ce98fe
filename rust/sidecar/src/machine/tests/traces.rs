//! Which trace context goes where.

use durabletask_proto::history_event::EventType;
use durabletask_proto::{ExecutionStartedEvent, HistoryEvent, TraceContext};

use super::story::{Story, child, continue_as_new, detached, schedule};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn activity(story: &Story) -> Option<TraceContext> {
    match &story.outcome.activities[0].event_type {
        Some(EventType::TaskScheduled(event)) => event.parent_trace_context.clone(),
        other => panic!("expected taskScheduled, found {other:?}"),
    }
}

fn started(event: &HistoryEvent) -> &ExecutionStartedEvent {
    match &event.event_type {
        Some(EventType::ExecutionStarted(start)) => start,
        other => panic!("expected executionStarted, found {other:?}"),
    }
}

#[test]
fn all_that_an_orchestration_starts_is_below_its_own_span() {
    let story = Story::of("parent").traced(CLIENT).answers([
        schedule(1, "hello"),
        child(2, "", "child"),
        detached(3, "", "it"),
    ]);

    let context = activity(&story).expect("a context");
    // uuid5(9a4d3c06-5f0e-4c58-8f0b-6f3b1c2d7e91, "first-run"), its first half: workers find the same.
    assert_eq!(context.trace_parent, format!("00-{TRACE}-a924ca465fdb55a8-01"));
    assert_eq!((context.span_id.as_str(), context.trace_state.as_deref()), ("a924ca465fdb55a8", Some("vendor=1")));
    for created in &story.outcome.children {
        assert_eq!(started(&created.event).parent_trace_context.as_ref(), Some(&context));
    }
    let Some(EventType::SubOrchestrationInstanceCreated(event)) = &story.events[3].event_type else {
        panic!("expected subOrchestrationInstanceCreated, found {:?}", story.events[3]);
    };
    assert_eq!(event.parent_trace_context.as_ref(), Some(&context));
}

#[test]
fn the_span_is_the_one_that_the_history_names() {
    let story = Story::of("parent").traced(CLIENT).with_span("00f067aa0ba902b7").answers([schedule(1, "hello")]);

    let context = activity(&story).expect("a context");
    assert_eq!(context.trace_parent, format!("00-{TRACE}-00f067aa0ba902b7-01"));
}

#[test]
fn what_is_not_traced_stays_so() {
    let story = Story::of("parent").answers([schedule(1, "hello"), child(2, "", "child")]);

    assert_eq!(activity(&story), None);
    assert_eq!(started(&story.outcome.children[0].event).parent_trace_context, None);
}

#[test]
fn a_context_that_can_not_be_read_is_handed_on_as_it_came() {
    for strange in ["", "no context", "00-short-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c"] {
        let story = Story::of("parent").traced(strange).answers([schedule(1, "hello")]);

        assert_eq!(activity(&story).expect("a context").trace_parent, strange);
    }
}

#[test]
fn the_next_execution_begins_a_trace_of_its_own_and_is_sampled_as_the_one_before() {
    for flags in ["00", "01"] {
        let story = Story::of("eternal")
            .traced(&format!("00-{TRACE}-b7ad6b7169203331-{flags}"))
            .answers([continue_as_new(1, "again")]);

        let next = started(&story.outcome.next_execution.as_ref().expect("an execution")[0]);
        let context = next.parent_trace_context.clone().expect("a context");
        let parts: Vec<&str> = context.trace_parent.split('-').collect();
        assert_ne!(parts[1], TRACE, "a trace of its own");
        assert_eq!((parts[2], parts[3]), (context.span_id.as_str(), flags));

        let story = story.answers([schedule(1, "hello")]);
        let below = activity(&story).expect("a context");
        assert_eq!(below.trace_parent, context.trace_parent, "its parent is its own span: it has none");
    }
}
