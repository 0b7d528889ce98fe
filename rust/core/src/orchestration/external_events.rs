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

impl<H: Host> Orchestration<H> {
    /// Waits for an external event, for ever or `until` some time. If one of that name has arrived already, there is
    /// nothing to wait for, and no timer; if the time is over already, there is no timer either.
    pub fn wait_for_external_event(&mut self, name: &str, until: Option<Timestamp>, task: H::Task) -> Wait {
        let key = fold_case(name);
        if let Some(payload) = self.inbox.take(&key) {
            return Wait::Arrived(payload);
        }
        let mut timer = None;
        if let Some(until) = until {
            if until <= self.now {
                return Wait::TimedOut(format!(
                    "{}: the external event '{name}' had not arrived when its timeout was over, at {until} UTC, which was no \
                     later than the wait began",
                    self.instance_id
                ));
            }
            timer = Some((self.sequence().saturating_add(1), until));
        }
        self.waiters.add(&key, Waiter { task, timer: timer.map(|(id, _)| id) });
        if let Some((_, until)) = timer {
            // After the waiter, which an early firing of the timer has to find.
            let name = Name::from(name);
            let timer = EventTimer { name: Name::clone(&name), since: self.now, until, fire_at: Some(until) };
            self.add_timer(until, TimerOrigin::ExternalEvent(name), Pending::EventTimer(Box::new(timer)));
        }
        Wait::Pending
    }

    /// Ends the wait that a timer was for, unless the event has come first.
    pub(crate) fn time_out(&mut self, id: i32, timer: &EventTimer) -> Step<'static, H> {
        let Some(waiter) = self.waiters.timed_by(&fold_case(&timer.name), id) else { return Step::Continue };
        let message = format!(
            "{}: the external event '{}' did not arrive within its timeout of {}, until {} UTC",
            self.instance_id,
            timer.name,
            in_seconds(timer.until.micros().saturating_sub(timer.since.micros())),
            timer.until
        );
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
