//! `executionSuspended` and `executionResumed`: between them, events wait.

use super::{event_sent, orchestrator_started};
use crate::error::Error;
use crate::host::Host;
use crate::orchestration::{Orchestration, Step};
use crate::wire::{Event, EventType};

/// Keeps the event for later, or passes over it, unless it is one that a suspended execution must see. Suspending what is
/// suspended changes nothing, so that one resume is always enough. Confirmations only strike off what was asked for before
/// the suspension; if they had to wait, those actions would be sent again in every turn of the suspended execution, and
/// done again.
pub(super) fn holds_back<H: Host>(this: &mut Orchestration<H>, event: &Event<'_>) -> Result<bool, Error> {
    match event.event_type {
        EventType::ExecutionResumed | EventType::ExecutionTerminated | EventType::ExecutionSuspended => {
            return Ok(false);
        }
        // Workers that let confirmations wait send the actions again in every turn, so that each is confirmed many times.
        EventType::TaskScheduled | EventType::TimerCreated | EventType::SubOrchestrationInstanceCreated => {
            return Ok(!this.confirmed_while_suspended.insert((event.id, event.event_type)));
        }
        EventType::EventSent if !event_sent::waits(this, event)? => return Ok(false),
        // What the turn reported that resumes stands in its first event, and is needed for all that waited before it.
        EventType::OrchestratorStarted => orchestrator_started::collect_version(this, event)?,
        _ => {}
    }
    let waiting = this.waiting(event);
    this.held.push_back(waiting);
    Ok(true)
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
