//! `taskCompleted` and `subOrchestrationInstanceCompleted`: a call has its result.

use crate::error::Error;
use crate::orchestration::{Host, Orchestration, Pending, Step};
use crate::wire::{Event, TaskCompleted};

#[inline]
pub(super) fn apply<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
    what: &'static str,
) -> Result<Step<'a, H>, Error> {
    let completed = TaskCompleted::decode(event.body())?;
    Ok(match this.completes(completed.task_id, event, what) {
        Ok(Pending::Plain(task)) => Step::Complete(task, completed.result),
        Ok(Pending::Retryable(retry) | Pending::RetryTimer(retry)) => Step::Complete(retry.task, completed.result),
        // `completes` leaves these to their timers.
        Ok(Pending::EventTimer(_)) => Step::Continue,
        Err(ignored) => ignored,
    })
}
