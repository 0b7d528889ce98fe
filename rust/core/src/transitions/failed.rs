//! `taskFailed` and `subOrchestrationInstanceFailed`: a call has failed, and is tried again or not.

use std::sync::Arc;

use crate::error::Error;
use crate::host::Host;
use crate::orchestration::{FailedCall, LastFailure, Orchestration, Pending, Proof, Step};
use crate::wire::{Event, Failed, Failure};

pub(super) fn task_failed<'a, H: Host>(this: &mut Orchestration<H>, event: &Event<'a>) -> Result<Step<'a, H>, Error> {
    let failed = Failed::decode(event.body())?;
    let proof = Proof::Activity(failed.execution_id);
    apply(this, event, &failed, proof, "taskFailed", |instance_id| format!("{instance_id}: Activity task"))
}

pub(super) fn sub_orchestration_failed<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
) -> Result<Step<'a, H>, Error> {
    let failed = Failed::decode(event.body())?;
    let what = "subOrchestrationInstanceFailed";
    apply(this, event, &failed, Proof::SubOrchestration, what, |_| "Sub-orchestration task".to_owned())
}

fn apply<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
    failed: &Failed<'a>,
    proof: Proof<'a>,
    what: &'static str,
    subject: impl Fn(&str) -> String,
) -> Result<Step<'a, H>, Error> {
    let task_id = failed.task_id;
    let task = match this.completes(task_id, proof, event, what) {
        Err(ignored) => return Ok(ignored),
        Ok(Pending::Activity(task, _) | Pending::SubOrchestration(task)) => task,
        // `completes` leaves these to their timers.
        Ok(Pending::Timer(..) | Pending::RetryTimer(_) | Pending::EventTimer(_) | Pending::CallTimer(_)) => {
            return Ok(Step::Continue);
        }
        Ok(Pending::Retryable(retry)) => {
            let instance_id = Arc::clone(&this.instance_id);
            let last_failure = || {
                let failure = failed.failure()?;
                Ok(LastFailure {
                    message: message(&subject(&instance_id), task_id, &failure),
                    error_type: failure.error_type.to_owned(),
                    error_message: failure.message.to_owned(),
                    stack_trace: failure.stack_trace.map(str::to_owned),
                    inner: failure.inner.map(Box::from),
                })
            };
            match this.try_again(retry, failed.error_type()?, last_failure)? {
                None => return Ok(Step::Continue),
                Some(task) => task,
            }
        }
    };
    let failure = failed.failure()?;
    let message = message(&subject(&this.instance_id), task_id, &failure);
    Ok(Step::Fail(task, Box::new(FailedCall { message, failure })))
}

fn message(subject: &str, task_id: i32, failure: &Failure<'_>) -> String {
    format!("{subject} #{task_id} failed: {}", failure.message)
}
