//! Which call a completion belongs to.
//!
//! Ids begin anew after continue-as-new, and what the execution before had asked for may still complete then: an activity
//! that was slow, a timer that nobody waited for. Sidecars hand these completions to the next execution, under ids that it
//! may have given to calls of its own. So the id alone does not say what a completion completes.

use super::pending::Pending;
use super::state::Orchestration;
use super::step::{Notice, Step};
use crate::action::{Action, Call, Target};
use crate::host::Host;
use crate::ids::ExecutionMark;
use crate::time::Timestamp;
use crate::wire::{Corrupt, Event, EventType, Failed, Span, TaskCompleted, TimerFired};

/// What a completion says of the call that it is for, beside its id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof<'a> {
    /// It is of an activity with this execution id; empty if it does not say.
    Activity(Span<'a>),
    /// It is of a sub-orchestration.
    SubOrchestration,
    /// It is of a timer that was to fire at this time; `None` if it does not say.
    Timer(Option<Timestamp>),
}

impl<H: Host> Orchestration<H> {
    /// Takes out the task that a completion completes. If the code has not made that call yet, the completion is kept
    /// until it does; if it belongs to another call under the same id, it belongs to nobody.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "every completion passes here, each kind with a proof of its own")]
    pub(crate) fn completes(
        &mut self,
        id: i32,
        proof: Proof<'_>,
        event: &Event<'_>,
        what: &'static str,
    ) -> Result<Pending<H>, Step<'static, H>> {
        match self.tasks.remove(id) {
            Some(pending) if self.belongs(id, &pending, proof) => Ok(pending),
            other => Err(self.belongs_to_nobody(id, other, event, what)),
        }
    }

    #[cold]
    fn belongs_to_nobody(
        &mut self,
        id: i32,
        pending: Option<Pending<H>>,
        event: &Event<'_>,
        what: &'static str,
    ) -> Step<'static, H> {
        if let Some(pending) = pending {
            self.tasks.insert(id, pending);
            return Step::Ignored(Notice::StaleCompletion(what, id));
        }
        if id > self.sequence() {
            let waiting = self.waiting(event);
            self.early.push(id, waiting);
        }
        Step::Ignored(Notice::UnexpectedCompletion(what, id))
    }

    /// Lets a completion through that arrived before the call it completes. A call made after the end is not sent, so
    /// nothing completes it.
    #[inline]
    pub(crate) fn release_early(&mut self, id: i32) {
        if !self.early.is_empty() && self.outcome.is_none() {
            self.release_early_of(id);
        }
    }

    #[cold]
    fn release_early_of(&mut self, id: i32) {
        let early = self.early.take(id);
        if let Some(event) = early.into_iter().find(|event| self.belongs_to(id, &event.bytes).unwrap_or(false)) {
            self.due.push_back(event);
        }
    }

    fn belongs_to(&self, id: i32, event: &[u8]) -> Result<bool, Corrupt> {
        let Some(pending) = self.tasks.get(id) else { return Ok(false) };
        let event = Event::decode(Span::whole(event))?;
        let proof = match event.event_type {
            EventType::TaskCompleted => Proof::Activity(TaskCompleted::decode(event.body())?.execution_id),
            EventType::TaskFailed => Proof::Activity(Failed::decode(event.body())?.execution_id),
            EventType::TimerFired => Proof::Timer(TimerFired::decode(event.body())?.fire_at()?),
            _ => Proof::SubOrchestration,
        };
        Ok(self.belongs(id, pending, proof))
    }

    /// Whether a completion is of what is waited for under its id.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "every completion passes here, each kind with a proof of its own")]
    fn belongs(&self, id: i32, pending: &Pending<H>, proof: Proof<'_>) -> bool {
        match (pending, proof) {
            (Pending::Activity(_, mark), Proof::Activity(execution)) => self.is_execution(id, *mark, execution),
            (Pending::SubOrchestration(_), Proof::SubOrchestration) => true,
            (Pending::Timer(_, expected), Proof::Timer(fired)) => is_time(*expected, fired),
            (Pending::Retryable(retry), Proof::Activity(execution)) => {
                matches!(retry.call.target, Target::Activity { .. }) && self.is_execution(id, retry.mark, execution)
            }
            (Pending::Retryable(retry), Proof::SubOrchestration) => {
                matches!(retry.call.target, Target::SubOrchestration { .. })
            }
            (Pending::RetryTimer(retry), Proof::Timer(fired)) => is_time(retry.resumes_at, fired),
            (Pending::EventTimer(timer), Proof::Timer(fired)) => is_time(timer.fire_at, fired),
            (Pending::CallTimer(timer), Proof::Timer(fired)) => is_time(timer.fire_at, fired),
            _ => false,
        }
    }

    #[inline]
    fn is_execution(&self, id: i32, mark: ExecutionMark, execution: Span<'_>) -> bool {
        if mark.is_known() && !execution.bytes.is_empty() {
            return mark == ExecutionMark::of(execution.bytes);
        }
        execution.bytes.is_empty() || self.is_asked_for(id, execution.bytes)
    }

    /// Whether the id of an execution is that of a call which is not confirmed yet, or was confirmed without one. The id
    /// is worked out only now, which is seldom: an activity mostly completes after its confirmation.
    #[cold]
    fn is_asked_for(&self, id: i32, execution: &[u8]) -> bool {
        let call: &Call<H> = match self.actions.get(id) {
            Some(Action::Call(call)) => call,
            Some(Action::RetryableCall(call)) => call,
            _ => return true,
        };
        match call.target {
            Target::Activity { execution: seed } => seed.text(&self.instance_id).as_bytes() == execution,
            Target::SubOrchestration { .. } => true,
        }
    }

    /// Notes what the history says of an activity that it confirms.
    #[inline]
    pub(crate) fn confirm_execution(&mut self, id: i32, execution: Span<'_>) {
        match self.tasks.get_mut(id) {
            Some(Pending::Activity(_, mark)) => *mark = ExecutionMark::of(execution.bytes),
            Some(Pending::Retryable(retry)) => retry.mark = ExecutionMark::of(execution.bytes),
            _ => {}
        }
    }

    /// Notes what the history says of a timer that it confirms.
    #[inline]
    pub(crate) fn confirm_timer(&mut self, id: i32, fire_at: Option<Timestamp>) {
        match self.tasks.get_mut(id) {
            Some(Pending::Timer(_, expected)) => *expected = fire_at,
            Some(Pending::RetryTimer(retry)) => retry.resumes_at = fire_at,
            Some(Pending::EventTimer(timer)) => timer.fire_at = fire_at,
            Some(Pending::CallTimer(timer)) => timer.fire_at = fire_at,
            _ => {}
        }
    }
}

#[inline]
fn is_time(expected: Option<Timestamp>, fired: Option<Timestamp>) -> bool {
    match (expected, fired) {
        (Some(expected), Some(fired)) => expected == fired,
        _ => true,
    }
}
