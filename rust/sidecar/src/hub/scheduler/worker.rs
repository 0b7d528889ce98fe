//! One worker, as the scheduler knows it: what it has, what it has in hand, and whether it keeps up.

use std::collections::BTreeMap;

use lru::LruCache;

use super::needs::{Need, Offer, StreamId};
use crate::hub::limits::Limits;
use crate::store::Key;
use crate::time::Nanos;

/// Of how many instances it is remembered which history a worker holds.
const WARM_INSTANCES: usize = 100_000;

/// How much of an execution's history a worker holds.
#[derive(Debug, PartialEq)]
pub(in crate::hub) struct Warm {
    pub(in crate::hub) execution_id: Option<String>,
    pub(in crate::hub) count: u32,
    pub(in crate::hub) bytes: usize,
}

pub(super) struct Worker {
    offer: Offer,
    /// When each turn that it has in hand was sent, by serial number: the first is the oldest.
    sent: BTreeMap<u64, Nanos>,
    pub(super) activities: usize,
    /// What it has in hand, in bytes.
    pub(super) bytes: usize,
    /// How many turns it may have in hand.
    window: usize,
    /// Turns that it had for too long and that others have now, since it last answered one.
    lost: usize,
    /// What it remembers of instances; grows as it is used.
    warm: LruCache<Key, Warm>,
}

impl Worker {
    pub(super) fn new(offer: Offer, limits: &Limits) -> Self {
        Self {
            offer,
            sent: BTreeMap::new(),
            activities: 0,
            bytes: 0,
            window: limits.first_turns,
            lost: 0,
            warm: LruCache::unbounded(),
        }
    }

    pub(super) fn takes_turn(&self, id: StreamId, need: &Need) -> bool {
        !need.not_by.contains(&id) && self.offer.orchestrators.as_ref().is_none_or(|names| names.serve(need))
    }

    pub(super) fn takes_activity(&self, id: StreamId, need: &Need) -> bool {
        !need.not_by.contains(&id) && self.offer.activities.as_ref().is_none_or(|names| names.serve(need))
    }

    /// One that says what it has keeps a turn that it can not do, without an answer.
    pub(super) fn keeps_what_it_can_not_do(&self) -> bool {
        self.offer.orchestrators.is_some()
    }

    pub(super) fn has_room_for_turn(&self, limits: &Limits) -> bool {
        self.turns() + self.lost < within(self.window, self.offer.max_turns) && self.bytes < limits.bytes_per_stream
    }

    pub(super) fn has_room_for_activity(&self, limits: &Limits) -> bool {
        self.activities < within(limits.activities_per_stream, self.offer.max_activities)
            && self.bytes < limits.bytes_per_stream
    }

    pub(super) fn turns(&self) -> usize {
        self.sent.len()
    }

    /// How busy it is.
    pub(super) fn load(&self) -> usize {
        self.sent.len() + self.activities
    }

    /// It lets turns lie.
    pub(super) fn is_behind(&self, now: Nanos, limits: &Limits) -> bool {
        let too_old = |sent: &Nanos| now - sent >= nanos(limits.behind_after);
        self.lost > 0 || self.sent.values().next().is_some_and(too_old)
    }

    pub(super) fn send(&mut self, serial: u64, now: Nanos, bytes: usize) {
        self.sent.insert(serial, now);
        self.bytes += bytes;
    }

    pub(super) fn answer(&mut self, serial: u64, bytes: usize, limits: &Limits) {
        self.release(serial, bytes);
        self.answers(limits);
    }

    /// It answers turns, be it too late.
    pub(super) fn answers(&mut self, limits: &Limits) {
        self.lost = 0;
        self.window = (self.window + 1).min(limits.turns_per_stream);
    }

    /// The turn is no longer its business, though it may still be at work on it.
    pub(super) fn lose(&mut self, serial: u64, bytes: usize) {
        self.release(serial, bytes);
        self.lost += 1;
    }

    pub(super) fn release(&mut self, serial: u64, bytes: usize) {
        if self.sent.remove(&serial).is_some() {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    pub(super) fn holds(&self, key: Key) -> bool {
        self.warm.contains(&key)
    }

    pub(super) fn warm(&mut self, key: Key) -> Option<&Warm> {
        self.warm.get(&key)
    }

    pub(super) fn remember(&mut self, key: Key, warm: Warm) {
        if self.offer.stateful_history {
            self.warm.put(key, warm);
            if self.warm.len() > WARM_INSTANCES {
                self.warm.pop_lru();
            }
        }
    }

    pub(super) fn forget(&mut self, key: Key) {
        self.warm.pop(&key);
    }
}

fn within(limit: usize, own: usize) -> usize {
    if own == 0 { limit } else { limit.min(own) }
}

pub(in crate::hub) fn nanos(duration: std::time::Duration) -> Nanos {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
