//! `eventSent`: this execution has sent an event to an instance, or one that was sent to it arrives.
//!
//! The embedded sidecar delivers what was sent as `eventRaised`. Those of durabletask-go and Dapr put the sender's own
//! `eventSent` into the history of the target; that it names this instance tells it from a confirmation.

use super::{confirmed, event_raised};
use crate::action::Action;
use crate::error::Error;
use crate::host::Host;
use crate::orchestration::{Orchestration, Step};
use crate::wire::{Event, EventSent};

/// Workers without `send_event` pass over this event, so there may be histories that have one and code that made no such
/// call. Where the code asks for nothing under the event's id there is nothing to contradict, and it has no effect.
pub(super) fn apply<'a, H: Host>(this: &mut Orchestration<H>, event: &Event<'a>) -> Result<Step<'a, H>, Error> {
    let sent = EventSent::decode(event.body())?;
    if is_delivery(this, event, &sent) {
        event_raised::arrives(this, sent.name.text()?, sent.input()?)
    } else if this.actions.get(event.id).is_some() {
        confirmed::event_sent(this, event, &sent)
    } else {
        Ok(Step::Continue)
    }
}

/// Whether a suspended execution has to keep the event for later.
pub(super) fn waits<H: Host>(this: &Orchestration<H>, event: &Event<'_>) -> Result<bool, Error> {
    Ok(is_delivery(this, event, &EventSent::decode(event.body())?))
}

/// The id of a delivered event is the sender's and says nothing here. Of what an instance sends to itself, the
/// confirmation comes first.
fn is_delivery<H: Host>(this: &Orchestration<H>, event: &Event<'_>, sent: &EventSent<'_>) -> bool {
    sent.instance_id.bytes == this.instance_id.as_bytes()
        && !matches!(this.actions.get(event.id), Some(Action::SendEvent(action))
            if action.instance_id.as_bytes() == sent.instance_id.bytes && action.name.as_bytes() == sent.name.bytes)
}
