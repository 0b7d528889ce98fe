//! `timerFired`: a durable timer is due; the orchestrator goes on, a failed call is sent again, or a wait is over.

use crate::error::Error;
use crate::host::Host;
use crate::orchestration::{Orchestration, Pending, Proof, Step};
use crate::wire::{Event, TimerFired};

pub(super) fn apply<'a, H: Host>(this: &mut Orchestration<H>, event: &Event<'a>) -> Result<Step<'a, H>, Error> {
    let fired = TimerFired::decode(event.body())?;
    Ok(match this.completes(fired.timer_id, Proof::Timer(fired.fire_at()?), event, "timerFired") {
        Ok(Pending::Timer(task, _)) => Step::Complete(task, None),
        Ok(Pending::CallTimer(timer)) => this.end_call(fired.timer_id, &timer)?,
        Ok(Pending::EventTimer(timer)) => this.time_out(fired.timer_id, &timer),
        Ok(Pending::RetryTimer(mut retry)) => {
            if retry.policy.is_expired(retry.first_scheduled, this.now)
                && let Some(failure) = retry.last_failure.take()
            {
                this.give_up(&retry.call);
                return Ok(Step::GiveUp(retry.task, failure));
            }
            let id = this.next_id();
            this.schedule_retryable(id, retry);
            Step::Continue
        }
        // `completes` leaves these to what completes them.
        Ok(Pending::Activity(..) | Pending::SubOrchestration(_) | Pending::Retryable(_)) => Step::Continue,
        Err(ignored) => ignored,
    })
}
