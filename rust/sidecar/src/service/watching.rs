//! Watching an instance: a stream of what it has become, until it has ended.

use durabletask_proto::sidecar::{InstanceChange, WatchInstanceRequest};
use tokio::sync::{mpsc, watch as bells};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::hub::{Change, Handle, Result, Seen, WaiterId};
use crate::machine::is_final;
use crate::store::Key;

/// How many changes may wait for the network; what changes meanwhile is told as one.
const CHANGES_AHEAD: usize = 1;

pub(super) type Changes = ReceiverStream<std::result::Result<InstanceChange, Status>>;

/// Takes the bell out of the hub when the stream ends, however it ends.
struct Registration {
    hub: Handle,
    watcher: WaiterId,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let watcher = self.watcher;
        self.hub.tell(move |hub| hub.stop_watching(watcher));
    }
}

pub(super) async fn watch(hub: &Handle, request: WatchInstanceRequest) -> Result<Changes> {
    let (bell, mut heard) = bells::channel(());
    let watcher = hub.unique_id();
    // Before the job is sent: the call can be dropped at any await.
    let registration = Registration { hub: hub.clone(), watcher };
    let id = request.instance_id.clone();
    let key = hub.look(move |hub| hub.watch(&id, watcher, bell)).await?;
    let (changes, told) = mpsc::channel(CHANGES_AHEAD);
    tokio::spawn(async move {
        if let Err(error) = tell(&registration, &mut heard, key, &request, &changes).await {
            // Nobody listens when the caller has gone.
            let _ = changes.send(Err(error.into())).await;
        }
    });
    Ok(ReceiverStream::new(told))
}

/// Tells of every change, until the instance has ended or the caller has gone.
async fn tell(
    registration: &Registration,
    heard: &mut bells::Receiver<()>,
    key: Key,
    request: &WatchInstanceRequest,
    changes: &mpsc::Sender<std::result::Result<InstanceChange, Status>>,
) -> Result<()> {
    let WatchInstanceRequest { payloads, history, .. } = *request;
    let mut seen = Seen::default();
    loop {
        let (before, id) = (seen.clone(), request.instance_id.clone());
        let look = registration.hub.look(move |hub| hub.change_since((&id, key), &before, payloads, history));
        let Change { seen: now, events, restarted } = look.await?;
        let ended = now.state.as_ref().is_some_and(|state| is_final(state.orchestration_status()));
        let all_given = !history || now.given >= now.length;
        if now != seen {
            let change = InstanceChange { state: now.state.clone(), history_length: now.length, events, restarted };
            if changes.send(Ok(change)).await.is_err() {
                return Ok(());
            }
            seen = now;
        }
        if ended && all_given {
            return Ok(());
        }
        if all_given {
            tokio::select! {
                // An error is the hub's end, which the next look meets with.
                _ = heard.changed() => {}
                () = changes.closed() => return Ok(()),
            }
        }
    }
}
