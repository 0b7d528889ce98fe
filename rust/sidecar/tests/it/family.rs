//! Instances that start, tell and end each other.

use durabletask_proto::history_event::EventType;
use durabletask_proto::{OrchestrationStatus, PurgeInstancesRequest, TerminateRequest, purge_instances_request};

use crate::support::actions::{child, complete, continue_as_new, schedule, send, terminate, terminated};
use crate::support::{Turn, Worker, create, finished, kinds, raise, soon, start, state, status};

#[tokio::test]
async fn a_parent_hears_of_its_child() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "parent", "parent").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![child(1, "", "child")]).await;

    let turn = worker.turn().await;
    assert_eq!(turn.id(), "parent:0001");
    let found = state(&mut client, "parent:0001").await.expect("it exists");
    assert_eq!(found.parent_instance_id.as_deref(), Some("parent"));
    worker.answer(&turn, vec![complete(1, "\"of the child\"")]).await;

    let turn = worker.turn().await;
    assert_eq!(turn.id(), "parent");
    let Some(EventType::SubOrchestrationInstanceCompleted(event)) = &turn.request.new_events[1].event_type else {
        panic!("expected subOrchestrationInstanceCompleted, found {:?}", kinds(&turn.request.new_events));
    };
    assert_eq!((event.task_scheduled_id, event.result.as_deref()), (1, Some("\"of the child\"")));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_child_whose_id_is_in_use_fails_instead_of_never_ending() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "taken", "other").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![]).await;
    create(&mut client, "parent", "parent").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![child(1, "taken", "child")]).await;

    let turn = worker.turn().await;
    let Some(EventType::SubOrchestrationInstanceFailed(event)) = &turn.request.new_events[1].event_type else {
        panic!("expected subOrchestrationInstanceFailed, found {:?}", kinds(&turn.request.new_events));
    };
    let message = &event.failure_details.as_ref().expect("a reason").error_message;
    assert!(message.contains("'taken'") && message.contains("RUNNING"), "{message}");
    sidecar.stop().await;
}

#[tokio::test]
async fn an_event_sent_reaches_the_other_instance_and_one_for_nobody_is_dropped() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "listener", "listen").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![]).await;
    create(&mut client, "speaker", "speak").await.expect("the id is free");
    let turn = worker.turn().await;
    let actions = vec![send(1, "nobody", "ping"), send(2, "listener", "ping"), complete(3, "1")];
    worker.answer(&turn, actions).await;

    let turn = worker.turn().await;
    assert_eq!(turn.id(), "listener");
    let Some(EventType::EventRaised(event)) = &turn.request.new_events[1].event_type else {
        panic!("expected eventRaised, found {:?}", kinds(&turn.request.new_events));
    };
    assert_eq!((event.name.as_str(), event.input.as_deref()), ("ping", Some("1")));
    finished(&mut client, "speaker").await;
    sidecar.stop().await;
}

/// Starts a parent, its child and its grandchild, each of which waits.
async fn three_generations(client: &mut crate::support::Client, worker: &mut Worker) {
    create(client, "a", "parent").await.expect("the id is free");
    for (id, below) in [("a", Some("b")), ("b", Some("c")), ("c", None)] {
        let turn = worker.turn().await;
        assert_eq!(turn.id(), id);
        let actions = below.map(|below| child(1, below, "child")).into_iter().collect();
        worker.answer(&turn, actions).await;
    }
}

async fn ends_as_terminated(worker: &mut Worker, id: &str) {
    let turn: Turn = worker.turn().await;
    assert_eq!(turn.id(), id);
    assert_eq!(kinds(&turn.request.new_events)[1], "ExecutionTerminated");
    worker.answer(&turn, vec![terminated(2)]).await;
}

#[tokio::test]
async fn terminating_recursively_ends_all_generations() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    three_generations(&mut client, &mut worker).await;
    let mut other = client.clone();
    let request = TerminateRequest { instance_id: "a".to_owned(), recursive: true, ..TerminateRequest::default() };
    let terminating = tokio::spawn(async move { other.terminate_instance(request).await });
    for id in ["a", "b", "c"] {
        ends_as_terminated(&mut worker, id).await;
        assert_eq!(finished(&mut client, id).await.orchestration_status(), OrchestrationStatus::Terminated);
    }
    soon("the termination", terminating).await.expect("no panic").expect("an answer");

    let request = PurgeInstancesRequest {
        request: Some(purge_instances_request::Request::InstanceId("a".to_owned())),
        recursive: true,
        force: None,
        router: None,
    };
    let count = client.purge_instances(request).await.expect("purged").into_inner();
    assert_eq!(count.deleted_instance_count, 3);
    sidecar.stop().await;
}

#[tokio::test]
async fn purging_a_family_takes_nothing_while_one_of_it_is_at_work() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    three_generations(&mut client, &mut worker).await;
    let mut other = client.clone();
    let request = TerminateRequest { instance_id: "a".to_owned(), recursive: false, ..TerminateRequest::default() };
    let terminating = tokio::spawn(async move { other.terminate_instance(request).await });
    ends_as_terminated(&mut worker, "a").await;
    soon("the termination", terminating).await.expect("no panic").expect("an answer");
    assert_eq!(status(&mut client, "b").await, OrchestrationStatus::Running, "it was not to be recursive");

    let request = |force| PurgeInstancesRequest {
        request: Some(purge_instances_request::Request::InstanceId("a".to_owned())),
        recursive: true,
        force,
        router: None,
    };
    client.purge_instances(request(None)).await.expect_err("b is not finished");
    assert!(state(&mut client, "a").await.is_some(), "all or nothing");
    let count = client.purge_instances(request(Some(true))).await.expect("purged").into_inner();
    assert_eq!(count.deleted_instance_count, 3);
    sidecar.stop().await;
}

#[tokio::test]
async fn an_orchestration_can_terminate_another() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "victim", "wait").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![]).await;
    create(&mut client, "boss", "boss").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![terminate(1, "victim"), complete(2, "1")]).await;
    ends_as_terminated(&mut worker, "victim").await;
    finished(&mut client, "victim").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn continuing_as_new_begins_an_empty_history_with_what_was_carried_over_and_what_came_meanwhile() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "loop", "loop").await.expect("the id is free");
    let first = worker.turn().await;
    worker.answer(&first, vec![schedule(1, "hello")]).await;
    let activity = worker.activity().await;
    worker.finish(&activity, "1").await;
    let turn = worker.turn().await;
    raise(&mut client, "loop", "meanwhile").await.expect("it runs");
    let carried = first.request.new_events[0].clone();
    let carried = durabletask_proto::HistoryEvent {
        event_type: Some(EventType::EventRaised(durabletask_proto::EventRaisedEvent {
            name: "carried".to_owned(),
            input: None,
        })),
        ..carried
    };
    worker.answer(&turn, vec![continue_as_new(2, "\"second\"", vec![carried])]).await;

    let turn = worker.turn().await;
    assert_eq!(turn.request.past_events, vec![]);
    let names = kinds(&turn.request.new_events);
    assert_eq!(names, ["OrchestratorStarted", "ExecutionStarted", "EventRaised", "EventRaised"]);
    let Some(EventType::EventRaised(event)) = &turn.request.new_events[2].event_type else {
        panic!("expected eventRaised");
    };
    assert_eq!(event.name, "carried");
    assert_ne!(turn.request.execution_id, first.request.execution_id);
    let found = state(&mut client, "loop").await.expect("it exists");
    assert_eq!(found.orchestration_status(), OrchestrationStatus::Running);
    assert_eq!(found.input.as_deref(), Some("\"second\""));
    worker.answer(&turn, vec![complete(1, "1")]).await;
    assert_eq!(finished(&mut client, "loop").await.input.as_deref(), Some("\"second\""));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_child_does_not_take_the_place_of_another_s_instance_that_has_ended() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "taken", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "\"kept\"")]).await;

    create(&mut client, "parent", "parent").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![child(1, "taken", "child"), child(2, "own", "child")]).await;
    let turn = worker.turn().await;
    let own = worker.turn().await;
    assert_eq!((turn.id(), own.id()), ("parent", "own"));
    let Some(EventType::SubOrchestrationInstanceFailed(event)) = &turn.request.new_events[1].event_type else {
        panic!("expected subOrchestrationInstanceFailed, found {:?}", kinds(&turn.request.new_events));
    };
    let failure = event.failure_details.as_ref().expect("why");
    assert_eq!(failure.error_type, "OrchestrationAlreadyExists");
    assert_eq!(finished(&mut client, "taken").await.output.as_deref(), Some("\"kept\""));

    // Its own may be started again, as a retry does.
    worker.answer(&turn, vec![]).await;
    worker.answer(&own, vec![complete(1, "1")]).await;
    let turn = worker.turn().await;
    worker.answer(&turn, vec![child(3, "own", "child")]).await;
    let own = worker.turn().await;
    assert_eq!(kinds(&own.request.new_events), ["OrchestratorStarted", "ExecutionStarted"]);
    sidecar.stop().await;
}
