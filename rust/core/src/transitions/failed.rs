//! `taskFailed` and `subOrchestrationInstanceFailed`: a call has failed, and is tried again or not.

use crate::action::TimerOrigin;
use crate::error::Error;
use crate::host::Host;
use crate::orchestration::{LastFailure, Orchestration, Pending, Proof, Step};
use crate::retry::Delay;
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
    subject: impl FnOnce(&str) -> String,
) -> Result<Step<'a, H>, Error> {
    let task_id = failed.task_id;
    let task = match this.completes(task_id, proof, event, what) {
        Err(ignored) => return Ok(ignored),
        Ok(Pending::Activity(task, _) | Pending::SubOrchestration(task)) => task,
        // `completes` leaves these to their timers.
        Ok(Pending::Timer(..) | Pending::RetryTimer(_) | Pending::EventTimer(_)) => return Ok(Step::Continue),
        Ok(Pending::Retryable(mut retry)) => {
            let error_type = failed.error_type()?;
            match retry.policy.next_delay(this.semantics, retry.attempt, error_type, retry.first_scheduled, this.now) {
                None => {
                    if retry.policy.is_expired(retry.first_scheduled, this.now) {
                        this.give_up(&retry.call);
                    }
                    retry.task
                }
                Some(delay) => {
                    let fire_at = match delay {
                        Delay::Micros(micros) => this.now.checked_add(micros),
                        Delay::BeyondTime => None,
                    };
                    let Some(fire_at) = fire_at else {
                        return Err(Error::State(format!(
                            "{}: the retry policy of '{}' asks for a pause after attempt {} that ends after the year 9999; \
                             set max_retry_interval",
                            this.instance_id, retry.call.name, retry.attempt
                        )));
                    };
                    retry.attempt += 1;
                    retry.resumes_at = Some(fire_at);
                    if retry.policy.timeout.is_some() && !this.semantics.retry_timeout_counts_pauses() {
                        let failure = failed.failure()?;
                        retry.last_failure = Some(Box::new(LastFailure {
                            message: message(&subject(&this.instance_id), task_id, &failure),
                            error_type: failure.error_type.to_owned(),
                            error_message: failure.message.to_owned(),
                            stack_trace: failure.stack_trace.map(str::to_owned),
                            inner: failure.inner.map(Box::from),
                        }));
                    }
                    let origin = TimerOrigin::Retry(retry.call.target.clone());
                    this.add_timer(fire_at, origin, Pending::RetryTimer(retry));
                    return Ok(Step::Continue);
                }
            }
        }
    };
    let failure = failed.failure()?;
    Ok(Step::Fail(task, message(&subject(&this.instance_id), task_id, &failure), failure))
}

fn message(subject: &str, task_id: i32, failure: &Failure<'_>) -> String {
    format!("{subject} #{task_id} failed: {}", failure.message)
}
