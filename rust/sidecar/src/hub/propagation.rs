//! Histories that instances hand on to the activities and the instances that they call.

use bytes::Bytes;
use durabletask_proto::HistoryPropagationScope;
use durabletask_proto::PropagatedHistoryChunk;
use durabletask_proto::prost::Message;
use lru::LruCache;

use super::{Hub, Result};
use crate::machine::{Entry, Shown};
use crate::store::{Chunk, Handed, Holder, Key, Part, Store, StoreError};
use crate::wire::{Frames, encode_propagated, encode_raw_events, put_past_event};

/// How many bytes of histories that are shown are kept in memory: mostly many calls of one turn are shown the same one.
const KEPT_CHUNKS: usize = 32 * 1024 * 1024;

/// Histories that are shown, as far as memory goes.
pub(super) struct Chunks {
    kept: LruCache<i64, Chunk>,
    bytes: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { kept: LruCache::unbounded(), bytes: 0 }
    }
}

impl Chunks {
    fn load(&mut self, store: &Store, key: i64) -> std::result::Result<Option<Chunk>, StoreError> {
        if let Some(chunk) = self.kept.get(&key) {
            return Ok(Some(chunk.clone()));
        }
        let Some(chunk) = store.chunk(key)? else {
            return Ok(None);
        };
        self.bytes += chunk.events.len();
        self.kept.put(key, chunk.clone());
        while self.bytes > KEPT_CHUNKS
            && let Some((_, oldest)) = self.kept.pop_lru()
        {
            self.bytes -= oldest.events.len();
        }
        Ok(Some(chunk))
    }
}

/// A turn's events, encoded, and where each of them ends.
#[derive(Default)]
pub(super) struct Encoded {
    pub(super) frames: Vec<u8>,
    ends: Vec<usize>,
}

impl Encoded {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut encoded = Self::default();
        for entry in entries {
            match entry {
                Entry::Received(event) => put_past_event(&mut encoded.frames, &event.bytes),
                Entry::Made(event) => put_past_event(&mut encoded.frames, &event.encode_to_vec()),
            }
            encoded.ends.push(encoded.frames.len());
        }
        encoded
    }
}

/// What an instance has to show in one turn.
pub(super) struct OwnHistory {
    pub(super) chunk: i64,
    /// How long its history was before the turn, and from there where each event ends.
    before: usize,
    ends: Vec<usize>,
    /// What it is shown itself.
    received: Vec<Part>,
}

impl OwnHistory {
    /// What a call is handed.
    pub(super) fn hand(&self, shown: Shown) -> Handed {
        let end = shown.entries.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        let own = Part { chunk: self.chunk, length: self.before + end };
        let received: &[Part] = if shown.scope == HistoryPropagationScope::Lineage { &self.received } else { &[] };
        Handed { scope: shown.scope.into(), parts: received.iter().copied().chain([own]).collect() }
    }
}

impl Hub {
    /// Keeps an instance's history as it is after a turn, for those who are shown it.
    pub(super) fn keep_own_history(&mut self, key: Key, turn: Encoded) -> Result<Option<OwnHistory>> {
        let Some(frames) = self.cache.history(&self.store, key)?.cloned() else {
            return Ok(None);
        };
        let before = frames.len().saturating_sub(turn.frames.len());
        let Some(chunk) = self.add_chunk(key, &frames)? else {
            return Ok(None);
        };
        let received = self.store.parts(Holder::Instance(key))?;
        Ok(Some(OwnHistory { chunk, before, ends: turn.ends, received }))
    }

    /// An execution continues as new: who was shown histories is shown this one too, as far as its scope goes.
    pub(super) fn keep_parting_history(&mut self, key: Key, parting: &[Entry]) -> Result<()> {
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(());
        };
        let Some(scope) = live.row.shown else {
            return Ok(());
        };
        let Some(mut frames) = self.cache.history(&self.store, key)?.cloned() else {
            return Ok(());
        };
        frames.append(&Encoded::of(parting).frames);
        let Some(chunk) = self.add_chunk(key, &frames)? else {
            return Ok(());
        };
        let mut parts = self.store.parts(Holder::Instance(key))?;
        if scope != i32::from(HistoryPropagationScope::Lineage) {
            parts.clear();
        }
        parts.push(Part { chunk, length: frames.len() });
        Ok(self.store.show(Holder::Instance(key), &parts)?)
    }

    fn add_chunk(&mut self, key: Key, frames: &Frames) -> Result<Option<i64>> {
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(None);
        };
        let instance = &live.row.instance;
        let Some(events) = encode_raw_events(frames) else {
            tracing::error!(instance_id = ?instance.id, "the history in the database is damaged and is shown to nobody");
            return Ok(None);
        };
        let head = PropagatedHistoryChunk {
            app_id: self.app_id.clone(),
            instance_id: instance.id.clone(),
            workflow_name: instance.start.name.clone(),
            ..PropagatedHistoryChunk::default()
        };
        Ok(Some(self.store.add_chunk(&Chunk { head: head.encode_to_vec().into(), events })?))
    }

    /// What of others' histories goes with somebody's work item.
    pub(super) fn shown_to(&mut self, holder: Holder, scope: Option<i32>) -> Result<Vec<Bytes>> {
        let Some(scope) = scope else {
            return Ok(Vec::new());
        };
        let mut histories = Vec::new();
        for Part { chunk, length } in self.store.parts(holder)? {
            if let Some(Chunk { head, events }) = self.chunks.load(&self.store, chunk)? {
                histories.push((events.slice(..length.min(events.len())), head));
            }
        }
        Ok(encode_propagated(scope, &histories))
    }
}
