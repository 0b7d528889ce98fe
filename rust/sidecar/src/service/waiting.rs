//! Waiting for an instance, without leaving anything behind when the caller goes away first.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::hub::{Handle, HubError, Result, Until, Waiter, WaiterId};
use crate::wire::EncodedMessage;

/// Takes the waiter out of the hub when the call ends, however it ends.
struct Registration {
    hub: Handle,
    waiter: Option<WaiterId>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(id) = self.waiter.take() {
            self.hub.tell(move |hub| hub.stop_waiting(id));
        }
    }
}

/// How a wait is to be.
#[derive(Clone, Copy)]
pub(super) struct Wait {
    pub(super) until: Until,
    pub(super) payloads: bool,
    /// Give up when no worker is connected.
    pub(super) impatient: bool,
}

/// The answer with the instance's state, once it is there.
pub(super) async fn wait(hub: &Handle, instance_id: String, wait: Wait) -> Result<Arc<EncodedMessage>> {
    let (reply, answer) = oneshot::channel();
    let id = hub.unique_id();
    let Wait { until, payloads, impatient } = wait;
    let waiter = Waiter { id, until, payloads, impatient, reply };
    // Before the job is sent: the call can be dropped at any await.
    let mut registration = Registration { hub: hub.clone(), waiter: Some(id) };
    hub.look(move |hub| hub.wait(&instance_id, waiter)).await?;
    let state = answer.await.map_err(|_| HubError::Stopped)?;
    registration.waiter = None;
    state
}
