//! Executions kept alive between turns: which, how many, how long.
//!
//! The cache holds whatever the host calls an execution and never looks inside. Time is handed in (microseconds from any
//! origin). What is put out is handed back, for the host to drop when it holds no lock: that may run user code.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// What bounds a cache.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Executions, at most.
    pub max_instances: usize,
    /// Estimated bytes, at most.
    pub max_bytes: usize,
    /// How long an execution may go unused, in microseconds.
    pub idle_timeout: i64,
}

/// What a cache has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Turns that went on with a live execution.
    pub hits: u64,
    /// Turns that had a past and had to replay it.
    pub misses: u64,
    /// Executions put out by a limit.
    pub evictions: u64,
}

/// Permission to put an execution into the cache, given out when its turn begins. A later turn of the same instance takes
/// it away: whoever was overtaken has lived through a history that may not be the instance's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Slot<E> {
    execution: E,
    bytes: usize,
    last_used: i64,
    order: u64,
}

/// Live executions by instance id, least recently used first to go.
#[derive(Debug)]
pub struct ReplayCache<E> {
    limits: Limits,
    slots: FxHashMap<Arc<str>, Slot<E>>,
    /// Instance ids in order of use.
    order: BTreeMap<u64, Arc<str>>,
    /// The latest turn of each instance that has one under way.
    turns: FxHashMap<Arc<str>, Ticket>,
    bytes: usize,
    clock: u64,
    /// What the cache has done so far; hits and misses are counted by the host, who knows them.
    pub counters: Counters,
}

impl<E> ReplayCache<E> {
    /// An empty cache.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: FxHashMap::default(),
            order: BTreeMap::new(),
            turns: FxHashMap::default(),
            bytes: 0,
            clock: 0,
            counters: Counters::default(),
        }
    }

    /// How many executions it holds, and their estimated bytes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.slots.len(), self.bytes)
    }

    /// All executions that it holds, in no order.
    pub fn executions(&self) -> impl Iterator<Item = &E> {
        self.slots.values().map(|slot| &slot.execution)
    }

    /// Begins a turn of an instance: its execution, if there is one, leaves the cache for the time of the turn.
    pub fn begin(&mut self, instance_id: &str) -> (Ticket, Option<E>) {
        self.clock += 1;
        let ticket = Ticket(self.clock);
        match self.turns.get_mut(instance_id) {
            Some(turn) => *turn = ticket,
            None => {
                self.turns.insert(instance_id.into(), ticket);
            }
        }
        (ticket, self.remove(instance_id))
    }

    /// Ends a turn, and keeps its execution if there is one and the turn was not overtaken. Returns what has to go.
    #[must_use = "executions are dropped outside the cache's lock"]
    pub fn end(&mut self, instance_id: &str, ticket: Ticket, kept: Option<(E, usize)>, now: i64) -> Vec<E> {
        let mut out = Vec::new();
        if self.turns.get(instance_id) != Some(&ticket) {
            out.extend(kept.map(|(execution, _)| execution));
            return out;
        }
        self.turns.remove(instance_id);
        match kept {
            // It alone is too much: the others need not go as well.
            Some((execution, bytes)) if bytes > self.limits.max_bytes => {
                self.counters.evictions += 1;
                out.push(execution);
            }
            Some((execution, bytes)) => {
                self.clock += 1;
                let id: Arc<str> = instance_id.into();
                self.order.insert(self.clock, Arc::clone(&id));
                self.bytes += bytes;
                self.slots.insert(id, Slot { execution, bytes, last_used: now, order: self.clock });
            }
            None => {}
        }
        self.put_out(now, &mut out);
        out
    }

    /// Puts out what has been idle for too long.
    #[must_use = "executions are dropped outside the cache's lock"]
    pub fn expire(&mut self, now: i64) -> Vec<E> {
        let mut out = Vec::new();
        self.put_out(now, &mut out);
        out
    }

    /// The execution of an instance, where it is, and without counting as a use; `None` during a turn, too.
    #[must_use]
    pub fn peek(&self, instance_id: &str) -> Option<&E> {
        self.slots.get(instance_id).map(|slot| &slot.execution)
    }

    /// Empties the cache; turns that are under way keep nothing either.
    #[must_use = "executions are dropped outside the cache's lock"]
    pub fn clear(&mut self) -> Vec<E> {
        self.order.clear();
        self.turns.clear();
        self.bytes = 0;
        self.slots.drain().map(|(_, slot)| slot.execution).collect()
    }

    fn put_out(&mut self, now: i64, out: &mut Vec<E>) {
        while let Some((_, id)) = self.order.first_key_value() {
            let id = Arc::clone(id);
            let idle = self.slots.get(&id).is_some_and(|slot| now - slot.last_used > self.limits.idle_timeout);
            if !idle && self.slots.len() <= self.limits.max_instances && self.bytes <= self.limits.max_bytes {
                return;
            }
            out.extend(self.remove(&id));
            self.counters.evictions += 1;
        }
    }

    fn remove(&mut self, instance_id: &str) -> Option<E> {
        let slot = self.slots.remove(instance_id)?;
        self.order.remove(&slot.order);
        self.bytes -= slot.bytes;
        Some(slot.execution)
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, ReplayCache};

    fn cache(max_instances: usize, max_bytes: usize) -> ReplayCache<&'static str> {
        ReplayCache::new(Limits { max_instances, max_bytes, idle_timeout: 100 })
    }

    /// Plays a turn that keeps `execution`, and returns what had to go.
    fn turn(cache: &mut ReplayCache<&'static str>, id: &str, execution: &'static str, now: i64) -> Vec<&'static str> {
        let (ticket, _) = cache.begin(id);
        cache.end(id, ticket, Some((execution, 10)), now)
    }

    #[test]
    fn a_kept_execution_is_handed_to_the_next_turn_and_only_once() {
        let mut cache = cache(10, 1000);
        assert!(turn(&mut cache, "a", "A", 0).is_empty());
        let (_, found) = cache.begin("a");
        assert_eq!(found, Some("A"));
        let (_, found) = cache.begin("a");
        assert_eq!(found, None, "the turn under way has it");
    }

    #[test]
    fn a_turn_that_was_overtaken_keeps_nothing() {
        let mut cache = cache(10, 1000);
        let (first, _) = cache.begin("a");
        let (second, _) = cache.begin("a");
        assert_eq!(cache.end("a", first, Some(("overtaken", 10)), 0), ["overtaken"]);
        assert!(cache.end("a", second, Some(("latest", 10)), 0).is_empty());
        assert_eq!(cache.begin("a").1, Some("latest"));
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = cache(2, 1000);
        for (id, execution) in [("a", "A"), ("b", "B")] {
            assert!(turn(&mut cache, id, execution, 0).is_empty());
        }
        assert!(turn(&mut cache, "a", "A2", 1).is_empty());
        assert_eq!(turn(&mut cache, "c", "C", 2), ["B"]);
        assert_eq!(cache.counters.evictions, 1);
        assert_eq!(cache.size(), (2, 20));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut cache = cache(10, 25);
        for (id, execution) in [("a", "A"), ("b", "B")] {
            assert!(turn(&mut cache, id, execution, 0).is_empty());
        }
        assert_eq!(turn(&mut cache, "c", "C", 1), ["A"]);
    }

    #[test]
    fn what_is_too_large_by_itself_goes_alone() {
        let mut cache = cache(10, 25);
        assert!(turn(&mut cache, "a", "A", 0).is_empty());
        let (ticket, _) = cache.begin("b");
        assert_eq!(cache.end("b", ticket, Some(("B", 26)), 1), ["B"]);
        assert_eq!((cache.size(), cache.counters.evictions), ((1, 10), 1));
    }

    #[test]
    fn what_is_idle_for_too_long_goes() {
        let mut cache = cache(10, 1000);
        assert!(turn(&mut cache, "a", "A", 0).is_empty());
        assert!(turn(&mut cache, "b", "B", 50).is_empty());
        assert!(cache.expire(100).is_empty());
        assert_eq!(cache.expire(101), ["A"]);
        assert_eq!(cache.clear(), ["B"]);
        assert_eq!(cache.size(), (0, 0));
    }

    #[test]
    fn a_turn_that_is_under_way_when_the_cache_is_emptied_keeps_nothing() {
        let mut cache = cache(10, 1000);
        let (ticket, _) = cache.begin("a");
        assert!(cache.clear().is_empty());
        assert_eq!(cache.end("a", ticket, Some(("A", 10)), 0), ["A"]);
        assert_eq!(cache.size(), (0, 0));
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let mut cache = cache(0, 1000);
        assert_eq!(turn(&mut cache, "a", "A", 0), ["A"]);
    }
}
