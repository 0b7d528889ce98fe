//! Workers' streams: where work items leave the hub, and what becomes of it when a stream ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::Hub;
use super::scheduler::{Offer, StreamId};
use crate::wire::EncodedMessage;

/// How many work items may wait for the network in one stream; the rest stays in the queue.
pub(crate) const STREAM_BOUND: usize = 64;

const VIRTUAL_STREAM_BOUND: usize = 100_000;

/// A worker's end of its stream.
pub(crate) struct Connected {
    pub(crate) items: mpsc::Receiver<EncodedMessage>,
    /// Set when the hub has more for this stream than fits: taking an item is then to be told.
    pub(crate) starved: Arc<AtomicBool>,
}

struct Outlet {
    items: mpsc::Sender<EncodedMessage>,
    starved: Arc<AtomicBool>,
}

/// The hub's ends of all streams.
#[derive(Default)]
pub(super) struct Outlets {
    outlets: HashMap<StreamId, Outlet>,
}

impl Outlets {
    pub(super) fn has_room(&self, id: StreamId) -> bool {
        self.outlets.get(&id).is_some_and(|outlet| outlet.items.capacity() > 0 && !outlet.items.is_closed())
    }

    /// Asks to be told when an item is taken. One may have been taken just before: look again.
    pub(super) fn ask_to_be_told(&self) {
        for outlet in self.outlets.values() {
            outlet.starved.store(true, Ordering::SeqCst);
        }
    }

    /// False if the stream has ended; its end is noticed elsewhere.
    pub(super) fn send(&self, id: StreamId, item: EncodedMessage) -> bool {
        self.outlets.get(&id).is_some_and(|outlet| outlet.items.try_send(item).is_ok())
    }
}

impl Hub {
    pub(crate) fn connect(&mut self, id: StreamId, offer: Offer) -> Connected {
        // Virtual time passes the same way each time only if the network has no say in it.
        let bound = if self.clock.is_virtual() { VIRTUAL_STREAM_BOUND } else { STREAM_BOUND };
        let (sender, items) = mpsc::channel(bound);
        let starved = Arc::new(AtomicBool::new(false));
        self.outlets.outlets.insert(id, Outlet { items: sender, starved: Arc::clone(&starved) });
        tracing::info!(
            stream = id,
            stateful_history = offer.stateful_history,
            chooses_its_work = offer.orchestrators.is_some() || offer.activities.is_some(),
            "a worker is connected"
        );
        self.scheduler.connect(id, offer, self.clock.elapsed());
        Connected { items, starved }
    }

    /// Takes back what a worker had in hand when its stream ended.
    pub(crate) fn disconnect(&mut self, id: StreamId) {
        self.outlets.outlets.remove(&id);
        let Some(taken) = self.scheduler.disconnect(id) else {
            return;
        };
        tracing::info!(
            stream = id,
            turns = taken.turns.len(),
            activities = taken.activities.len(),
            "a worker is gone; what it had in hand is handed out again"
        );
        for key in taken.turns {
            self.leases.turns.remove(&key);
        }
        for sequence in taken.activities {
            self.leases.activities.remove(&sequence);
        }
        self.leases.revoked.retain(|_, stream| *stream != id);
        self.release_impatient();
    }
}
