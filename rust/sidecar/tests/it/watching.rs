//! Watching instances as they change.

use durabletask_proto::sidecar::client::SidecarServiceClient;
use durabletask_proto::sidecar::{InstanceChange, WatchInstanceRequest};
use durabletask_proto::{OrchestrationStatus, PurgeInstancesRequest, purge_instances_request};
use durabletask_sidecar::Sidecar;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::support::actions::{complete, continue_as_new, schedule};
use crate::support::{Worker, create, kinds, raise, soon, start};

async fn watch(sidecar: &Sidecar, id: &str, history: bool) -> Result<Streaming<InstanceChange>, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{}", sidecar.address())).expect("an address is a valid URI");
    let channel: Channel = endpoint.connect().await.expect("the sidecar listens");
    let request = WatchInstanceRequest { instance_id: id.to_owned(), payloads: true, history };
    Ok(SidecarServiceClient::new(channel).watch_instance(request).await?.into_inner())
}

async fn next(changes: &mut Streaming<InstanceChange>) -> Result<Option<InstanceChange>, Status> {
    soon("a change", changes.message()).await
}

/// The next change, in short: status, length of the history, kinds of the new events, whether it began anew.
async fn told(changes: &mut Streaming<InstanceChange>) -> (OrchestrationStatus, u32, Vec<String>, bool) {
    let change = next(changes).await.expect("no error").expect("a change, not the end");
    let status = change.state.expect("a state").orchestration_status();
    (status, change.history_length, kinds(&change.events), change.restarted)
}

#[tokio::test]
async fn an_instance_is_watched_until_it_ends() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let mut changes = watch(&sidecar, "one", true).await.expect("it exists");
    let mut states = watch(&sidecar, "one", false).await.expect("it exists");
    assert_eq!(told(&mut changes).await, (OrchestrationStatus::Pending, 0, vec![], false));
    assert_eq!(told(&mut states).await, (OrchestrationStatus::Pending, 0, vec![], false));

    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "a")]).await;
    let events = ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled"].map(str::to_owned).to_vec();
    assert_eq!(told(&mut changes).await, (OrchestrationStatus::Running, 3, events, false));
    assert_eq!(told(&mut states).await, (OrchestrationStatus::Running, 3, vec![], false));

    let activity = worker.activity().await;
    worker.finish(&activity, "1").await;
    let turn = worker.turn().await;
    worker.answer(&turn, vec![continue_as_new(2, "7", vec![])]).await;
    assert_eq!(told(&mut changes).await, (OrchestrationStatus::Running, 0, vec![], true));
    told(&mut states).await;

    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "\"out\"")]).await;
    let events = ["OrchestratorStarted", "ExecutionStarted", "ExecutionCompleted"].map(str::to_owned).to_vec();
    assert_eq!(told(&mut changes).await, (OrchestrationStatus::Completed, 3, events, false));
    assert_eq!(next(&mut changes).await.expect("no error"), None, "nothing comes after the end");
    let last = next(&mut states).await.expect("no error").expect("the end").state.expect("a state");
    assert_eq!((last.input.as_deref(), last.output.as_deref()), (Some("7"), Some("\"out\"")));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_long_history_comes_in_parts_and_whole() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    for n in 0..5 {
        let turn = worker.turn().await;
        if n > 0 {
            assert_eq!(turn.request.new_events.len(), 2);
        }
        let mut action = schedule(n + 1, "a");
        if let Some(durabletask_proto::orchestrator_action::OrchestratorActionType::ScheduleTask(asked)) =
            &mut action.orchestrator_action_type
        {
            asked.input = Some("x".repeat(700_000));
        }
        worker.answer(&turn, vec![action]).await;
        worker.activity().await;
        raise(&mut client, "one", "go").await.expect("it runs");
    }
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(6, "1")]).await;

    let mut changes = watch(&sidecar, "one", true).await.expect("it exists");
    let (mut events, mut messages) = (Vec::new(), 0);
    while let Some(change) = next(&mut changes).await.expect("no error") {
        assert_eq!((change.history_length, change.restarted), (18, false));
        events.extend(kinds(&change.events));
        messages += 1;
    }
    assert_eq!((events.len(), messages > 1), (18, true), "{messages} messages");
    assert_eq!(events.last().map(String::as_str), Some("ExecutionCompleted"));
    sidecar.stop().await;
}

#[tokio::test]
async fn who_watches_hears_that_there_is_nothing_to_watch_any_more() {
    let (sidecar, mut client) = start().await;
    let error = watch(&sidecar, "nobody", false).await.expect_err("there is none");
    assert_eq!(error.code(), Code::NotFound);
    create(&mut client, "one", "greet").await.expect("the id is free");
    let mut changes = watch(&sidecar, "one", false).await.expect("it exists");
    let mut other = watch(&sidecar, "one", false).await.expect("it exists");
    told(&mut changes).await;
    told(&mut other).await;
    let purge = PurgeInstancesRequest {
        request: Some(purge_instances_request::Request::InstanceId("one".to_owned())),
        force: Some(true),
        ..PurgeInstancesRequest::default()
    };
    client.purge_instances(purge).await.expect("it goes by force");
    let error = next(&mut changes).await.expect_err("it is gone");
    assert_eq!((error.code(), error.message().contains("'one'")), (Code::NotFound, true), "{error:?}");
    create(&mut client, "one", "greet").await.expect("the id is free");
    assert!(next(&mut other).await.is_err(), "an instance of the same id is another one");
    create(&mut client, "two", "greet").await.expect("the id is free");
    let mut last = watch(&sidecar, "two", false).await.expect("it exists");
    told(&mut last).await;
    soon("the sidecar's end", sidecar.stop()).await;
    assert!(next(&mut last).await.is_err(), "the sidecar's end is the end of the watch");
}
