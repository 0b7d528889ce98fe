//! Instances that are at work, so that a turn reads nothing that the one before it wrote. Least recently used go first.

use lru::LruCache;

use crate::store::{InstanceRow, Key, Store, StoreError};
use crate::wire::Frames;

/// What an entry costs beside its history, roughly.
const ENTRY_BYTES: usize = 1024;

/// An instance in memory.
pub(super) struct Live {
    pub(super) row: InstanceRow,
    /// How many events are committed.
    pub(super) count: u32,
    /// The committed history, once a turn needed it.
    frames: Option<Frames>,
}

impl Live {
    /// Notes what was appended to the history.
    pub(super) fn append(&mut self, count: u32, frames: &[u8]) {
        self.count += count;
        if let Some(known) = &mut self.frames {
            known.append(frames);
        }
    }

    /// A new execution begins with nothing.
    pub(super) fn reset_history(&mut self) {
        self.count = 0;
        self.frames = Some(Frames::default());
    }

    fn size(&self) -> usize {
        ENTRY_BYTES + self.frames.as_ref().map_or(0, Frames::len)
    }
}

pub(super) struct Cache {
    entries: LruCache<Key, (Live, usize)>,
    bytes: usize,
    max_bytes: usize,
    /// The finished instance that was looked at last: finished ones are not kept.
    finished: Option<Live>,
}

impl Cache {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0, max_bytes, finished: None }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.finished = None;
        self.bytes = 0;
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some((_, size)) = self.entries.pop(&key) {
            self.bytes -= size;
        }
    }

    /// The instance, from memory or from the database.
    pub(super) fn load(&mut self, store: &Store, key: Key) -> Result<Option<&mut Live>, StoreError> {
        if !self.entries.contains(&key) {
            let Some(row) = store.instance(key)? else {
                return Ok(None);
            };
            let live = Live { row, count: store.history_count(key)?, frames: None };
            if live.row.instance.is_finished() {
                return Ok(Some(self.finished.insert(live)));
            }
            self.bytes += live.size();
            let size = live.size();
            self.entries.put(key, (live, size));
        }
        Ok(self.entries.get_mut(&key).map(|(live, _)| live))
    }

    /// The instance's history, from memory or from the database.
    pub(super) fn history(&mut self, store: &Store, key: Key) -> Result<Option<&Frames>, StoreError> {
        let Some(live) = self.load(store, key)? else {
            return Ok(None);
        };
        if live.frames.is_none() {
            live.frames = Some(store.history(key)?);
        }
        Ok(live.frames.as_ref())
    }

    /// The instance's history if it is in memory; it is no use of the instance.
    pub(super) fn known_history(&self, key: Key) -> Option<&Frames> {
        self.entries.peek(&key)?.0.frames.as_ref()
    }

    /// Takes note of how an entry has grown, and makes room if need be.
    pub(super) fn settle(&mut self, key: Key) {
        if let Some((live, size)) = self.entries.peek_mut(&key) {
            self.bytes = self.bytes - *size + live.size();
            *size = live.size();
        }
        while self.bytes > self.max_bytes {
            let Some((_, (_, size))) = self.entries.pop_lru() else {
                break;
            };
            self.bytes -= size;
        }
    }
}
