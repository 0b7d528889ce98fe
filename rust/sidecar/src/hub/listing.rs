//! Listing, counting and choosing instances, step by step.

use durabletask_proto::OrchestrationState;
use durabletask_proto::prost::Message;

use super::scheduler::Need;
use super::{Hub, Result};
use crate::store::{Candidate, Filter, Key, Position};

/// How many instances are described in one step.
const DESCRIBED: usize = 200;
/// How large a page may become before it ends, in bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A page in the making.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) filter: Filter,
    pub(crate) payloads: bool,
    pub(crate) size: usize,
    /// Behind which instance it goes on.
    pub(crate) after: Position,
    /// Whether there may be more behind that one.
    pub(crate) more: bool,
    pub(crate) states: Vec<OrchestrationState>,
    pub(crate) bytes: usize,
}

impl Listing {
    pub(crate) fn is_done(&self) -> bool {
        !self.more || self.states.len() >= self.size || self.bytes >= PAGE_BYTES
    }
}

/// How many instances have each status; and what waits for workers that are not there.
pub(crate) struct Counts {
    pub(crate) statuses: Vec<(i32, u64)>,
    pub(crate) orchestrations: Vec<(Need, usize)>,
    pub(crate) activities: Vec<(Need, usize)>,
}

impl Hub {
    /// Adds some of those that fit to a page.
    pub(crate) fn list_step(&mut self, mut listing: Listing) -> Result<Listing> {
        let (candidates, more) = self.store.candidates(&listing.filter, listing.after)?;
        listing.more = more;
        let mut described = 0;
        let mut candidates = candidates.into_iter().peekable();
        while let Some(candidate) = candidates.next() {
            if listing.filter.fits(&candidate)
                && let Some(row) = self.store.instance(candidate.key)?
            {
                let state = self.describe(row, listing.payloads)?;
                listing.bytes += state.encoded_len();
                listing.states.push(state);
                described += 1;
            }
            listing.after = candidate.position();
            let full = listing.states.len() >= listing.size || listing.bytes >= PAGE_BYTES;
            if full || described == DESCRIBED {
                // A page does not promise another one that would be empty, as far as that is known.
                listing.more |= candidates.any(|rest| listing.filter.fits(&rest));
                break;
            }
        }
        Ok(listing)
    }

    /// Some of those that fit, and where to go on if there may be more.
    pub(crate) fn choose_step(&mut self, filter: &Filter, after: Position) -> Result<(Vec<Key>, Option<Position>)> {
        let (candidates, more) = self.store.candidates(filter, after)?;
        let last = candidates.last().map(Candidate::position).filter(|_| more);
        let chosen = candidates.into_iter().filter(|candidate| filter.fits(candidate));
        Ok((chosen.map(|candidate| candidate.key).collect(), last))
    }

    pub(crate) fn count(&mut self) -> Result<Counts> {
        let statuses = self.store.count_by_status()?;
        let (orchestrations, activities) = self.unserved();
        Ok(Counts { statuses, orchestrations, activities })
    }

    pub(crate) fn key_of(&mut self, id: &str) -> Result<Key> {
        Ok(self.existing(id)?.key)
    }
}
