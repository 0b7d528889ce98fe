//! Starting, looking at, steering and forgetting instances.

use std::collections::HashMap;
use std::time::Duration;

use durabletask_proto::{
    CreateInstanceRequest, CreateOrchestrationAction, GetInstanceHistoryRequest, GetInstanceRequest,
    ListInstanceIDsRequest, OrchestrationIdReusePolicy, OrchestrationStatus, PurgeInstanceFilter,
    PurgeInstancesRequest, ResumeRequest, SuspendRequest, TerminateRequest, TraceContext, purge_instances_request,
};
use tonic::Code;

use crate::support::actions::{at, complete, terminated};
use crate::support::{Client, Worker, create, finished, kinds, raise, soon, start, state, status};

fn purge(id: &str, force: bool) -> PurgeInstancesRequest {
    PurgeInstancesRequest {
        request: Some(purge_instances_request::Request::InstanceId(id.to_owned())),
        recursive: true,
        force: Some(force),
        router: None,
    }
}

fn by_id(id: &str) -> GetInstanceRequest {
    GetInstanceRequest { instance_id: id.to_owned(), get_inputs_and_outputs: false, router: None }
}

/// Runs an instance to its end.
async fn run_to_end(client: &mut Client, worker: &mut Worker, id: &str) {
    create(client, id, "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "\"out\"")]).await;
    finished(client, id).await;
}

#[tokio::test]
async fn what_a_client_gives_is_what_it_finds() {
    let (sidecar, mut client) = start().await;
    let request = CreateInstanceRequest {
        instance_id: "one".to_owned(),
        name: "greet".to_owned(),
        version: Some("v1".to_owned()),
        input: Some("\"in\"".to_owned()),
        execution_id: Some("run".to_owned()),
        tags: HashMap::from([("team".to_owned(), "blue".to_owned())]),
        parent_trace_context: Some(TraceContext {
            trace_parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            ..TraceContext::default()
        }),
        ..CreateInstanceRequest::default()
    };
    let trace = request.parent_trace_context.clone();
    client.start_instance(request).await.expect("the id is free");

    let found = state(&mut client, "one").await.expect("it exists");
    assert_eq!(found.orchestration_status(), OrchestrationStatus::Pending);
    assert_eq!((found.name.as_str(), found.version.as_deref()), ("greet", Some("v1")));
    assert_eq!((found.input.as_deref(), found.output.as_deref()), (Some("\"in\""), None));
    assert_eq!(found.execution_id.as_deref(), Some("run"));
    assert_eq!(found.tags["team"], "blue");
    assert!(found.created_timestamp.is_some() && found.completed_timestamp.is_none());

    let mut worker = Worker::connect(&client).await;
    let turn = worker.turn().await;
    assert_eq!(turn.request.execution_id.as_deref(), Some("run"));
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "ExecutionStarted"]);
    let Some(durabletask_proto::history_event::EventType::ExecutionStarted(started)) =
        &turn.request.new_events[1].event_type
    else {
        panic!("expected executionStarted");
    };
    assert_eq!(started.parent_trace_context, trace);
    worker.answer(&turn, vec![complete(1, "\"out\"")]).await;

    let found = finished(&mut client, "one").await;
    assert_eq!(found.orchestration_status(), OrchestrationStatus::Completed);
    assert_eq!((found.input.as_deref(), found.output.as_deref()), (Some("\"in\""), Some("\"out\"")));
    assert!(found.started_at.is_some() && found.completed_timestamp.is_some());

    let lean = client.get_instance(by_id("one")).await.expect("it exists").into_inner().orchestration_state;
    let lean = lean.expect("a state");
    assert_eq!((lean.input, lean.output), (None, None), "payloads only for those who ask");
    sidecar.stop().await;
}

#[tokio::test]
async fn an_instance_without_an_id_is_given_one() {
    let (sidecar, mut client) = start().await;
    let id = create(&mut client, "", "greet").await.expect("a start");
    assert!(!id.is_empty());
    assert!(state(&mut client, &id).await.is_some());
    sidecar.stop().await;
}

#[tokio::test]
async fn an_orchestration_without_a_name_is_refused() {
    let (sidecar, mut client) = start().await;
    let error = create(&mut client, "one", "").await.expect_err("a name is needed");
    assert_eq!(error.code(), Code::InvalidArgument);
    sidecar.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_is_said_not_to() {
    let (sidecar, mut client) = start().await;
    assert_eq!(state(&mut client, "nobody").await, None);

    let id = || "nobody".to_owned();
    let errors = [
        client.wait_for_instance_start(by_id("nobody")).await.map(|_| ()).expect_err("no such instance"),
        client.wait_for_instance_completion(by_id("nobody")).await.map(|_| ()).expect_err("no such instance"),
        raise(&mut client, "nobody", "event").await.expect_err("no such instance"),
        client
            .terminate_instance(TerminateRequest { instance_id: id(), ..TerminateRequest::default() })
            .await
            .map(|_| ())
            .expect_err("no such instance"),
        client
            .suspend_instance(SuspendRequest { instance_id: id(), reason: None, router: None })
            .await
            .map(|_| ())
            .expect_err("no such instance"),
        client
            .resume_instance(ResumeRequest { instance_id: id(), reason: None, router: None })
            .await
            .map(|_| ())
            .expect_err("no such instance"),
        client.purge_instances(purge("nobody", false)).await.map(|_| ()).expect_err("no such instance"),
        client
            .get_instance_history(GetInstanceHistoryRequest { instance_id: id() })
            .await
            .map(|_| ())
            .expect_err("no such instance"),
    ];
    for error in errors {
        assert_eq!(error.code(), Code::NotFound);
        assert!(error.message().contains("no such instance exists"), "{}", error.message());
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn an_id_in_use_is_refused_and_a_finished_one_is_free_again() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let error = create(&mut client, "one", "greet").await.expect_err("the id is in use");
    assert_eq!(error.code(), Code::AlreadyExists);
    assert!(error.message().contains("already exists"), "{}", error.message());

    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "\"first\"")]).await;
    finished(&mut client, "one").await;
    create(&mut client, "one", "again").await.expect("the id is free again");
    let turn = worker.turn().await;
    assert_eq!(turn.request.past_events, vec![], "nothing is left of the first");
    let found = state(&mut client, "one").await.expect("it exists");
    assert_eq!((found.name.as_str(), found.output), ("again", None));
    sidecar.stop().await;
}

#[tokio::test]
async fn the_reuse_policy_of_older_clients_is_honoured() {
    let (sidecar, mut client) = start().await;
    create(&mut client, "one", "first").await.expect("the id is free");
    let request = |action: CreateOrchestrationAction, name: &str| {
        let policy = OrchestrationIdReusePolicy {
            operation_status: vec![OrchestrationStatus::Pending.into()],
            action: action.into(),
        };
        #[allow(deprecated, reason = "what older clients send")]
        CreateInstanceRequest {
            instance_id: "one".to_owned(),
            name: name.to_owned(),
            orchestration_id_reuse_policy: Some(policy),
            ..CreateInstanceRequest::default()
        }
    };
    client.start_instance(request(CreateOrchestrationAction::Ignore, "second")).await.expect("ignored");
    assert_eq!(state(&mut client, "one").await.expect("it exists").name, "first");
    client.start_instance(request(CreateOrchestrationAction::Terminate, "third")).await.expect("replaced");
    assert_eq!(state(&mut client, "one").await.expect("it exists").name, "third");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_start_that_insists_on_a_new_id_is_refused_an_old_one() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    let request = || CreateInstanceRequest {
        instance_id: "one".to_owned(),
        name: "greet".to_owned(),
        enforce_unique_instance_id: true,
        ..CreateInstanceRequest::default()
    };
    client.start_instance(request()).await.expect("the id is new");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "\"first\"")]).await;
    finished(&mut client, "one").await;
    let error = client.start_instance(request()).await.expect_err("the id was used before");
    assert_eq!(error.code(), Code::AlreadyExists);
    let kept = state(&mut client, "one").await.expect("it exists").output;
    assert_eq!(kept.as_deref(), Some("\"first\""), "what was there is left alone");
    client.purge_instances(purge("one", false)).await.expect("purged");
    client.start_instance(request()).await.expect("nothing is left of the first");
    sidecar.stop().await;
}

#[tokio::test]
async fn an_event_for_a_finished_instance_is_dropped() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    run_to_end(&mut client, &mut worker, "one").await;
    raise(&mut client, "one", "late").await.expect("no error");
    run_to_end(&mut client, &mut worker, "two").await; // the next work item is another instance's
    sidecar.stop().await;
}

#[tokio::test]
async fn waits_are_answered_when_it_happens_and_at_once_when_it_has() {
    let (sidecar, mut client) = start().await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let mut other = client.clone();
    let started = tokio::spawn(async move { other.wait_for_instance_start(by_id("one")).await });
    let mut other = client.clone();
    let completed = tokio::spawn(async move { other.wait_for_instance_completion(by_id("one")).await });

    let mut worker = Worker::connect(&client).await;
    let turn = worker.turn().await;
    worker.answer(&turn, vec![]).await;
    let answer = soon("the start", started).await.expect("no panic").expect("an answer").into_inner();
    let status = answer.orchestration_state.expect("a state").orchestration_status();
    assert_eq!(status, OrchestrationStatus::Running);

    raise(&mut client, "one", "go").await.expect("it runs");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "1")]).await;
    soon("the end", completed).await.expect("no panic").expect("an answer");
    finished(&mut client, "one").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn suspending_terminating_and_resuming_answer_when_the_worker_has_seen_it() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![]).await;
    let id = || "one".to_owned();

    let mut other = client.clone();
    let request = SuspendRequest { instance_id: id(), reason: Some("lunch".to_owned()), router: None };
    let suspending = tokio::spawn(async move { other.suspend_instance(request).await });
    let turn = worker.turn().await;
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "ExecutionSuspended"]);
    worker.answer(&turn, vec![]).await;
    soon("the suspension", suspending).await.expect("no panic").expect("an answer");
    assert_eq!(status(&mut client, "one").await, OrchestrationStatus::Suspended);

    let mut other = client.clone();
    let request = ResumeRequest { instance_id: id(), reason: None, router: None };
    let resuming = tokio::spawn(async move { other.resume_instance(request).await });
    let turn = worker.turn().await;
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "ExecutionResumed"]);
    worker.answer(&turn, vec![]).await;
    soon("the resumption", resuming).await.expect("no panic").expect("an answer");
    assert_eq!(status(&mut client, "one").await, OrchestrationStatus::Running);

    let mut other = client.clone();
    let request =
        TerminateRequest { instance_id: id(), output: Some("\"why\"".to_owned()), recursive: true, router: None };
    let terminating = tokio::spawn(async move { other.terminate_instance(request).await });
    let turn = worker.turn().await;
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "ExecutionTerminated"]);
    worker.answer(&turn, vec![terminated(1)]).await;
    soon("the termination", terminating).await.expect("no panic").expect("an answer");
    assert_eq!(status(&mut client, "one").await, OrchestrationStatus::Terminated);
    sidecar.stop().await;
}

#[tokio::test]
async fn without_a_worker_steering_is_accepted_and_not_waited_for() {
    let (sidecar, mut client) = start().await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let request = TerminateRequest { instance_id: "one".to_owned(), ..TerminateRequest::default() };
    soon("an answer", client.terminate_instance(request)).await.expect("accepted");
    assert_eq!(status(&mut client, "one").await, OrchestrationStatus::Pending);
    sidecar.stop().await;
}

#[tokio::test]
async fn an_instance_scheduled_for_later_can_be_terminated_before() {
    let (sidecar, mut client) = start().await;
    let request = CreateInstanceRequest {
        instance_id: "later".to_owned(),
        name: "greet".to_owned(),
        scheduled_start_timestamp: Some(at(Duration::from_secs(86_400))),
        ..CreateInstanceRequest::default()
    };
    client.start_instance(request).await.expect("the id is free");
    let request = TerminateRequest { instance_id: "later".to_owned(), ..TerminateRequest::default() };
    soon("an answer", client.terminate_instance(request)).await.expect("accepted");
    assert_eq!(status(&mut client, "later").await, OrchestrationStatus::Terminated);
    sidecar.stop().await;
}

#[tokio::test]
async fn purging_forgets_what_is_finished_and_by_force_what_is_not() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    run_to_end(&mut client, &mut worker, "done").await;
    create(&mut client, "busy", "greet").await.expect("the id is free");
    let turn = worker.turn().await;

    let count = client.purge_instances(purge("done", false)).await.expect("purged").into_inner();
    assert_eq!((count.deleted_instance_count, count.is_complete), (1, Some(true)));
    assert_eq!(state(&mut client, "done").await, None);

    let error = client.purge_instances(purge("busy", false)).await.expect_err("it is not finished");
    assert_eq!(error.code(), Code::FailedPrecondition);
    client.purge_instances(purge("busy", true)).await.expect("purged");
    assert_eq!(state(&mut client, "busy").await, None);
    let error = worker.try_answer(turn.response(vec![])).await.expect_err("there is nothing to complete");
    assert_eq!(error.code(), Code::NotFound);
    sidecar.stop().await;
}

#[tokio::test]
async fn purging_by_filter_takes_what_matches_and_is_finished() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    run_to_end(&mut client, &mut worker, "old").await;
    let between = at(Duration::ZERO);
    run_to_end(&mut client, &mut worker, "new").await;
    create(&mut client, "busy", "greet").await.expect("the id is free");

    let matching = |filter: PurgeInstanceFilter| PurgeInstancesRequest {
        request: Some(purge_instances_request::Request::PurgeInstanceFilter(filter)),
        recursive: false,
        force: None,
        router: None,
    };
    let filter = PurgeInstanceFilter {
        runtime_status: vec![OrchestrationStatus::Failed.into()],
        ..PurgeInstanceFilter::default()
    };
    let count = client.purge_instances(matching(filter)).await.expect("purged").into_inner();
    assert_eq!(count.deleted_instance_count, 0);
    let filter = PurgeInstanceFilter { created_time_from: Some(between), ..PurgeInstanceFilter::default() };
    let count = client.purge_instances(matching(filter)).await.expect("purged").into_inner();
    assert_eq!(count.deleted_instance_count, 1);
    let count = client.purge_instances(matching(PurgeInstanceFilter::default())).await.expect("purged").into_inner();
    assert_eq!(count.deleted_instance_count, 1);
    assert_eq!(status(&mut client, "busy").await, OrchestrationStatus::Pending);
    sidecar.stop().await;
}

#[tokio::test]
async fn purging_by_filter_takes_more_than_one_look_and_all_that_matches() {
    let (sidecar, mut client) = start().await;
    for n in 0..1_100 {
        create(&mut client, &format!("id-{n}"), "greet").await.expect("the id is free");
    }
    let request = PurgeInstancesRequest {
        request: Some(purge_instances_request::Request::PurgeInstanceFilter(PurgeInstanceFilter::default())),
        recursive: true,
        force: Some(true),
        router: None,
    };
    let count = client.purge_instances(request).await.expect("purged").into_inner();
    assert_eq!((count.deleted_instance_count, count.is_complete), (1_100, Some(true)));
    assert_eq!(state(&mut client, "id-1099").await, None);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_wait_for_an_instance_that_is_purged_ends() {
    let (sidecar, mut client) = start().await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let mut other = client.clone();
    let waiting = tokio::spawn(async move { other.wait_for_instance_completion(by_id("one")).await });
    client.purge_instances(purge("one", true)).await.expect("purged");
    let error = soon("the wait's end", waiting).await.expect("no panic").expect_err("it is gone");
    assert!(error.message().contains("no such instance exists"), "{}", error.message());
    sidecar.stop().await;
}

#[tokio::test]
async fn ids_are_listed_page_by_page() {
    let (sidecar, mut client) = start().await;
    let ids: Vec<String> = (0..5).map(|n| format!("id-{n}")).collect();
    for id in &ids {
        create(&mut client, id, "greet").await.expect("the id is free");
    }
    let mut found = Vec::new();
    let mut continuation_token = None;
    loop {
        let request = ListInstanceIDsRequest { continuation_token, page_size: Some(2) };
        let page = client.list_instance_i_ds(request).await.expect("a page").into_inner();
        assert!(page.instance_ids.len() <= 2);
        found.extend(page.instance_ids);
        continuation_token = page.continuation_token;
        if continuation_token.is_none() {
            break;
        }
    }
    assert_eq!(found, ids);
    let request = ListInstanceIDsRequest { continuation_token: Some("x".to_owned()), page_size: None };
    let error = client.list_instance_i_ds(request).await.expect_err("no such page");
    assert_eq!(error.code(), Code::InvalidArgument);
    sidecar.stop().await;
}
