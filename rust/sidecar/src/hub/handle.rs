//! How others reach the hub: jobs, answered after the commit that they are part of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;

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
    #[error("{0} callers wait for instances already, which is all that this sidecar takes; try again later")]
    TooManyWaiters(usize),
    #[error("the sidecar is shutting down")]
    Stopped,
}

pub(crate) type Result<T> = std::result::Result<T, HubError>;

/// Up to how many bytes a request may be to be done together with others: it may have to be done again without them.
const SHARED_BYTES: usize = 64 * 1024;

/// Something for the hub to do.
pub(crate) enum Job {
    /// Changes what is stored.
    Write(Box<dyn Write>),
    /// Changes nothing that is stored; done between transactions, also when the database takes nothing.
    Look(Box<dyn FnOnce(&mut Hub) + Send>),
}

/// A change of what is stored. It is done, perhaps undone and done again, and answered once it is committed or given up.
pub(crate) trait Write: Send {
    /// An error is the database's; what else can be said is kept for the answer.
    fn run(&mut self, hub: &mut Hub) -> std::result::Result<(), StoreError>;
    fn answer(self: Box<Self>, outcome: std::result::Result<(), StoreError>);
    fn terms(&self) -> Terms;
    /// When it arrived.
    fn since(&self) -> Instant;
}

/// How a change wants to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Terms {
    /// With others in one transaction; of so many bytes.
    Shared(usize),
    /// In a transaction of its own.
    Alone,
    /// The same; it makes room, and is to work when there is none.
    Freeing,
}

struct Call<T, W> {
    work: W,
    terms: Terms,
    since: Instant,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, W: FnMut(&mut Hub) -> Result<T> + Send> Write for Call<T, W> {
    fn run(&mut self, hub: &mut Hub) -> std::result::Result<(), StoreError> {
        match (self.work)(hub) {
            Err(HubError::Database(error)) => Err(error),
            result => {
                self.result = Some(result);
                Ok(())
            }
        }
    }

    fn answer(self: Box<Self>, outcome: std::result::Result<(), StoreError>) {
        let result = match outcome {
            Ok(()) => self.result.unwrap_or(Err(HubError::Stopped)),
            Err(error) => Err(error.into()),
        };
        // Nobody listens when the caller has gone; what was committed stays.
        let _ = self.reply.send(result);
    }

    fn terms(&self) -> Terms {
        self.terms
    }

    fn since(&self) -> Instant {
        self.since
    }
}

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

    /// Changes what is stored, as `work` does with a request of so many bytes; the result arrives when it is committed.
    pub(crate) async fn submit<R: Clone + Send + 'static, T: Send + 'static>(
        &self,
        request: R,
        bytes: usize,
        work: fn(&mut Hub, R) -> Result<T>,
    ) -> Result<T> {
        if bytes > SHARED_BYTES {
            return self.call_alone(move |hub| work(hub, request)).await;
        }
        self.write(Terms::Shared(bytes), move |hub| work(hub, request.clone())).await
    }

    /// The same, for what can be done once and is done apart from others.
    pub(crate) async fn call_alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Hub) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.once(Terms::Alone, work).await
    }

    /// The same, for what makes room.
    pub(crate) async fn call_freeing<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Hub) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.once(Terms::Freeing, work).await
    }

    async fn once<T: Send + 'static>(
        &self,
        terms: Terms,
        work: impl FnOnce(&mut Hub) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut work = Some(work);
        self.write(terms, move |hub| work.take().map_or(Err(HubError::Stopped), |work| work(hub))).await
    }

    async fn write<T: Send + 'static>(
        &self,
        terms: Terms,
        work: impl FnMut(&mut Hub) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Write(Box::new(Call { work, terms, since: Instant::now(), result: None, reply }));
        self.jobs.send(job).map_err(|_| HubError::Stopped)?;
        answer.await.map_err(|_| HubError::Stopped)?
    }

    /// Runs what changes nothing that is stored.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Hub) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send_look(move |hub| {
            // Nobody listens when the caller has gone.
            let _ = reply.send(work(hub));
        })?;
        answer.await.map_err(|_| HubError::Stopped)?
    }

    /// The same, without waiting for it.
    pub(crate) fn tell(&self, work: impl FnOnce(&mut Hub) + Send + 'static) {
        // Without a hub there is nothing left to tell.
        let _ = self.send_look(work);
    }

    fn send_look(&self, work: impl FnOnce(&mut Hub) + Send + 'static) -> Result<()> {
        self.jobs.send(Job::Look(Box::new(work))).map_err(|_| HubError::Stopped)
    }
}
