//! `eventRaised`: an external event arrived, for whoever has waited for it longest.

use crate::error::Error;
use crate::host::Host;
use crate::orchestration::{Notice, Orchestration, Outcome, Step, fold_case};
use crate::wire::{Event, EventRaised, Span};

pub(super) fn apply<'a, H: Host>(this: &mut Orchestration<H>, event: &Event<'a>) -> Result<Step<'a, H>, Error> {
    let raised = EventRaised::decode(event.body())?;
    arrives(this, raised.name, raised.input)
}

/// An external event is there, whichever way it came.
#[inline]
pub(super) fn arrives<'a, H: Host>(
    this: &mut Orchestration<H>,
    name: &str,
    input: Option<Span<'a>>,
) -> Result<Step<'a, H>, Error> {
    let name = fold_case(name);
    // Whoever still waits in an execution that continues as new will not come to use the event; the next one may.
    let carried_over = matches!(this.outcome, Some(Outcome::ContinuedAsNew { save_events: true, .. }));
    if !carried_over && let Some(waiter) = this.waiters.next(&name) {
        return Ok(Step::Complete(waiter.task, input));
    }
    this.inbox.push(&name, input.map(Span::text).transpose()?.map(Box::from));
    Ok(Step::Ignored(Notice::Buffered))
}
