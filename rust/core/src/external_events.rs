//! Waiting for external events, with and without an end: who waits, and what has arrived before anybody did.

use std::borrow::Cow;
use std::collections::VecDeque;

use crate::action::{Name, TimerOrigin};
use crate::orchestration::{Host, Orchestration, Pending, Step};
use crate::time::Timestamp;

/// How many names without a waiter are kept.
const NAMES_KEPT: usize = 16;

/// The JSON of an external event that arrived before somebody waited for it.
pub type Payload = Option<Box<str>>;

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

/// External events of one name that nobody has waited for yet.
#[derive(Debug)]
pub(crate) struct Buffered {
    /// How many events were buffered before the first of these: the order in which names are carried over.
    pub(crate) since: u64,
    pub(crate) payloads: VecDeque<Payload>,
}

/// Somebody who waits for an external event.
#[derive(Debug)]
pub(crate) struct Waiter<H: Host> {
    pub(crate) task: H::Task,
    /// The id of the timer that ends the wait.
    timer: Option<i32>,
}

/// The timer that ends a wait. It lives until it fires, also when the event has come first: the sidecar has no way to
/// take a timer back.
#[derive(Debug)]
pub(crate) struct EventTimer {
    name: Name,
    since: Timestamp,
    until: Timestamp,
}

impl<H: Host> Orchestration<H> {
    /// Waits for an external event, for ever or `until` some time. If one of that name has arrived already, there is
    /// nothing to wait for, and no timer; if the time is over already, there is no timer either.
    pub fn wait_for_external_event(&mut self, name: &str, until: Option<Timestamp>, task: H::Task) -> Wait {
        let key = fold_case(name);
        if let Some(payload) = self.take_buffered(&key) {
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
        let waiter = Waiter { task, timer: timer.map(|(id, _)| id) };
        match self.waiters.get_mut(&*key) {
            Some(waiters) => waiters.push_back(waiter),
            None => drop(self.waiters.insert(key.into(), VecDeque::from([waiter]))),
        }
        if let Some((_, until)) = timer {
            // After the waiter, which an early firing of the timer has to find.
            let name = Name::from(name);
            let event_timer = EventTimer { name: Name::clone(&name), since: self.now, until };
            self.add_timer(until, TimerOrigin::ExternalEvent(name), Pending::EventTimer(Box::new(event_timer)));
        }
        Wait::Pending
    }

    /// Ends the wait that a timer was for, unless the event has come first.
    pub(crate) fn time_out(&mut self, id: i32, timer: &EventTimer) -> Step<'static, H> {
        let key = fold_case(&timer.name);
        let Some(waiters) = self.waiters.get_mut(&*key) else { return Step::Continue };
        let Some(index) = waiters.iter().position(|waiter| waiter.timer == Some(id)) else { return Step::Continue };
        let waiter = waiters.remove(index);
        self.forget_unless_awaited(&key);
        let Some(waiter) = waiter else { return Step::Continue };
        let message = format!(
            "{}: the external event '{}' did not arrive within its timeout of {}, until {} UTC",
            self.instance_id,
            timer.name,
            seconds(timer.since, timer.until),
            timer.until
        );
        Step::TimeOut(waiter.task, message)
    }

    /// Whoever has waited longest for an event of this name.
    #[inline]
    pub(crate) fn next_waiter(&mut self, key: &str) -> Option<Waiter<H>> {
        let waiter = self.waiters.get_mut(key)?.pop_front();
        self.forget_unless_awaited(key);
        waiter
    }

    /// A name that was waited for will mostly be waited for again, so a few are kept.
    #[inline]
    fn forget_unless_awaited(&mut self, key: &str) {
        if self.waiters.len() > NAMES_KEPT && self.waiters.get(key).is_some_and(VecDeque::is_empty) {
            self.waiters.remove(key);
        }
    }

    /// How many names are waited for.
    pub(crate) fn names_awaited(&self) -> usize {
        self.waiters.values().filter(|waiters| !waiters.is_empty()).count()
    }

    fn take_buffered(&mut self, key: &str) -> Option<Payload> {
        if self.buffered.is_empty() {
            return None;
        }
        let buffered = self.buffered.get_mut(key)?;
        let payload = buffered.payloads.pop_front();
        if buffered.payloads.is_empty() {
            self.buffered.remove(key);
        }
        payload
    }
}

/// The time between two others, for people.
fn seconds(since: Timestamp, until: Timestamp) -> String {
    let micros = until.micros().saturating_sub(since.micros());
    let (whole, fraction) = (micros / 1_000_000, micros % 1_000_000);
    if fraction == 0 {
        return format!("{whole} s");
    }
    let fraction = format!("{fraction:06}");
    format!("{whole}.{} s", fraction.trim_end_matches('0'))
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
