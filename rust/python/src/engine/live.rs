//! Executions that stay alive between turns.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use durabletask_core::cache::{Limits, ReplayCache, Ticket};
use durabletask_core::fingerprint::Fingerprint;
use durabletask_core::wire::{Corrupt, Request, Span};

use super::turn::Execution;

/// What an execution is taken to cost beside what can be counted: context and frame.
const EXECUTION_BYTES: usize = 4096;

type Entry = (Execution, Fingerprint);

/// The cache, its lock and its clock. Executions are dropped when the lock is free: that may run the user's `finally`.
pub(super) struct LiveExecutions {
    cache: Mutex<ReplayCache<Entry>>,
    start: Instant,
}

/// What there is for a request.
pub(super) struct Found<'a, 'c> {
    /// The request, read from where the execution has not seen it.
    pub(super) request: Request<'a>,
    /// To be told how the turn ends.
    pub(super) turn: TurnInCache<'c>,
    /// The execution, its fingerprint, and how many of the request's past events it has seen.
    pub(super) execution: Option<(Execution, Fingerprint, usize)>,
}

/// A turn that the cache knows of. Dropped without an end, it keeps nothing.
pub(super) struct TurnInCache<'c> {
    live: &'c LiveExecutions,
    instance_id: String,
    ticket: Option<Ticket>,
}

impl LiveExecutions {
    pub(super) fn new((max_instances, max_bytes, idle_timeout): (usize, usize, f64)) -> Self {
        let idle_timeout = Duration::try_from_secs_f64(idle_timeout.max(0.0)).unwrap_or(Duration::MAX);
        let idle_timeout = i64::try_from(idle_timeout.as_micros()).unwrap_or(i64::MAX);
        let limits = Limits { max_instances, max_bytes, idle_timeout };
        Self { cache: Mutex::new(ReplayCache::new(limits)), start: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, ReplayCache<Entry>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Reads a request, and finds the execution that it continues.
    pub(super) fn find<'a>(&self, span: Span<'a>) -> Result<Found<'a, '_>, Corrupt> {
        let mut begun = None;
        let mut request = Request::decode_after(span, |instance_id, history| {
            let (_, entry) = begun.insert(self.begin(instance_id));
            entry.as_ref().and_then(|(_, fingerprint)| fingerprint.begins(history))
        })?;
        let (turn, entry) = begun.unwrap_or_else(|| self.begin(request.instance_id));
        let mut execution = None;
        if let Some((kept, fingerprint)) = entry {
            // A request that leaves events out is matched by their number, one that does not by the bytes.
            if let Some(seen) = fingerprint.continues(&request)? {
                execution = Some((kept, fingerprint, seen));
            } else if request.known_count > 0 {
                request = Request::decode(span)?;
            }
        }
        let has_past = request.known_count + request.past_count > 0 || request.cached_count.is_some();
        if has_past {
            let counters = &mut self.lock().counters;
            match &execution {
                Some(_) => counters.hits += 1,
                None => counters.misses += 1,
            }
        }
        Ok(Found { request, turn, execution })
    }

    fn begin(&self, instance_id: &str) -> (TurnInCache<'_>, Option<Entry>) {
        let (ticket, entry) = self.lock().begin(instance_id);
        (TurnInCache { live: self, instance_id: instance_id.to_owned(), ticket: Some(ticket) }, entry)
    }

    /// The fingerprint of a request that was replayed from its beginning.
    pub(super) fn fingerprint(request: &Request<'_>) -> Result<Option<Fingerprint>, Corrupt> {
        Fingerprint::of(request)
    }

    pub(super) fn expire(&self) -> Vec<Entry> {
        let now = self.now();
        self.lock().expire(now)
    }

    pub(super) fn clear(&self) -> Vec<Entry> {
        self.lock().clear()
    }

    pub(super) fn counters(&self) -> [(&'static str, u64); 5] {
        let cache = self.lock();
        let (instances, bytes) = cache.size();
        let size = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let counters = cache.counters;
        [
            ("hits", counters.hits),
            ("misses", counters.misses),
            ("evictions", counters.evictions),
            ("instances", size(instances)),
            ("bytes", size(bytes)),
        ]
    }
}

impl TurnInCache<'_> {
    /// Ends the turn, and keeps what can go on.
    pub(super) fn end(mut self, kept: Option<Entry>) {
        self.finish(kept);
    }

    fn finish(&mut self, kept: Option<Entry>) {
        if let Some(ticket) = self.ticket.take() {
            let kept = kept.map(|(execution, fingerprint)| {
                let bytes = EXECUTION_BYTES + fingerprint.bytes() + execution.bytes;
                ((execution, fingerprint), bytes)
            });
            let now = self.live.now();
            let out = self.live.lock().end(&self.instance_id, ticket, kept, now);
            drop(out);
        }
    }
}

impl Drop for TurnInCache<'_> {
    fn drop(&mut self) {
        self.finish(None);
    }
}
