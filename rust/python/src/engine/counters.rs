//! What an executor has done, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use durabletask_core::wire::Request;

/// Counted at the end of each turn, whatever became of it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    turns: AtomicU64,
    new_events: AtomicU64,
    replayed_events: AtomicU64,
    warm_events: AtomicU64,
}

impl Counters {
    /// Counts a turn. `warm`: how many of the request's past events an orchestrator had behind it that went on living;
    /// `None`: there was none, and all were replayed.
    pub(super) fn count(&self, request: &Request<'_>, warm: Option<usize>) {
        add(&self.turns, 1);
        add(&self.new_events, request.new_count);
        match warm {
            Some(seen) => {
                let left_out = request.cached_count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
                add(&self.warm_events, left_out + request.known_count + seen);
            }
            None => add(&self.replayed_events, request.past_count),
        }
    }

    pub(super) fn all(&self) -> [(&'static str, u64); 4] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("turns", read(&self.turns)),
            ("new_events", read(&self.new_events)),
            ("replayed_events", read(&self.replayed_events)),
            ("warm_events", read(&self.warm_events)),
        ]
    }
}

fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(u64::try_from(number).unwrap_or(u64::MAX), Ordering::Relaxed);
}
