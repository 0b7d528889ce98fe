//! Events that are applied later than they come in the history.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::room::Roomy;

/// An event that is applied later than it comes in the history.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Its place in the history, from 0.
    pub(crate) index: usize,
    pub(crate) bytes: Box<[u8]>,
}

/// Such events in order. What they take is counted as they come and go, since the question is asked after every turn, and
/// a suspended execution may keep a hundred thousand of them.
#[derive(Debug, Default)]
pub(crate) struct WaitingEvents {
    queue: VecDeque<Waiting>,
    bytes: usize,
}

impl WaitingEvents {
    pub(crate) fn push_back(&mut self, event: Waiting) {
        self.bytes += event.bytes.len();
        self.queue.push_back(event);
    }

    pub(crate) fn pop_front(&mut self) -> Option<Waiting> {
        let event = self.queue.pop_front()?;
        self.bytes -= event.bytes.len();
        Some(event)
    }

    /// Moves all events of `others` behind these.
    pub(crate) fn append(&mut self, others: &mut Self) {
        self.bytes += std::mem::take(&mut others.bytes);
        self.queue.append(&mut others.queue);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Roomy for WaitingEvents {
    fn shrink(&mut self) {
        self.queue.shrink();
    }

    fn bytes(&self) -> usize {
        self.queue.bytes() + self.bytes
    }
}

/// Completions that arrived before the code made the call that they complete, by the call's id.
#[derive(Debug, Default)]
pub(crate) struct EarlyCompletions {
    by_id: FxHashMap<i32, Vec<Waiting>>,
    bytes: usize,
}

impl EarlyCompletions {
    pub(crate) fn push(&mut self, id: i32, event: Waiting) {
        self.bytes += bytes_of(&event);
        self.by_id.entry(id).or_default().push(event);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Takes all that arrived for a call, in order.
    pub(crate) fn take(&mut self, id: i32) -> Vec<Waiting> {
        let events = self.by_id.remove(&id).unwrap_or_default();
        self.bytes -= events.iter().map(bytes_of).sum::<usize>();
        events
    }
}

fn bytes_of(event: &Waiting) -> usize {
    size_of::<Waiting>() + event.bytes.len()
}

impl Roomy for EarlyCompletions {
    fn shrink(&mut self) {
        self.by_id.shrink();
    }

    fn bytes(&self) -> usize {
        self.by_id.bytes() + self.bytes
    }
}
