//! Calls that may take only so long: a call is paired with a timer, under the id after its own, and the first of both decides.

use super::pending::{CallTimer, Pending, Retry};
use super::state::Orchestration;
use super::step::{LastFailure, Step};
use crate::action::{Name, TimerOrigin};
use crate::error::{Error, Method, StateError};
use crate::host::Host;
use crate::retry::Delay;
use crate::time::{Timestamp, in_seconds};

/// What a timeout counts as where a retry policy names types of errors.
const TIMEOUT_ERROR: &str = "TimeoutError";

impl<H: Host> Orchestration<H> {
    /// Makes the timer of the call that was made last.
    pub(super) fn bound_call(&mut self, timeout: i64, method: Method, name: Name) {
        let until = self.now.checked_add(timeout).unwrap_or(Timestamp::MAX);
        let timer = CallTimer { method, name, timeout, until, fire_at: Some(until) };
        self.add_timer(until, TimerOrigin::CallTimeout, Pending::CallTimer(Box::new(timer)));
    }

    /// Ends the call that a timer was for, unless it has completed first. What comes of it later belongs to nobody.
    pub(crate) fn end_call(&mut self, timer_id: i32, timer: &CallTimer) -> Result<Step<'static, H>, Error> {
        let id = timer_id.saturating_sub(1);
        let message = || {
            format!(
                "{}: {}('{}') with ID={id} did not complete within its timeout of {}, until {} UTC",
                self.instance_id,
                timer.method,
                timer.name,
                in_seconds(timer.timeout),
                timer.until
            )
        };
        match self.tasks.get(id) {
            Some(Pending::Activity(..) | Pending::SubOrchestration(_) | Pending::Retryable(_)) => {}
            _ => return Ok(Step::Continue),
        }
        let message = message();
        match self.tasks.remove(id) {
            Some(Pending::Activity(task, _) | Pending::SubOrchestration(task)) => Ok(Step::TimeOut(task, message)),
            Some(Pending::Retryable(retry)) => {
                let failure = || {
                    Ok(LastFailure {
                        message: message.clone(),
                        error_type: TIMEOUT_ERROR.to_owned(),
                        error_message: message.clone(),
                        stack_trace: None,
                        inner: None,
                    })
                };
                Ok(match self.try_again(retry, TIMEOUT_ERROR, failure)? {
                    None => Step::Continue,
                    Some(task) => Step::TimeOut(task, message),
                })
            }
            _ => Ok(Step::Continue),
        }
    }

    /// Begins the pause before the next attempt of a call that has failed; returns its task if there is no other attempt.
    pub(crate) fn try_again(
        &mut self,
        mut retry: Box<Retry<H>>,
        error_type: &str,
        failure: impl FnOnce() -> Result<LastFailure, Error>,
    ) -> Result<Option<H::Task>, Error> {
        let delay = retry.policy.next_delay(self.semantics, retry.attempt, error_type, retry.first_scheduled, self.now);
        let Some(delay) = delay else {
            if retry.policy.is_expired(retry.first_scheduled, self.now) {
                self.give_up(&retry.call);
            }
            return Ok(Some(retry.task));
        };
        let fire_at = match delay {
            Delay::Micros(micros) => self.now.checked_add(micros),
            Delay::BeyondTime => None,
        };
        let Some(fire_at) = fire_at else {
            let (instance_id, name) = (self.instance_id.clone(), retry.call.name.clone());
            return Err(StateError::PauseBeyondTime { instance_id, name, attempt: retry.attempt }.into());
        };
        retry.attempt += 1;
        retry.told = false;
        retry.resumes_at = Some(fire_at);
        if retry.policy.timeout.is_some() && !self.semantics.retry_timeout_counts_pauses() {
            retry.last_failure = Some(Box::new(failure()?));
        }
        let origin = TimerOrigin::Retry(retry.call.target.clone());
        self.add_timer(fire_at, origin, Pending::RetryTimer(retry));
        Ok(None)
    }
}
