//! `executionSuspended` and `executionResumed`: between them, events wait.

use crate::orchestration::{Host, Orchestration, Step};
use crate::wire::{Event, EventType};

/// Keeps the event for later, unless it is one that a suspended execution must see. Suspending what is suspended changes
/// nothing, so that one resume is always enough.
pub(super) fn holds_back<H: Host>(this: &mut Orchestration<H>, event: &Event<'_>) -> bool {
    match event.event_type {
        EventType::ExecutionResumed | EventType::ExecutionTerminated | EventType::ExecutionSuspended => false,
        _ => {
            this.held.push_back(event.raw.bytes.into());
            true
        }
    }
}

pub(super) fn suspend<H: Host>(this: &mut Orchestration<H>) -> Step<'static, H> {
    this.suspended = true;
    Step::Continue
}

pub(super) fn resume<H: Host>(this: &mut Orchestration<H>) -> Step<'static, H> {
    this.suspended = false;
    this.released.append(&mut this.held);
    Step::Continue
}
