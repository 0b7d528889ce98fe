//! Executions that stay alive between turns.

use std::time::{Duration, Instant};

use durabletask_core::cache::{Limits, ReplayCache, Ticket};
use durabletask_core::fingerprint::Fingerprint;
use durabletask_core::wire::{Corrupt, Request, Span};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::turn::Execution;
use crate::context::RuntimeContext;
use crate::gil::{Borrowed, Guarded};

/// What an execution is taken to cost beside what can be counted: context and frame.
const EXECUTION_BYTES: usize = 4096;

type Entry = (Execution, Fingerprint);

/// The cache and its clock. Executions are dropped when the cache is free: that may run the user's `finally`.
///
/// The interpreter's lock guards the cache, since Python's collector of cycles looks at it twice and must find the same.
pub(super) struct LiveExecutions {
    cache: Guarded<ReplayCache<Entry>>,
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
        Self { cache: Guarded::new(ReplayCache::new(limits)), start: Instant::now() }
    }

    fn lock(&self, py: Python<'_>) -> Borrowed<'_, ReplayCache<Entry>> {
        self.cache.lock(py)
    }

    fn now(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Visits what it holds, for Python's collector of cycles.
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(cache) = self.cache.peek(visit) else { return Ok(()) };
        for (execution, _) in cache.executions() {
            execution.visit(visit)?;
        }
        Ok(())
    }

    /// Reads a request, and finds the execution that it continues. May be called without the interpreter.
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
            Python::attach(|py| {
                let counters = &mut self.lock(py).counters;
                match &execution {
                    Some(_) => counters.hits += 1,
                    None => counters.misses += 1,
                }
            });
        }
        Ok(Found { request, turn, execution })
    }

    fn begin(&self, instance_id: &str) -> (TurnInCache<'_>, Option<Entry>) {
        let (ticket, entry) = Python::attach(|py| self.lock(py).begin(instance_id));
        (TurnInCache { live: self, instance_id: instance_id.to_owned(), ticket: Some(ticket) }, entry)
    }

    /// The fingerprint of a request that was replayed from its beginning.
    pub(super) fn fingerprint(request: &Request<'_>) -> Result<Option<Fingerprint>, Corrupt> {
        Fingerprint::of(request)
    }

    /// The context of an instance that is alive and not in a turn.
    pub(super) fn context<'py>(&self, py: Python<'py>, instance_id: &str) -> Option<Bound<'py, RuntimeContext>> {
        self.lock(py).peek(instance_id).map(|(execution, _)| execution.context.bind(py).clone())
    }

    pub(super) fn expire(&self, py: Python<'_>) -> Vec<Entry> {
        let now = self.now();
        self.lock(py).expire(now)
    }

    pub(super) fn clear(&self, py: Python<'_>) -> Vec<Entry> {
        self.lock(py).clear()
    }

    pub(super) fn counters(&self, py: Python<'_>) -> [(&'static str, u64); 5] {
        let cache = self.lock(py);
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
            // Without an interpreter, there is nobody to keep it for.
            Python::try_attach(|py| {
                let out = self.live.lock(py).end(&self.instance_id, ticket, kept, now);
                drop(out);
            });
        }
    }
}

impl Drop for TurnInCache<'_> {
    fn drop(&mut self) {
        self.finish(None);
    }
}
