//! The worker's half of a load: answers each work item at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use durabletask_proto::{
    ActivityRequest, ActivityResponse, GetWorkItemsRequest, OrchestratorRequest, OrchestratorResponse, WorkItem,
    WorkerCapability, work_item,
};
use tokio::sync::watch;
use tonic::Status;

use crate::client::Client;
use crate::script::Progress;

/// A worker that runs until the program ends.
pub(crate) struct Worker {
    counts: watch::Receiver<Counts>,
    problem: Arc<Mutex<Option<String>>>,
}

/// What it has answered so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) turns: u64,
    pub(crate) activities: u64,
}

impl Worker {
    /// Must be called within a runtime.
    pub(crate) fn start(client: Client) -> Self {
        let (told, counts) = watch::channel(Counts::default());
        let problem = Arc::new(Mutex::new(None));
        let serving = Serving { client, told, problem: Arc::clone(&problem), progress: HashMap::new() };
        tokio::spawn(serving.serve());
        Self { counts, problem }
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Waits until so many turns are answered, or until no more will be.
    pub(crate) async fn turns_reached(&mut self, turns: u64) {
        // An error means that the worker has ended, which `check` tells.
        let _ended = self.counts.wait_for(|counts| counts.turns >= turns).await;
    }

    /// What went wrong, if something did.
    pub(crate) fn check(&self) -> Result<(), String> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.as_ref().map_or(Ok(()), |problem| Err(problem.clone()))
    }
}

struct Serving {
    client: Client,
    told: watch::Sender<Counts>,
    problem: Arc<Mutex<Option<String>>>,
    progress: HashMap<String, Progress>,
}

impl Serving {
    async fn serve(mut self) {
        let ended = match self.answer_all().await {
            Ok(()) => "the sidecar ended the stream".to_owned(),
            Err(status) => format!("the stream broke: {status}"),
        };
        note(&self.problem, ended);
    }

    async fn answer_all(&mut self) -> Result<(), Status> {
        let request = GetWorkItemsRequest {
            // Histories come whole otherwise, and taking them in would be what is measured.
            capabilities: vec![WorkerCapability::StatefulHistory.into()],
            ..GetWorkItemsRequest::default()
        };
        // Some sidecars answer this with the first work item, which needs an instance: nobody may wait for it.
        let mut items = self.client.get_work_items(request).await?.into_inner();
        while let Some(item) = items.message().await? {
            self.answer(item);
        }
        Ok(())
    }

    fn answer(&mut self, item: WorkItem) {
        match item.request {
            Some(work_item::Request::OrchestratorRequest(request)) => self.answer_turn(request, item.completion_token),
            Some(work_item::Request::ActivityRequest(request)) => self.answer_activity(request, item.completion_token),
            _ => {}
        }
    }

    fn answer_turn(&mut self, request: OrchestratorRequest, completion_token: String) {
        let begun = Progress::begin(&request.new_events);
        let progress = match begun {
            Some(progress) => self.progress.entry(request.instance_id.clone()).insert_entry(progress).into_mut(),
            None => match self.progress.get_mut(&request.instance_id) {
                Some(progress) => progress,
                None => return note(&self.problem, format!("'{}' is no instance of this load", request.instance_id)),
            },
        };
        let response = OrchestratorResponse {
            actions: progress.turn(&request.new_events),
            instance_id: request.instance_id,
            completion_token,
            ..OrchestratorResponse::default()
        };
        let (mut client, told, problem) = (self.client.clone(), self.told.clone(), Arc::clone(&self.problem));
        tokio::spawn(async move {
            match client.complete_orchestrator_task(response).await {
                Ok(_) => told.send_modify(|counts| counts.turns += 1),
                Err(status) => refused(&problem, &status),
            }
        });
    }

    fn answer_activity(&self, request: ActivityRequest, completion_token: String) {
        let response = ActivityResponse {
            instance_id: request.orchestration_instance.unwrap_or_default().instance_id,
            task_id: request.task_id,
            result: request.input,
            completion_token,
            ..ActivityResponse::default()
        };
        let (mut client, told, problem) = (self.client.clone(), self.told.clone(), Arc::clone(&self.problem));
        tokio::spawn(async move {
            match client.complete_activity_task(response).await {
                Ok(_) => told.send_modify(|counts| counts.activities += 1),
                Err(status) => refused(&problem, &status),
            }
        });
    }
}

fn refused(problem: &Mutex<Option<String>>, status: &Status) {
    note(problem, format!("an answer was refused: {:?}: {}", status.code(), status.message()));
}

/// Keeps the first thing that went wrong.
fn note(problem: &Mutex<Option<String>>, what: String) {
    problem.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
}
