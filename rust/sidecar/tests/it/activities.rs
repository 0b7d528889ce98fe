//! Activities between the turn that asks for them and the turn that hears of them.

use std::time::Duration;

use durabletask_proto::history_event::EventType;
use durabletask_proto::{ActivityResponse, GetWorkItemsRequest, TaskFailureDetails};
use tonic::Code;

use crate::support::actions::{child, complete, continue_as_new, schedule, timer};
use crate::support::{Worker, create, finished, kinds, start, start_on};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_result_reaches_the_orchestration_once() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "hello")]).await;

    let activity = worker.activity().await;
    assert_eq!(activity.id(), "one");
    assert_eq!((activity.request.name.as_str(), activity.request.task_id), ("hello", 1));
    assert_eq!(activity.request.input.as_deref(), Some("\"1\""));
    assert_eq!(activity.request.task_execution_id, "task-1");
    worker.finish(&activity, "\"hi\"").await;
    let error = worker.try_finish(activity.response("\"again\"")).await.expect_err("it was answered");
    assert_eq!(error.code(), Code::NotFound);

    let turn = worker.turn().await;
    let past = kinds(&turn.request.past_events);
    assert_eq!(past, ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled"]);
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "TaskCompleted"]);
    let Some(EventType::TaskCompleted(event)) = &turn.request.new_events[1].event_type else {
        panic!("expected taskCompleted");
    };
    assert_eq!((event.task_scheduled_id, event.result.as_deref()), (1, Some("\"hi\"")));
    assert_eq!(event.task_execution_id, "task-1");
    worker.answer(&turn, vec![complete(2, "1")]).await;
    finished(&mut client, "one").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn a_failure_reaches_the_orchestration_with_its_details() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "boom")]).await;
    let activity = worker.activity().await;
    let failure = TaskFailureDetails { error_type: "ValueError".to_owned(), ..TaskFailureDetails::default() };
    let response = ActivityResponse { result: None, failure_details: Some(failure.clone()), ..activity.response("") };
    worker.try_finish(response).await.expect("the failure is taken");

    let turn = worker.turn().await;
    let Some(EventType::TaskFailed(event)) = &turn.request.new_events[1].event_type else {
        panic!("expected taskFailed");
    };
    assert_eq!((event.task_scheduled_id, event.failure_details.as_ref()), (1, Some(&failure)));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_stale_token_is_refused_and_changes_nothing() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    let mut forged = turn.response(vec![complete(1, "\"forged\"")]);
    forged.completion_token = "another".to_owned();
    let error = worker.try_answer(forged).await.expect_err("the token is not the turn's");
    assert_eq!(error.code(), Code::NotFound);
    worker.answer(&turn, vec![schedule(1, "hello")]).await;

    let activity = worker.activity().await;
    let forged = ActivityResponse { completion_token: "another".to_owned(), ..activity.response("\"forged\"") };
    worker.try_finish(forged).await.expect_err("the token is not the activity's");
    worker.finish(&activity, "\"real\"").await;
    let turn = worker.turn().await;
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "TaskCompleted"]);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_completion_without_a_token_is_not_believed() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    let mut response = turn.response(vec![complete(1, "\"forged\"")]);
    response.completion_token.clear();
    assert_eq!(worker.try_answer(response).await.expect_err("no token").code(), Code::NotFound);
    worker.answer(&turn, vec![schedule(1, "hello")]).await;
    let activity = worker.activity().await;
    let response = ActivityResponse { completion_token: String::new(), ..activity.response("1") };
    assert_eq!(worker.try_finish(response).await.expect_err("no token").code(), Code::NotFound);
    worker.finish(&activity, "1").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn work_that_was_done_counts_though_its_stream_and_its_sidecar_are_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let db = directory.path().join("state.db");
    let (sidecar, mut client) = start_on(&db).await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "slow")]).await;
    let slow = worker.activity().await;
    sidecar.stop().await;

    let (sidecar, client) = start_on(&db).await;
    let mut worker = Worker::connect(&client).await;
    let again = worker.activity().await;
    worker.finish(&slow, "\"done\"").await;
    let error = worker.try_finish(again.response("\"again\"")).await.expect_err("it has a result");
    assert_eq!(error.code(), Code::NotFound);
    let turn = worker.turn().await;
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "TaskCompleted"]);
    sidecar.stop().await;

    // Another sidecar's activity may have the same id and the same number.
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "slow")]).await;
    worker.activity().await;
    worker.try_finish(slow.response("\"of another\"")).await.expect_err("it is not this one's");
    sidecar.stop().await;
}

#[tokio::test]
async fn what_has_ended_runs_nothing_more() {
    let (sidecar, mut client) = start().await;
    #[allow(deprecated, reason = "what older workers send")]
    let one_at_a_time = GetWorkItemsRequest { max_concurrent_activity_work_items: 1, ..GetWorkItemsRequest::default() };
    let mut worker = Worker::offering(&client, one_at_a_time).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "first"), schedule(2, "second"), schedule(3, "third")]).await;
    let first = worker.activity().await;
    crate::support::raise(&mut client, "one", "enough").await.expect("it runs");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(4, "1")]).await;
    worker.finish(&first, "1").await;

    create(&mut client, "two", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "of another")]).await;
    assert_eq!(worker.activity().await.request.name, "of another");
    sidecar.stop().await;
}

#[tokio::test]
async fn results_of_the_execution_before_do_not_reach_the_next() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "loop").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "slow")]).await;
    let slow = worker.activity().await;

    crate::support::raise(&mut client, "one", "go").await.expect("it runs");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![continue_as_new(2, "2", vec![])]).await;
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "quick")]).await;
    let quick = worker.activity().await;
    assert_eq!(quick.request.name, "quick");

    worker.finish(&slow, "\"of the execution before\"").await;
    worker.finish(&quick, "\"of this one\"").await;
    let turn = worker.turn().await;
    let Some(EventType::TaskCompleted(event)) = &turn.request.new_events[1].event_type else {
        panic!("expected taskCompleted");
    };
    assert_eq!(turn.request.new_events.len(), 2);
    assert_eq!(event.result.as_deref(), Some("\"of this one\""));
    sidecar.stop().await;
}

#[tokio::test]
async fn what_was_resolved_while_an_orchestration_continued_as_new_does_not_reach_the_next_execution() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "loop").await.expect("the id is free");
    let turn = worker.turn().await;
    let asked =
        vec![schedule(1, "old"), child(2, "child", "child"), timer(3, Duration::from_millis(20)), timer(4, HOUR)];
    worker.answer(&turn, asked).await;
    let child_s = worker.turn().await;
    assert_eq!(child_s.id(), "child");
    let old = worker.activity().await;
    // The first timer has fired when this turn begins, so that the second is the only one left to come.
    let turn = worker.turn().await;
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "TimerFired"]);

    worker.finish(&old, "\"of the execution before\"").await;
    worker.answer(&child_s, vec![complete(1, "\"of the execution before\"")]).await;
    crate::support::raise(&mut client, "one", "kept").await.expect("it runs");
    worker.answer(&turn, vec![continue_as_new(5, "2", vec![])]).await;

    let turn = worker.turn().await;
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "ExecutionStarted", "EventRaised"]);
    worker.answer(&turn, vec![schedule(1, "new")]).await;
    let new = worker.activity().await;
    worker.finish(&new, "\"new\"").await;
    let turn = worker.turn().await;
    let Some(EventType::TaskCompleted(event)) = &turn.request.new_events[1].event_type else {
        panic!("expected taskCompleted, found {:?}", kinds(&turn.request.new_events));
    };
    assert_eq!(event.result.as_deref(), Some("\"new\""));
    sidecar.stop().await;
}

#[tokio::test]
async fn results_of_any_size_arrive() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "hello")]).await;
    let activity = worker.activity().await;
    let large = "x".repeat(9 * 1024 * 1024);
    worker.finish(&activity, &large).await;
    // The client of these tests has no limit of its own on what a stream brings.
    let turn = worker.turn().await;
    let Some(EventType::TaskCompleted(event)) = &turn.request.new_events[1].event_type else {
        panic!("expected taskCompleted");
    };
    assert_eq!(event.result.as_ref().map(String::len), Some(large.len()));
    worker.answer(&turn, vec![complete(2, &large)]).await;
    assert_eq!(finished(&mut client, "one").await.output.map(|it| it.len()), Some(large.len()));
    sidecar.stop().await;
}
