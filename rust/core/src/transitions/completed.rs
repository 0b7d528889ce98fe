//! `taskCompleted` and `subOrchestrationInstanceCompleted`: a call has its result.

use crate::error::Error;
use crate::host::Host;
use crate::orchestration::{Orchestration, Pending, Proof, Step};
use crate::wire::{Event, TaskCompleted};

#[inline]
pub(super) fn task_completed<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
) -> Result<Step<'a, H>, Error> {
    let completed = TaskCompleted::decode(event.body())?;
    let proof = Proof::Activity(completed.execution_id);
    Ok(apply(this, event, &completed, proof, "taskCompleted"))
}

pub(super) fn sub_orchestration_completed<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
) -> Result<Step<'a, H>, Error> {
    let completed = TaskCompleted::decode(event.body())?;
    Ok(apply(this, event, &completed, Proof::SubOrchestration, "subOrchestrationInstanceCompleted"))
}

#[inline]
fn apply<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
    completed: &TaskCompleted<'a>,
    proof: Proof<'a>,
    what: &'static str,
) -> Step<'a, H> {
    match this.completes(completed.task_id, proof, event, what) {
        Ok(Pending::Activity(task, _) | Pending::SubOrchestration(task)) => Step::Complete(task, completed.result),
        Ok(Pending::Retryable(retry)) => Step::Complete(retry.task, completed.result),
        // `completes` leaves these to their timers.
        Ok(Pending::Timer(..) | Pending::RetryTimer(_) | Pending::EventTimer(_) | Pending::CallTimer(_)) => {
            Step::Continue
        }
        Err(ignored) => ignored,
    }
}
