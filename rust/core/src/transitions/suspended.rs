//! `executionSuspended` and `executionResumed`: between them, events wait.

use crate::orchestration::{Host, Orchestration, Step};
use crate::wire::{Event, EventType};

/// Keeps the event for later, unless it is one that a suspended execution must see. Suspending what is suspended changes
/// nothing, so that one resume is always enough. Confirmations only strike off what was asked for before the suspension;
/// if they had to wait, those actions would be sent again in every turn of the suspended execution, and done again.
pub(super) fn holds_back<H: Host>(this: &mut Orchestration<H>, event: &Event<'_>) -> bool {
    match event.event_type {
        EventType::ExecutionResumed
        | EventType::ExecutionTerminated
        | EventType::ExecutionSuspended
        | EventType::TaskScheduled
        | EventType::TimerCreated
        | EventType::SubOrchestrationInstanceCreated => false,
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
