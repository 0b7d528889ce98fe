//! The client's half of a load: so many instances, so many of them at a time.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use durabletask_proto::client::TaskHubSidecarServiceClient;
use durabletask_proto::{CreateInstanceRequest, GetInstanceRequest, OrchestrationStatus, RaiseEventRequest};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::script::{EVENT, ORCHESTRATOR, Script};

pub(crate) type Client = TaskHubSidecarServiceClient<Channel>;

pub(crate) async fn connect(address: &str) -> Result<Client, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    let channel = endpoint.connect().await.map_err(|error| format!("no sidecar answers at {address}: {error}"))?;
    let client = Client::new(channel);
    Ok(client.max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX))
}

pub(crate) struct Load {
    client: Client,
    instances: u32,
    places: Arc<Semaphore>,
}

impl Load {
    pub(crate) fn new(client: Client, instances: u32, concurrency: usize) -> Self {
        Self { client, instances, places: Arc::new(Semaphore::new(concurrency)) }
    }

    /// Starts each instance and waits for its end; how long each took.
    pub(crate) async fn complete_all(&self, script: Script) -> Result<Vec<Duration>, String> {
        self.each(|mut client, id| async move {
            start(&mut client, &id, script).await?;
            completed(&mut client, &id).await
        })
        .await
    }

    /// Starts each instance; how long each call took.
    pub(crate) async fn start_all(&self, script: Script) -> Result<Vec<Duration>, String> {
        self.each(|mut client, id| async move { start(&mut client, &id, script).await }).await
    }

    /// Raises the event of each instance and waits for its end; how long each took.
    pub(crate) async fn raise_all(&self) -> Result<Vec<Duration>, String> {
        self.each(|mut client, id| async move {
            let request =
                RaiseEventRequest { instance_id: id.clone(), name: EVENT.to_owned(), ..RaiseEventRequest::default() };
            client.raise_event(request).await.map_err(|status| told(&status))?;
            completed(&mut client, &id).await
        })
        .await
    }

    async fn each<F, R>(&self, call: F) -> Result<Vec<Duration>, String>
    where
        F: Fn(Client, String) -> R,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        let mut calls = JoinSet::new();
        for number in 0..self.instances {
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(|closed| closed.to_string())?;
            let call = call(self.client.clone(), format!("load-{number}"));
            calls.spawn(async move {
                let start = Instant::now();
                let done = call.await;
                drop(place);
                done.map(|()| start.elapsed())
            });
        }
        let mut latencies = Vec::with_capacity(self.instances as usize);
        while let Some(done) = calls.join_next().await {
            latencies.push(done.map_err(|error| error.to_string())??);
        }
        Ok(latencies)
    }
}

async fn start(client: &mut Client, id: &str, script: Script) -> Result<(), String> {
    let request = CreateInstanceRequest {
        instance_id: id.to_owned(),
        name: ORCHESTRATOR.to_owned(),
        input: Some(script.input()),
        ..CreateInstanceRequest::default()
    };
    client.start_instance(request).await.map_err(|status| told(&status))?;
    Ok(())
}

async fn completed(client: &mut Client, id: &str) -> Result<(), String> {
    let request = GetInstanceRequest { instance_id: id.to_owned(), ..GetInstanceRequest::default() };
    let answer = client.wait_for_instance_completion(request).await.map_err(|status| told(&status))?;
    match answer.into_inner().orchestration_state.map(|state| state.orchestration_status()) {
        Some(OrchestrationStatus::Completed) => Ok(()),
        other => Err(format!("'{id}' was to be completed, found: {other:?}")),
    }
}

fn told(status: &Status) -> String {
    format!("the sidecar answered {:?}: {}", status.code(), status.message())
}
