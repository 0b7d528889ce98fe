//! Events are read some at a time, before they are applied.

use durabletask_core::wire::{Corrupt, Event, Span};
use pyo3::prelude::*;

/// How many events are read ahead, so that what was read is still in the processor's cache when it is applied.
pub(super) const FEW_EVENTS: usize = 128;
/// How many events after the one that is applied are read already, at least.
pub(super) const SEEN_AHEAD: usize = 32;
/// How many, where reading lets other threads have the interpreter: enough to make up for asking for it again.
pub(super) const MANY_EVENTS: usize = 4096;

/// Reads the headers of the next events, at most `at_once`. Those before one that can not be read are read.
pub(super) fn read_ahead<'e>(
    py: Python<'_>,
    many: bool,
    events: &mut (impl Iterator<Item = Result<Span<'e>, Corrupt>> + Send),
    at_once: usize,
    ahead: &mut Vec<Event<'e>>,
) -> Result<(), Corrupt> {
    let mut read = || {
        for raw in events.by_ref().take(at_once) {
            ahead.push(Event::decode(raw?)?);
        }
        Ok(())
    };
    if many { py.detach(read) } else { read() }
}
