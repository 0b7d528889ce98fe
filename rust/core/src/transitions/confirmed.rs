//! `taskScheduled`, `subOrchestrationInstanceCreated`, `timerCreated`, `eventSent`: the sidecar has done what an action asked for.
//!
//! The action with the event's id is struck off, so that it is not sent again. If the code did not ask for it, or had ended
//! by then, code and history have parted.

use std::sync::Arc;

use crate::action::{Action, Input};
use crate::error::{CallName, Error, Found, Method, NonDeterminism};
use crate::host::Host;
use crate::orchestration::{Orchestration, Pending, Step};
use crate::wire::{
    Corrupt, Event, EventSent, Span, SubOrchestrationCreated, TaskScheduled, TimerCreated, is_endless_wait,
};

pub(super) fn task_scheduled<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
) -> Result<Step<'a, H>, Error> {
    let scheduled = TaskScheduled::decode(event.body())?;
    without_endless_waits(this, event.id);
    let struck = strike(this, event, Method::CallActivity, Some(scheduled.name), || scheduled.input())?;
    this.confirm_execution(event.id, scheduled.execution_id);
    Ok(struck)
}

pub(super) fn sub_orchestration_created<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
) -> Result<Step<'a, H>, Error> {
    let created = SubOrchestrationCreated::decode(event.body())?;
    without_endless_waits(this, event.id);
    strike(this, event, Method::CallSubOrchestrator, Some(created.name), || created.input())
}

pub(super) fn timer_created<'a, H: Host>(this: &mut Orchestration<H>, event: &Event<'a>) -> Result<Step<'a, H>, Error> {
    let fire_at = TimerCreated::decode(event.body())?.fire_at()?;
    let recorded_wait = this.semantics.every_wait_has_a_timer() && is_endless_wait(event.body())?;
    if recorded_wait && !stands_for_endless_wait(this, event.id) {
        // The code that made the history waited here, and today's does not. That changed nothing but an id.
        return Ok(Step::Continue);
    }
    if !recorded_wait {
        without_endless_waits(this, event.id);
    }
    let struck = strike(this, event, Method::CreateTimer, None, || Ok(None))?;
    this.confirm_timer(event.id, fire_at);
    Ok(struck)
}

pub(super) fn event_sent<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
    sent: &EventSent<'a>,
) -> Result<Step<'a, H>, Error> {
    without_endless_waits(this, event.id);
    strike(this, event, Method::SendEvent, Some(sent.name), || Ok(None))
}

/// Whether the action of this id is a timer of a wait that has no end.
fn stands_for_endless_wait<H: Host>(this: &Orchestration<H>, id: i32) -> bool {
    this.actions.get(id).is_some_and(Action::is_endless_wait)
}

/// A history may come from an engine whose endless waits have no timers; then another call is confirmed under their id.
#[inline]
fn without_endless_waits<H: Host>(this: &mut Orchestration<H>, id: i32) {
    if this.semantics.every_wait_has_a_timer() {
        while stands_for_endless_wait(this, id) {
            this.take_back_wait_timer(id);
        }
    }
}

#[inline]
fn strike<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
    method: Method,
    name: Option<Span<'_>>,
    recorded_input: impl FnOnce() -> Result<Option<&'a str>, Corrupt>,
) -> Result<Step<'a, H>, Error> {
    // Nearly always the code has made that very call, which then need not be moved about.
    let confirmed = match (this.actions.get(event.id), name) {
        (Some(Action::Call(call)), Some(name)) => call.target.method() == method && call.name.as_bytes() == name.bytes,
        (Some(Action::CreateTimer(_)), None) => true,
        _ => false,
    };
    if !confirmed {
        return strike_other(this, event, method, name, recorded_input);
    }
    this.actions.forget(event.id);
    Ok(Step::Continue)
}

fn strike_other<'a, H: Host>(
    this: &mut Orchestration<H>,
    event: &Event<'a>,
    method: Method,
    name: Option<Span<'_>>,
    recorded_input: impl FnOnce() -> Result<Option<&'a str>, Corrupt>,
) -> Result<Step<'a, H>, Error> {
    match (this.actions.remove(event.id), name) {
        (Some(Action::RetryableCall(call)), Some(name))
            if call.target.method() == method && call.name.as_bytes() == name.bytes =>
        {
            // From here on the call belongs to the retry alone.
            drop(call);
            // It may be sent again long after the code has changed what it passed; the history has it as it was.
            if let Some(Pending::Retryable(retry)) = this.tasks.get_mut(event.id)
                && let Some(call) = Arc::get_mut(&mut retry.call)
                && matches!(call.input, Input::Deferred(_))
                && let Some(input) = recorded_input()?
            {
                call.input = Input::Encoded(input.into());
            }
        }
        (Some(Action::SendEvent(sent)), Some(name))
            if method == Method::SendEvent && sent.name.as_bytes() == name.bytes => {}
        // An ended execution has no other actions left that could be confirmed.
        _ if this.outcome.is_some() => {
            if let Some(end) = this.withdraw_end(event.id, method, name) {
                return Err(parted(this, event, method, name, Found::End(end)));
            }
        }
        // A worker that two suspensions keep suspended beyond one resumption still repeats itself.
        (None, _) if this.confirmed_while_suspended.contains(&(event.id, event.event_type)) && !this.suspended => {}
        (action, _) => {
            let found = action.map(|action| action.call_name()).into();
            return Err(parted(this, event, method, name, found));
        }
    }
    Ok(Step::Continue)
}

#[cold]
fn parted<H: Host>(
    this: &Orchestration<H>,
    event: &Event<'_>,
    method: Method,
    name: Option<Span<'_>>,
    found: Found,
) -> Error {
    let name = match name.map(|name| name.text().map(str::to_owned)).transpose() {
        Ok(name) => name,
        Err(corrupt) => return corrupt.into(),
    };
    Error::NonDeterminism(Box::new(NonDeterminism {
        instance_id: this.instance_id.to_string(),
        event_index: this.event_index(),
        event_id: event.id,
        expected: CallName { method, name },
        found,
    }))
}
