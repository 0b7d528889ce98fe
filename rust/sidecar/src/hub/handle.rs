//! How others reach the hub: jobs, answered after the commit that they are part of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use tokio::sync::oneshot;

use super::Hub;
use crate::machine::RerunError;
use crate::store::StoreError;

/// Why the hub refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubError {
    #[error("no such instance exists: '{0}'")]
    NotFound(String),
    #[error("orchestration instance already exists: '{id}' is {status}; wait until it ends, or use another id")]
    AlreadyExists { id: String, status: &'static str },
    #[error("orchestration has not yet completed: '{id}' is {status}; terminate it first, or purge with force")]
    NotCompleted { id: String, status: &'static str },
    #[error(
        "no such work item is in flight: {0}; it was answered before, or was handed out again under another completion \
         token; this completion is dropped"
    )]
    UnknownWorkItem(String),
    #[error(transparent)]
    Rerun(#[from] RerunError),
    #[error("the stored history of '{id}' can not be decoded: {error}")]
    Undecodable { id: String, error: String },
    #[error("the database failed, nothing was changed: {0}")]
    Database(#[from] StoreError),
    #[error("the sidecar is shutting down")]
    Stopped,
}

pub(crate) type Result<T> = std::result::Result<T, HubError>;

/// Answers a job, once it is known whether what it did was committed.
pub(super) type Ack = Box<dyn FnOnce(std::result::Result<(), HubError>)>;
pub(crate) type Job = Box<dyn FnOnce(&mut Hub) -> Ack + Send>;

/// Sends jobs to the hub.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    jobs: Sender<Job>,
    ids: Arc<AtomicU64>,
}

impl Handle {
    pub(crate) fn new(jobs: Sender<Job>) -> Self {
        Self { jobs, ids: Arc::default() }
    }

    /// A number that no other caller has.
    pub(crate) fn unique_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Runs `work` in the hub; the result arrives when what it did is committed.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Hub) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |hub| {
            let result = match work(hub) {
                Err(HubError::Database(error)) => {
                    hub.failure.get_or_insert(error.clone());
                    Err(HubError::Database(error))
                }
                result => result,
            };
            Box::new(move |committed| {
                // Nobody listens when the caller has gone; what was committed stays.
                let _ = reply.send(committed.and(result));
            })
        });
        self.jobs.send(job).map_err(|_| HubError::Stopped)?;
        answer.await.map_err(|_| HubError::Stopped)?
    }

    /// Runs `work` in the hub, without waiting for it.
    pub(crate) fn tell(&self, work: impl FnOnce(&mut Hub) -> Result<()> + Send + 'static) {
        let job: Job = Box::new(move |hub| {
            if let Err(HubError::Database(error)) = work(hub) {
                hub.failure.get_or_insert(error);
            }
            Box::new(|_| {})
        });
        // Without a hub there is nothing left to tell.
        let _ = self.jobs.send(job);
    }
}
