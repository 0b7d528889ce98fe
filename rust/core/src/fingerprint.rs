//! How an execution that stays alive between turns recognizes its history in the next request.
//!
//! The next turn's past is the last turn's past, byte for byte, then the events that were new then, then what the sidecar
//! has added since. The first part can be megabytes, so it is recognized by its length and a running hash; the second is
//! kept for one turn and compared, because the sidecar may have written a version or patches into its
//! `orchestratorStarted`.
//!
//! Two histories of one length with one hash of 64 bits would be taken for each other: the execution would go on as if the
//! other had been its own, and ask for what does not follow from the history that the sidecar has. By chance that is once in
//! 2^64 turns. Whoever chooses a payload can not bring it about: a history is only compared with that of the same instance,
//! which has the same beginning unless the sidecar has put another in its place (a rerun, a purge and a new start, a turn
//! that another worker took), and then execution ids and timestamps differ, which are the sidecar's and not known to the
//! payload's author beforehand. A sidecar that wants to mislead its worker needs no collision for it.

use std::fmt;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::wire::{Corrupt, Event, EventType, Known, Reader, Request, Span, put};

/// The history that an execution has been driven through.
#[derive(Clone)]
pub struct Fingerprint {
    /// Events of the past, when the last turn began.
    past_count: usize,
    /// Their length on the wire.
    past_bytes: usize,
    hash: Xxh3,
    digest: u64,
    /// The events that were new in the last turn, as repeated fields.
    last: Vec<u8>,
    last_count: usize,
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({} events, {} bytes, {} new)", self.past_count, self.past_bytes, self.last_count)
    }
}

const PAST: u32 = 3;

impl Fingerprint {
    /// Of a whole request that was replayed cold; `None` if its history is laid out in a way that can not be recognized.
    pub fn of(request: &Request<'_>) -> Result<Option<Self>, Corrupt> {
        let empty =
            Self { past_count: 0, past_bytes: 0, hash: Xxh3::new(), digest: 0, last: Vec::new(), last_count: 0 };
        empty.after(request)
    }

    /// The fingerprint after one more turn, whose request [`continues`](Self::continues) the history.
    pub fn after(mut self, request: &Request<'_>) -> Result<Option<Self>, Corrupt> {
        let Some(added) = request.past_bytes() else { return Ok(None) };
        self.hash.update(added);
        self.past_bytes += added.len();
        self.past_count += request.past_count;
        self.digest = self.hash.digest();
        self.last.clear();
        for event in request.new_events() {
            put(&mut self.last, PAST, event?.bytes);
        }
        self.last.shrink_to_fit();
        self.last_count = request.new_count;
        Ok(Some(self))
    }

    /// Whether the bytes of a request, from its first past event on, begin with this history.
    #[must_use]
    pub fn begins(&self, history: &[u8]) -> Option<Known> {
        let past = history.get(..self.past_bytes)?;
        (xxh3_64(past) == self.digest).then_some(Known { bytes: self.past_bytes, count: self.past_count })
    }

    /// Whether a request goes on where the last turn ended: its known past is ours, whether it was sent or left out, and
    /// what was new in the last turn comes next. Returns how many of its past events the execution has seen.
    pub fn continues(&self, request: &Request<'_>) -> Result<Option<usize>, Corrupt> {
        let known = match request.cached_count {
            Some(count) => usize::try_from(count).ok(),
            None => Some(request.known_count),
        };
        if known != Some(self.past_count) || request.past_count < self.last_count {
            return Ok(None);
        }
        let mut last = Reader::new(Span::whole(&self.last));
        for event in request.past_events().take(self.last_count) {
            let Some((number, before)) = last.next()? else { return Ok(None) };
            if !same_event(before.span(number)?, event?)? {
                return Ok(None);
            }
        }
        Ok(Some(self.last_count))
    }

    /// What keeping this costs.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.last.capacity()
    }
}

/// Byte for byte, except for the version and patches in the turn's own beginning.
fn same_event(before: Span<'_>, now: Span<'_>) -> Result<bool, Corrupt> {
    if before.bytes == now.bytes {
        return Ok(true);
    }
    let (before, now) = (Event::decode(before)?, Event::decode(now)?);
    let starts = [&before, &now].iter().all(|event| event.event_type == EventType::OrchestratorStarted);
    Ok(starts && before.timestamp()? == now.timestamp()?)
}
