//! Waiting for external events, with and without an end.

use std::borrow::Cow;

use super::inbox::Payload;
use super::pending::{EventTimer, Pending};
use super::state::Orchestration;
use super::step::Step;
use super::waiters::Waiter;
use crate::action::{Name, TimerOrigin};
use crate::host::Host;
use crate::time::{Timestamp, in_seconds};

/// What comes of waiting for an external event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The task is kept, and completed by the next event of the name.
    Pending,
    /// One had arrived already; the task is not kept.
    Arrived(Payload),
    /// None had, and the time to wait is over, as this message says; the task is not kept.
    TimedOut(String),
}

/// How long somebody waits for an external event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// For ever.
    End,
    /// Until then.
    Time(Timestamp),
    /// Not at all.
    Now,
}

impl<H: Host> Orchestration<H> {
    /// Waits for an external event, for ever or until some time. If one of that name has arrived already, there is nothing
    /// to wait for, and no timer; in 0.17 there is no timer either if the time is over already, or never is. `message` says
    /// that the time is over in the words of the host.
    pub fn wait_for_external_event(
        &mut self,
        name: &str,
        until: Until,
        message: Option<Box<str>>,
        task: H::Task,
    ) -> Wait {
        let key = fold_case(name);
        if let Some(payload) = self.inbox.take(&key) {
            return Wait::Arrived(payload);
        }
        let with_timer = self.semantics.every_wait_has_a_timer();
        let until = match until {
            Until::Time(until) if until > self.now || with_timer => Some(until),
            Until::End => None,
            Until::Time(_) | Until::Now => {
                let until = if let Until::Time(until) = until { until } else { self.now };
                let message = message.map_or_else(|| self.no_time_to_wait(name, until), String::from);
                return Wait::TimedOut(message);
            }
        };
        let timer = (until.is_some() || with_timer).then(|| self.sequence().saturating_add(1));
        self.waiters.add(&key, Waiter { task, timer });
        if timer.is_some() {
            // After the waiter, which an early firing of the timer has to find.
            let name = Name::from(name);
            let (origin, until) = match until {
                Some(until) => (TimerOrigin::ExternalEvent(Name::clone(&name)), until),
                None => (TimerOrigin::EndlessWait(Name::clone(&name)), Timestamp::MAX),
            };
            let timer = EventTimer { name, since: self.now, until, fire_at: Some(until), message };
            self.add_timer(until, origin, Pending::EventTimer(Box::new(timer)));
        }
        Wait::Pending
    }

    #[cold]
    fn no_time_to_wait(&self, name: &str, until: Timestamp) -> String {
        format!(
            "{}: the external event '{name}' had not arrived when its timeout was over, at {until} UTC, which was no later \
             than the wait began",
            self.instance_id
        )
    }

    /// Ends the wait that a timer was for, unless the event has come first.
    pub(crate) fn time_out(&mut self, id: i32, timer: &EventTimer) -> Step<'static, H> {
        let Some(waiter) = self.waiters.timed_by(&fold_case(&timer.name), id) else { return Step::Continue };
        let message = match &timer.message {
            Some(message) => message.to_string(),
            // Only a sidecar that is not of this world has this timer fire.
            None if self.semantics.every_wait_has_a_timer() && timer.until == Timestamp::MAX => {
                format!("Timed out waiting for external event '{}'", timer.name)
            }
            None => format!(
                "{}: the external event '{}' did not arrive within its timeout of {}, until {} UTC",
                self.instance_id,
                timer.name,
                in_seconds(timer.until.micros().saturating_sub(timer.since.micros())),
                timer.until
            ),
        };
        Step::TimeOut(waiter.task, message)
    }
}

/// Event names compare without case, by full Unicode case folding.
pub(crate) fn fold_case(name: &str) -> Cow<'_, str> {
    if !name.is_ascii() {
        Cow::Owned(unicase::UniCase::unicode(name).to_folded_case())
    } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}
