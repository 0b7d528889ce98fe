//! Workers that are connected, each through one stream of work items.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lru::LruCache;
use tokio::sync::mpsc;

use super::Hub;
use crate::store::Key;
use crate::wire::EncodedMessage;

pub(crate) type StreamId = u64;

/// How many work items may wait for the network in one stream; the rest stays in the queue.
pub(crate) const STREAM_BOUND: usize = 64;
/// Of how many instances it is remembered which history a worker holds.
const WARM_INSTANCES: usize = 100_000;

/// What a worker says of itself when it connects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    /// It keeps histories between turns.
    pub(crate) stateful_history: bool,
    /// How much it wants to have in hand at once; 0 is no limit.
    pub(crate) max_turns: usize,
    pub(crate) max_activities: usize,
}

/// A worker's end of its stream.
pub(crate) struct Connected {
    pub(crate) id: StreamId,
    pub(crate) items: mpsc::Receiver<EncodedMessage>,
    /// Set when the hub has more for this stream than fits: taking an item is then to be told.
    pub(crate) starved: Arc<AtomicBool>,
}

/// How much of an execution's history a worker holds.
pub(super) struct Warm {
    pub(super) execution_id: Option<String>,
    pub(super) count: u32,
    pub(super) bytes: usize,
}

pub(super) struct WorkerStream {
    items: mpsc::Sender<EncodedMessage>,
    starved: Arc<AtomicBool>,
    offer: Offer,
    pub(super) turns: usize,
    pub(super) activities: usize,
    warm: LruCache<Key, Warm>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Turn(Key),
    Activity,
}

impl WorkerStream {
    fn has_room(&self, work: Work) -> bool {
        let within = |used: usize, limit: usize| limit == 0 || used < limit;
        let wanted = match work {
            Work::Turn(_) => within(self.turns, self.offer.max_turns),
            Work::Activity => within(self.activities, self.offer.max_activities),
        };
        wanted && self.items.capacity() > 0 && !self.items.is_closed()
    }

    /// What the worker holds of this execution.
    pub(super) fn warm(&mut self, key: Key, execution_id: Option<&str>) -> Option<&Warm> {
        self.warm.get(&key).filter(|warm| warm.execution_id.as_deref() == execution_id && warm.count > 0)
    }

    /// The worker answered a turn, so it holds the history that the turn was sent with.
    pub(super) fn remember(&mut self, key: Key, warm: Warm) {
        if self.offer.stateful_history {
            self.warm.put(key, warm);
        }
    }

    pub(super) fn forget(&mut self, key: Key) {
        self.warm.pop(&key);
    }

    /// False if the stream has ended; its end is noticed elsewhere.
    pub(super) fn send(&self, item: EncodedMessage) -> bool {
        self.items.try_send(item).is_ok()
    }
}

#[derive(Default)]
pub(super) struct Streams {
    streams: BTreeMap<StreamId, WorkerStream>,
    next: StreamId,
}

impl Streams {
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.streams.keys().copied()
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut WorkerStream> {
        self.streams.get_mut(&id)
    }

    pub(super) fn forget_work(&mut self) {
        for stream in self.streams.values_mut() {
            stream.turns = 0;
            stream.activities = 0;
            stream.warm.clear();
        }
    }

    /// The stream to send work to: one that holds the instance's history if possible, else the least busy.
    pub(super) fn choose(&mut self, work: Work, declined: &[StreamId]) -> Option<StreamId> {
        let found = self.find(work, declined);
        if found.is_some() {
            return found;
        }
        for stream in self.streams.values() {
            stream.starved.store(true, Ordering::SeqCst);
        }
        // One may have made room just before it was asked to tell.
        self.find(work, declined)
    }

    fn find(&self, work: Work, declined: &[StreamId]) -> Option<StreamId> {
        let open = || self.streams.iter().filter(|(id, stream)| !declined.contains(id) && stream.has_room(work));
        if let Work::Turn(key) = work
            && let Some((id, _)) = open().find(|(_, stream)| stream.warm.contains(&key))
        {
            return Some(*id);
        }
        open().min_by_key(|(_, stream)| stream.turns + stream.activities).map(|(id, _)| *id)
    }
}

impl Hub {
    pub(crate) fn connect(&mut self, offer: Offer) -> Connected {
        let (sender, items) = mpsc::channel(STREAM_BOUND);
        let starved = Arc::new(AtomicBool::new(false));
        self.streams.next += 1;
        let id = self.streams.next;
        let warm = LruCache::new(std::num::NonZeroUsize::new(WARM_INSTANCES).unwrap_or(std::num::NonZeroUsize::MIN));
        let stream =
            WorkerStream { items: sender, starved: Arc::clone(&starved), offer, turns: 0, activities: 0, warm };
        self.streams.streams.insert(id, stream);
        // What no worker could run so far, this one may.
        for key in self.stalled.keys() {
            self.queue.push_turn(*key);
        }
        tracing::info!(stream = id, ?offer, "a worker is connected");
        Connected { id, items, starved }
    }

    /// Takes back what a worker had in hand when its stream ended.
    pub(crate) fn disconnect(&mut self, id: StreamId) {
        if self.streams.streams.remove(&id).is_none() {
            return;
        }
        for declined in self.stalled.values_mut() {
            declined.retain(|stream| *stream != id);
        }
        let (turns, activities) = self.leases.take_back(id);
        tracing::info!(
            stream = id,
            turns = turns.len(),
            activities = activities.len(),
            "a worker is gone; what it had in hand is handed out again"
        );
        for key in turns.into_iter().rev() {
            self.queue.return_turn(key);
        }
        for (sequence, row) in activities.into_iter().rev() {
            self.queue.return_activity(sequence, Some(row));
        }
        if self.streams.is_empty() {
            self.release_impatient();
        }
    }
}
