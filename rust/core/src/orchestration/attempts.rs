//! What is to be told of a call with a retry policy when an attempt at it fails.

use super::pending::Pending;
use super::state::Orchestration;
use crate::action::{Name, Target};
use crate::host::Host;
use crate::retry::Delay;
use crate::time::Timestamp;
use crate::wire::{Event, EventType, Failed};

/// An attempt that has failed.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedAttempt<'a> {
    /// The activity or the orchestrator that was called.
    pub name: Name,
    /// Whether it is an activity.
    pub is_activity: bool,
    /// The attempt's id.
    pub task_id: i32,
    /// Its number, from 1.
    pub attempt: u32,
    /// How many there are at most.
    pub max_attempts: u32,
    /// When the next one begins; `None`: this was the last.
    pub next: Option<Timestamp>,
    /// The class of what it failed with.
    pub error_type: &'a str,
    /// The text of what it failed with.
    pub message: &'a str,
    /// Whether somebody has told of it already: who ran it, and asked for its number.
    pub told: bool,
}

/// The number of an attempt, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptNumber {
    /// From 1.
    pub attempt: u32,
    /// How many there are at most.
    pub max_attempts: u32,
    /// When the next one begins; `None`: this was the last.
    pub next: Option<Timestamp>,
}

impl<H: Host> Orchestration<H> {
    /// Which attempt at an activity goes by an id, for who ran it, and tells that it has failed with an error of this type
    /// at `now`; `None` if there is no such activity under way, or it has no retry policy.
    pub fn tells_of_attempt(
        &mut self,
        task_id: i32,
        activity: &str,
        error_type: &str,
        now: Timestamp,
    ) -> Option<AttemptNumber> {
        let semantics = self.semantics;
        let Some(Pending::Retryable(retry)) = self.tasks.get_mut(task_id) else { return None };
        if !matches!(retry.call.target, Target::Activity { .. }) || &*retry.call.name != activity {
            return None;
        }
        retry.told = true;
        let delay = retry.policy.next_delay(semantics, retry.attempt, error_type, retry.first_scheduled, now);
        Some(AttemptNumber {
            attempt: retry.attempt,
            max_attempts: retry.policy.max_attempts,
            next: match delay {
                Some(Delay::Micros(micros)) => now.checked_add(micros),
                Some(Delay::BeyondTime) | None => None,
            },
        })
    }

    /// What an event says of an attempt that has failed, before the event is applied; `None` if it says nothing of that.
    #[must_use]
    pub fn failed_attempt<'a>(&self, event: &Event<'a>) -> Option<FailedAttempt<'a>> {
        if !matches!(event.event_type, EventType::TaskFailed | EventType::SubOrchestrationInstanceFailed) {
            return None;
        }
        let failed = Failed::decode(event.body()).ok()?;
        let Some(Pending::Retryable(retry)) = self.tasks.get(failed.task_id) else { return None };
        let failure = failed.failure().ok()?;
        let (attempt, first) = (retry.attempt, retry.first_scheduled);
        let delay = retry.policy.next_delay(self.semantics, attempt, failure.error_type, first, self.now);
        Some(FailedAttempt {
            name: retry.call.name.clone(),
            is_activity: matches!(retry.call.target, Target::Activity { .. }),
            task_id: failed.task_id,
            attempt,
            max_attempts: retry.policy.max_attempts,
            next: match delay {
                Some(Delay::Micros(micros)) => self.now.checked_add(micros),
                Some(Delay::BeyondTime) | None => None,
            },
            error_type: failure.error_type,
            message: failure.message,
            told: retry.told,
        })
    }
}
