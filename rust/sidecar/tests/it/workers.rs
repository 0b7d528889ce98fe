//! Several workers, workers that go away, workers that can not keep up, and workers of another version.

use std::collections::HashSet;
use std::time::Duration;

use durabletask_proto::{
    GetWorkItemsRequest, OrchestrationStatus, OrchestrationVersion, OrchestratorResponse, SuspendRequest,
    TerminateRequest, work_item,
};
use durabletask_sidecar::Options;
use tonic::Code;

use crate::support::actions::{complete, schedule, unversioned};
use crate::support::{Client, Turn, Worker, connect, create, finished, kinds, raise, soon, start, start_with, status};

#[tokio::test]
async fn work_is_shared_between_workers_and_given_to_one_of_them() {
    let (sidecar, mut client) = start().await;
    let mut workers = [Worker::connect(&client).await, Worker::connect(&client).await];
    for n in 0..4 {
        create(&mut client, &format!("id-{n}"), "greet").await.expect("the id is free");
    }
    let mut seen = HashSet::new();
    for worker in &mut workers {
        for _ in 0..2 {
            let turn = worker.turn().await;
            assert!(seen.insert(turn.id().to_owned()), "{} was handed out twice", turn.id());
            worker.answer(&turn, vec![complete(1, "1")]).await;
        }
    }
    assert_eq!(seen.len(), 4);
    sidecar.stop().await;
}

#[tokio::test]
async fn what_a_worker_had_in_hand_goes_to_the_next() {
    let (sidecar, mut client) = start().await;
    let mut first = Worker::connect(&client).await;
    create(&mut client, "turn", "greet").await.expect("the id is free");
    let turn = first.turn().await;
    create(&mut client, "activity", "greet").await.expect("the id is free");
    let other = first.turn().await;
    first.answer(&other, vec![schedule(1, "hello")]).await;
    let activity = first.activity().await;
    drop(first);

    let mut second = Worker::connect(&client).await;
    let (mut turns, mut activities) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let item = second.next().await.expect("a work item");
        match item.request {
            Some(durabletask_proto::work_item::Request::OrchestratorRequest(it)) => turns.push(it.instance_id),
            Some(durabletask_proto::work_item::Request::ActivityRequest(it)) => activities.push(it.name),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!((turns, activities), (vec!["turn".to_owned()], vec!["hello".to_owned()]));

    // The worker that was given up answers late, through another connection. A turn is somebody else's by now; what an
    // activity has done is done.
    let late = second.try_answer(turn.response(vec![complete(1, "\"late\"")])).await;
    assert_eq!(late.expect_err("the turn is somebody else's now").code(), Code::NotFound);
    second.try_finish(activity.response("\"late\"")).await.expect("the work was done");
    let again = second.try_finish(activity.response("\"again\"")).await;
    assert_eq!(again.expect_err("it has been answered").code(), Code::NotFound);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_wedged_worker_keeps_neither_its_instances_nor_new_ones() {
    let options = Options { turn_lease: Duration::from_millis(1_500), ..Options::default() };
    let (sidecar, mut client) = start_with(options).await;
    let mut wedged = Worker::with_cache(&client).await;
    let ids: Vec<String> = (0..20).map(|n| format!("id-{n}")).collect();
    for id in &ids {
        create(&mut client, id, "greet").await.expect("the id is free");
        let turn = wedged.turn().await;
        wedged.answer(&turn, vec![]).await;
    }
    // It goes on reading and answers no more.
    let reading = tokio::spawn(async move { while wedged.next().await.is_some() {} });
    let mut other = Worker::connect(&client).await;
    for id in &ids {
        raise(&mut client, id, "go").await.expect("it runs");
    }
    let working = tokio::spawn(async move {
        while let Some(item) = other.next().await {
            let Some(work_item::Request::OrchestratorRequest(request)) = item.request else {
                panic!("expected a turn, received {:?}", item.request);
            };
            let turn = Turn { request, token: item.completion_token };
            // On a machine that is busy with other things the lease may be over before this.
            drop(other.try_answer(turn.response(vec![complete(1, "1")])).await);
        }
    });
    for id in &ids {
        finished(&mut client, id).await;
    }
    sidecar.stop().await;
    soon("the end of the streams", async { tokio::join!(reading, working) }).await.0.expect("no panic");
}

#[tokio::test]
async fn calls_for_work_that_are_given_up_at_once_leave_nothing_behind() {
    let (sidecar, mut client) = start().await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    for n in 0..300_u64 {
        let mut quick = client.clone();
        let request = tonic::Request::new(GetWorkItemsRequest::default());
        let call = tokio::time::timeout(Duration::from_micros(n * 7 % 900), quick.get_work_items(request));
        drop(call.await);
    }
    // With a worker left over this would wait for it.
    let suspend = SuspendRequest { instance_id: "one".to_owned(), ..SuspendRequest::default() };
    soon("the answer to a request that no worker can see to", client.suspend_instance(suspend)).await.expect("taken");
    sidecar.stop().await;
}

/// A worker that says what it has.
pub(crate) async fn choosy(client: &Client, orchestrators: &str, activities: &str) -> Worker {
    let mut request = tonic::Request::new(GetWorkItemsRequest::default());
    let binary = |text: &str| tonic::metadata::MetadataValue::from_bytes(text.as_bytes());
    request.metadata_mut().insert_bin("durabletask-orchestrators-bin", binary(orchestrators));
    request.metadata_mut().insert_bin("durabletask-activities-bin", binary(activities));
    Worker::asking(client, request).await.expect("it can be read")
}

#[tokio::test]
async fn a_worker_that_says_what_it_has_is_given_that_alone() {
    let (sidecar, mut client) = start().await;
    let mut one = choosy(&client, r#"["parent", ["greet", "1"]]"#, r#"["hello"]"#).await;
    create(&mut client, "missing", "nobody has it").await.expect("the id is free");
    create(&mut client, "new", "greet").await.expect("the id is free");
    let turn = one.turn().await;
    assert_eq!(turn.id(), "new");
    let version = OrchestrationVersion { name: Some("1".to_owned()), patches: vec![] };
    let actions = vec![schedule(1, "elsewhere"), schedule(2, "hello")];
    one.try_answer(OrchestratorResponse { version: Some(version), ..turn.response(actions) }).await.expect("taken");
    let hello = one.activity().await;
    assert_eq!(hello.request.name, "hello");

    // The version that was chosen is needed from now on.
    let mut two = choosy(&client, r#"[["greet", "2"], "nobody has it"]"#, r#"["elsewhere"]"#).await;
    let turn = two.turn().await;
    assert_eq!(turn.id(), "missing");
    let elsewhere = two.activity().await;
    assert_eq!(elsewhere.request.name, "elsewhere");
    two.finish(&elsewhere, "1").await;
    one.finish(&hello, "1").await;
    let turn = one.turn().await;
    assert_eq!(turn.id(), "new");
    sidecar.stop().await;
}

#[tokio::test]
async fn what_no_worker_has_is_terminated_without_one() {
    let (sidecar, mut client) = start().await;
    let _worker = choosy(&client, r#"["another"]"#, "[]").await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let request = TerminateRequest { instance_id: "one".to_owned(), ..TerminateRequest::default() };
    soon("the termination", client.terminate_instance(request)).await.expect("an answer");
    assert_eq!(status(&mut client, "one").await, OrchestrationStatus::Terminated);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_list_of_names_that_can_not_be_read_is_refused() {
    let (sidecar, client) = start().await;
    for list in ["", "{}", "[1]", r#"[["a"]]"#, r#"[["a", 1]]"#, "[\"a\""] {
        let mut request = tonic::Request::new(GetWorkItemsRequest::default());
        let value = tonic::metadata::MetadataValue::from_bytes(list.as_bytes());
        request.metadata_mut().insert_bin("durabletask-orchestrators-bin", value);
        let refused = Worker::asking(&client, request).await.err().expect("no list of names");
        assert_eq!(refused.code(), Code::InvalidArgument, "{list}");
        assert!(refused.message().contains("durabletask-orchestrators-bin"), "{}", refused.message());
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_worker_s_limits_are_kept() {
    let (sidecar, mut client) = start().await;
    #[allow(deprecated, reason = "what older workers send")]
    let limited = GetWorkItemsRequest { max_concurrent_orchestration_work_items: 1, ..GetWorkItemsRequest::default() };
    let mut worker = Worker::offering(&client, limited).await;
    for id in ["one", "two"] {
        create(&mut client, id, "greet").await.expect("the id is free");
    }
    let first = worker.turn().await;
    let mut other = Worker::connect(&client).await;
    let second = other.turn().await;
    assert_ne!(first.id(), second.id(), "the first worker has its hands full");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_worker_that_does_not_read_gets_no_more_than_its_stream_holds() {
    let (sidecar, mut client) = start().await;
    let mut lazy = Worker::connect(&client).await;
    let count = 2_000;
    for n in 0..count {
        create(&mut client, &format!("id-{n}"), "greet").await.expect("the id is free");
    }
    let mut seen = HashSet::new();
    while seen.len() < count {
        let turn = lazy.turn().await;
        assert!(seen.insert(turn.id().to_owned()), "{} was handed out twice", turn.id());
        lazy.answer(&turn, vec![complete(1, "1")]).await;
    }
    finished(&mut client, "id-1999").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn an_instance_whose_version_is_missing_waits_for_a_worker_that_has_it() {
    let (sidecar, mut client) = start().await;
    let mut old = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = old.turn().await;
    old.answer(&turn, vec![]).await;
    raise(&mut client, "one", "go").await.expect("it runs");
    let turn = old.turn().await;
    old.answer(&turn, vec![unversioned()]).await;
    assert_eq!(status(&mut client, "one").await, OrchestrationStatus::Stalled);

    let mut new = Worker::connect(&client).await;
    let turn = new.turn().await;
    let past = kinds(&turn.request.past_events);
    assert_eq!(past, ["OrchestratorStarted", "ExecutionStarted", "ExecutionStalled"]);
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "EventRaised"]);
    new.answer(&turn, vec![complete(1, "1")]).await;
    assert_eq!(finished(&mut client, "one").await.orchestration_status(), OrchestrationStatus::Completed);
    sidecar.stop().await;
}

#[tokio::test]
async fn an_instance_whose_version_is_missing_can_be_terminated() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![unversioned()]).await;
    let mut other = client.clone();
    let request = TerminateRequest { instance_id: "one".to_owned(), ..TerminateRequest::default() };
    let terminating = tokio::spawn(async move { other.terminate_instance(request).await });
    let turn = worker.turn().await;
    worker.answer(&turn, vec![unversioned()]).await;
    soon("the termination", terminating).await.expect("no panic").expect("an answer");
    assert_eq!(status(&mut client, "one").await, OrchestrationStatus::Terminated);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_version_that_one_worker_lacks_is_asked_of_another() {
    let (sidecar, mut client) = start().await;
    let mut workers = [Worker::connect(&client).await, Worker::connect(&client).await];
    create(&mut client, "one", "greet").await.expect("the id is free");
    let [first, second] = &mut workers;
    let (turn, (declines, accepts)) = tokio::select! {
        turn = first.turn() => (turn, (0, 1)),
        turn = second.turn() => (turn, (1, 0)),
    };
    workers[declines].answer(&turn, vec![unversioned()]).await;
    let turn = workers[accepts].turn().await;
    workers[accepts].answer(&turn, vec![complete(1, "1")]).await;
    finished(&mut client, "one").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn an_instance_that_waits_for_a_busy_worker_holds_nobody_up() {
    let (sidecar, mut client) = start().await;
    #[allow(deprecated, reason = "what older workers send")]
    let one_turn = GetWorkItemsRequest { max_concurrent_orchestration_work_items: 1, ..GetWorkItemsRequest::default() };
    let mut new = Worker::offering(&client, one_turn).await;
    create(&mut client, "busy", "greet").await.expect("the id is free");
    let busy = new.turn().await;
    let mut old = Worker::connect(&client).await;
    create(&mut client, "new", "greet").await.expect("the id is free");
    let turn = old.turn().await;
    old.answer(&turn, vec![unversioned()]).await;

    create(&mut client, "other", "greet").await.expect("the id is free");
    assert_eq!(old.turn().await.id(), "other");
    new.answer(&busy, vec![]).await;
    assert_eq!(new.turn().await.id(), "new");
    sidecar.stop().await;
}

#[tokio::test]
async fn streams_and_waits_end_when_the_sidecar_stops() {
    let (sidecar, client) = start().await;
    let mut waiting = connect(sidecar.address()).await;
    create(&mut waiting, "one", "greet").await.expect("the id is free");
    let wait = tokio::spawn(async move { finished_or_error(&mut waiting).await });
    let mut worker = Worker::connect(&client).await;
    let _turn = worker.turn().await;
    crate::support::soon("the sidecar's end", sidecar.stop()).await;
    assert!(worker.next().await.is_none());
    let error = wait.await.expect("no panic").expect_err("there is nobody left to answer");
    assert_eq!(error.code(), Code::Unavailable);
}

async fn finished_or_error(client: &mut crate::support::Client) -> Result<(), tonic::Status> {
    let request = durabletask_proto::GetInstanceRequest {
        instance_id: "one".to_owned(),
        get_inputs_and_outputs: false,
        router: None,
    };
    client.wait_for_instance_completion(request).await.map(|_| ())
}

#[tokio::test]
async fn events_that_a_turn_says_it_has_not_dealt_with_are_for_the_next() {
    let (sidecar, mut client) = start().await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    for name in ["a", "b", "c"] {
        raise(&mut client, "one", name).await.expect("it exists");
    }
    let mut worker = Worker::connect(&client).await;
    let turn = worker.turn().await;
    assert_eq!(turn.request.new_events.len(), 5);
    // It counts orchestratorStarted, executionStarted and the first event.
    let response = OrchestratorResponse { num_events_processed: Some(3), ..turn.response(vec![]) };
    worker.try_answer(response).await.expect("the completion is taken");

    let turn = worker.turn().await;
    assert_eq!(kinds(&turn.request.past_events), ["OrchestratorStarted", "ExecutionStarted", "EventRaised"]);
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "EventRaised", "EventRaised"]);
    // Whoever deals with nothing is not asked the same for ever.
    let response = OrchestratorResponse { num_events_processed: Some(-7), ..turn.response(vec![]) };
    worker.try_answer(response).await.expect("the completion is taken");
    let turn = worker.turn().await;
    assert_eq!(turn.request.new_events.len(), 2);
    let response = OrchestratorResponse { num_events_processed: Some(99), ..turn.response(vec![complete(1, "1")]) };
    worker.try_answer(response).await.expect("the completion is taken");
    assert_eq!(status(&mut client, "one").await, OrchestrationStatus::Completed);
    sidecar.stop().await;
}
