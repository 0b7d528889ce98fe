//! A sidecar, a client, and a worker whose every answer the test gives. Waiting is always for something, with a deadline.

pub(crate) mod actions;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use durabletask_proto::client::TaskHubSidecarServiceClient;
use durabletask_proto::{
    ActivityRequest, ActivityResponse, CreateInstanceRequest, GetInstanceRequest, GetWorkItemsRequest, HistoryEvent,
    OrchestrationState, OrchestrationStatus, OrchestratorAction, OrchestratorRequest, OrchestratorResponse,
    RaiseEventRequest, WorkItem, WorkerCapability, work_item,
};
use durabletask_sidecar::{OpenError, Options, Sidecar, StartError};
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

pub(crate) type Client = TaskHubSidecarServiceClient<Channel>;

const DEADLINE: Duration = Duration::from_secs(20);

/// Fails the test with what it was waiting for, instead of hanging.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("waited {DEADLINE:?} in vain for {what}");
    };
    value
}

pub(crate) async fn start() -> (Sidecar, Client) {
    let sidecar = Sidecar::start(Options::default()).await.expect("a sidecar in memory starts");
    let client = connect(sidecar.address()).await;
    (sidecar, client)
}

pub(crate) async fn start_on(db: &Path) -> (Sidecar, Client) {
    let options = Options { db: Some(db.to_owned()), ..Options::default() };
    let sidecar = soon("the database", async {
        loop {
            // A program that another test is about to start holds what this process had open, until it is started.
            match Sidecar::start(options.clone()).await {
                Err(StartError::Database(OpenError::InUse { .. })) => tokio::task::yield_now().await,
                started => break started.expect("a sidecar on a file starts"),
            }
        }
    });
    let sidecar = sidecar.await;
    let client = connect(sidecar.address()).await;
    (sidecar, client)
}

pub(crate) async fn start_with(options: Options) -> (Sidecar, Client) {
    let sidecar = Sidecar::start(options).await.expect("a sidecar starts");
    let client = connect(sidecar.address()).await;
    (sidecar, client)
}

pub(crate) async fn connect(address: SocketAddr) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a valid URI");
    let channel = soon("a connection", endpoint.connect()).await.expect("the sidecar listens");
    let client = Client::new(channel);
    client.max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX)
}

pub(crate) async fn create(client: &mut Client, id: &str, name: &str) -> Result<String, Status> {
    let request = CreateInstanceRequest {
        instance_id: id.to_owned(),
        name: name.to_owned(),
        input: Some("\"in\"".to_owned()),
        ..CreateInstanceRequest::default()
    };
    Ok(client.start_instance(request).await?.into_inner().instance_id)
}

fn with_payloads(id: &str) -> GetInstanceRequest {
    GetInstanceRequest { instance_id: id.to_owned(), get_inputs_and_outputs: true, router: None }
}

pub(crate) async fn state(client: &mut Client, id: &str) -> Option<OrchestrationState> {
    let answer = client.get_instance(with_payloads(id)).await.expect("GetInstance answers").into_inner();
    assert_eq!(answer.exists, answer.orchestration_state.is_some());
    answer.orchestration_state
}

pub(crate) async fn status(client: &mut Client, id: &str) -> OrchestrationStatus {
    state(client, id).await.expect("the instance exists").orchestration_status()
}

pub(crate) async fn finished(client: &mut Client, id: &str) -> OrchestrationState {
    let answer = soon("the end of the instance", client.wait_for_instance_completion(with_payloads(id))).await;
    answer.expect("the wait is answered").into_inner().orchestration_state.expect("a state")
}

pub(crate) async fn raise(client: &mut Client, id: &str, name: &str) -> Result<(), Status> {
    let request = RaiseEventRequest { instance_id: id.to_owned(), name: name.to_owned(), input: None, router: None };
    client.raise_event(request).await.map(|_| ())
}

/// A worker that does nothing by itself.
pub(crate) struct Worker {
    client: Client,
    items: Streaming<WorkItem>,
}

/// A turn in the worker's hands.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) request: OrchestratorRequest,
    pub(crate) token: String,
}

impl Turn {
    pub(crate) fn id(&self) -> &str {
        &self.request.instance_id
    }

    pub(crate) fn response(&self, actions: Vec<OrchestratorAction>) -> OrchestratorResponse {
        OrchestratorResponse {
            instance_id: self.request.instance_id.clone(),
            actions,
            completion_token: self.token.clone(),
            ..OrchestratorResponse::default()
        }
    }
}

/// An activity in the worker's hands.
#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) request: ActivityRequest,
    pub(crate) token: String,
}

impl Activity {
    pub(crate) fn id(&self) -> String {
        self.request.orchestration_instance.as_ref().expect("its instance").instance_id.clone()
    }

    pub(crate) fn response(&self, result: &str) -> ActivityResponse {
        ActivityResponse {
            instance_id: self.id(),
            task_id: self.request.task_id,
            result: Some(result.to_owned()),
            failure_details: None,
            completion_token: self.token.clone(),
        }
    }
}

impl Worker {
    pub(crate) async fn connect(client: &Client) -> Self {
        Self::offering(client, GetWorkItemsRequest::default()).await
    }

    pub(crate) async fn with_cache(client: &Client) -> Self {
        let capabilities = vec![WorkerCapability::StatefulHistory.into()];
        Self::offering(client, GetWorkItemsRequest { capabilities, ..GetWorkItemsRequest::default() }).await
    }

    pub(crate) async fn offering(client: &Client, request: GetWorkItemsRequest) -> Self {
        Self::asking(client, tonic::Request::new(request)).await.expect("the sidecar streams work items")
    }

    pub(crate) async fn asking(client: &Client, request: tonic::Request<GetWorkItemsRequest>) -> Result<Self, Status> {
        let mut client = client.clone();
        let items = soon("a stream of work items", client.get_work_items(request)).await?.into_inner();
        Ok(Self { client, items })
    }

    /// The next work item; None when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<WorkItem> {
        soon("a work item", self.items.message()).await.unwrap_or(None)
    }

    pub(crate) async fn turn(&mut self) -> Turn {
        let item = self.next().await.expect("a work item, not the end of the stream");
        match item.request {
            Some(work_item::Request::OrchestratorRequest(request)) => Turn { request, token: item.completion_token },
            other => panic!("expected a turn, received {other:?}"),
        }
    }

    pub(crate) async fn activity(&mut self) -> Activity {
        let item = self.next().await.expect("a work item, not the end of the stream");
        match item.request {
            Some(work_item::Request::ActivityRequest(request)) => Activity { request, token: item.completion_token },
            other => panic!("expected an activity, received {other:?}"),
        }
    }

    pub(crate) async fn answer(&mut self, turn: &Turn, actions: Vec<OrchestratorAction>) {
        self.try_answer(turn.response(actions)).await.expect("the completion is taken");
    }

    pub(crate) async fn try_answer(&mut self, response: OrchestratorResponse) -> Result<(), Status> {
        soon("an answer", self.client.complete_orchestrator_task(response)).await.map(|_| ())
    }

    pub(crate) async fn finish(&mut self, activity: &Activity, result: &str) {
        self.try_finish(activity.response(result)).await.expect("the result is taken");
    }

    pub(crate) async fn try_finish(&mut self, response: ActivityResponse) -> Result<(), Status> {
        soon("an answer", self.client.complete_activity_task(response)).await.map(|_| ())
    }
}

/// Field names of events, in order: a history at a glance.
pub(crate) fn kinds(events: &[HistoryEvent]) -> Vec<String> {
    let kind = |event: &HistoryEvent| {
        let text = format!("{:?}", event.event_type.as_ref().expect("a known event"));
        text.split('(').next().unwrap_or_default().to_owned()
    };
    events.iter().map(kind).collect()
}
