//! One turn: events go into the engine, and the user's generator or coroutine is resumed when its task completes.

mod driving;
mod ending;
mod execution;
mod reading;

use durabletask_core::wire::{Corrupt, Event, EventType, Request, Span};
use durabletask_core::{Error, FailedCall, Notice, Start, Step};
use pyo3::intern;
use pyo3::prelude::*;

use super::holdings::Holdings;
use super::log::{About, Log};
use super::routine::Routine;
use super::stalled::Mismatch;
use super::stop::Stop;
use super::surroundings::{Entered, OwnContext};
use super::trace::Trace;
use crate::context::{Completed, PythonHost, RuntimeContext};
use crate::failures::{self, Code, Failure};
use crate::python;
use crate::tasks::Task;
pub(super) use execution::Execution;
use reading::{FEW_EVENTS, MANY_EVENTS, SEEN_AHEAD, read_ahead};

/// An orchestrator that is being driven.
pub(super) struct Turn<'a, 'py> {
    py: Python<'py>,
    registry: &'a Bound<'py, PyAny>,
    log: &'a Log<'py>,
    context: Bound<'py, RuntimeContext>,
    /// The variables of the code.
    variables: OwnContext,
    /// The orchestrator's name; "" before it has started.
    name: Box<str>,
    /// The orchestrator, once it was started in this turn.
    function: Option<Bound<'py, PyAny>>,
    routine: Option<Routine<'py>>,
    awaited: Option<Bound<'py, Task>>,
    holdings: Holdings,
    /// What spans are made from, where they are wanted.
    pub(super) trace: Option<Box<Trace>>,
}

impl<'a, 'py> Turn<'a, 'py> {
    /// Of an orchestrator that has not started yet.
    pub(super) fn new(
        registry: &'a Bound<'py, PyAny>,
        log: &'a Log<'py>,
        context: Bound<'py, RuntimeContext>,
        variables: OwnContext,
        trace: Option<Box<Trace>>,
    ) -> Self {
        let (py, name) = (context.py(), Box::default());
        let (function, routine, awaited, holdings) = (None, None, None, Holdings::default());
        Self { py, registry, log, context, variables, name, function, routine, awaited, holdings, trace }
    }

    /// Puts the calling thread into the context of the code's variables, for the whole turn.
    pub(super) fn enter(&self) -> PyResult<Entered<'py>> {
        self.variables.enter(self.py)
    }

    /// The orchestrator's name; "" before it has started.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is known of the user's code.
    pub(super) fn code<'c>(&'c self, raised: Option<&'c PyErr>) -> Code<'c, 'py> {
        Code { function: self.function.as_ref(), routine: self.routine(), raised }
    }

    fn about(&self) -> About<'_> {
        About { instance_id: self.context.get().id(self.py), name: &self.name }
    }

    /// Its context.
    pub(super) fn context(&self) -> &Bound<'py, RuntimeContext> {
        &self.context
    }

    /// The generator, or what drives the coroutine; `None` before it has started.
    pub(super) fn routine(&self) -> Option<&Bound<'py, PyAny>> {
        self.routine.as_ref().map(|routine| routine.iterator.as_any())
    }

    /// Applies all events of a request, except for the first `seen` ones of its past.
    pub(super) fn run(&mut self, request: &Request<'_>, seen: usize) -> Result<(), Stop> {
        let applied_before = self.events_applied();
        let mut past = request.past_events();
        if seen > 0 {
            past.nth(seen - 1).transpose()?;
        }
        match self.apply_all(past, request.past_count, false) {
            Err(Stop::Raised(error)) => {
                let applied = seen + self.events_applied() - applied_before;
                return Err(self.raised_in_the_past(error, request.past_events().skip(applied)));
            }
            applied => applied?,
        }
        self.log.unconfirmed(&self.context, self.about())?;
        self.context.get().set_replaying(self.py, false);
        self.apply_all(request.new_events(), request.new_count, true)
    }

    /// Applies events in order, of which there are about `count`, of the past or `new`. Many are read ahead while other
    /// threads may have the interpreter.
    fn apply_all<'e>(
        &mut self,
        mut events: impl Iterator<Item = Result<Span<'e>, Corrupt>> + Send,
        count: usize,
        new: bool,
    ) -> Result<(), Stop> {
        let many = count >= MANY_EVENTS;
        let at_once = if many { MANY_EVENTS } else { FEW_EVENTS };
        let mut ahead = Vec::with_capacity(count.min(at_once));
        loop {
            let read = read_ahead(self.py, many, &mut events, at_once - ahead.len(), &mut ahead);
            // The last few wait for the next round, so that a call finds its confirmation among what was read.
            let ended = read.is_err() || ahead.len() < at_once;
            let now = if ended { ahead.len() } else { at_once - SEEN_AHEAD };
            self.context.get().see_ahead(self.py, &ahead);
            if let Some(trace) = &mut self.trace {
                trace.read(&ahead[..now], new);
            }
            self.apply_read(&ahead[..now])?;
            if ended {
                return Ok(read?);
            }
            ahead.drain(..now);
        }
    }

    /// The engine stays locked while it needs nothing from the user's code.
    fn apply_read(&mut self, events: &[Event<'_>]) -> Result<(), Stop> {
        let context = self.context.clone();
        let mut state = context.get().lock(self.py);
        for event in events {
            if is_failure(event) {
                drop(state);
                self.tell_of_failure(event)?;
                state = context.get().lock(self.py);
            }
            match state.orchestration.apply(event) {
                Ok(Step::Continue) => {}
                step => {
                    drop(state);
                    self.take(step)?;
                    state = context.get().lock(self.py);
                }
            }
            if state.orchestration.has_released() {
                drop(state);
                self.apply_released()?;
                state = context.get().lock(self.py);
            }
        }
        Ok(())
    }

    /// Says it, if an attempt of a call has just failed that may be made again.
    #[cold]
    fn tell_of_failure(&self, event: &Event<'_>) -> PyResult<()> {
        let failed = {
            let orchestration = &self.context.get().lock(self.py).orchestration;
            if orchestration.is_replaying() { None } else { orchestration.failed_attempt(event) }
        };
        failed.map_or(Ok(()), |attempt| self.log.attempt_failed(self.about(), &attempt))
    }

    fn events_applied(&self) -> usize {
        self.context.get().lock(self.py).orchestration.events_applied()
    }

    /// The user's code raised while replaying. If it did so when the history was made, the history goes on with no call that
    /// the code has not made before.
    fn raised_in_the_past<'e>(&self, raised: PyErr, rest: impl Iterator<Item = Result<Span<'e>, Corrupt>>) -> Stop {
        if failures::ends_more_than_the_orchestrator(self.py, &raised) {
            return Stop::Raised(raised);
        }
        let details = failures::details(self.py, &raised);
        self.context.get().lock(self.py).orchestration.fail(details);
        for raw in rest {
            let event = match raw.and_then(Event::decode) {
                Ok(event) => event,
                Err(corrupt) => return Stop::Corrupt(corrupt),
            };
            let applied = self.context.get().lock(self.py).orchestration.apply(&event);
            if let Err(error @ Error::NonDeterminism(_)) = applied {
                return self.engine_error_after(error, Some(&raised));
            }
        }
        Stop::Raised(raised)
    }

    /// Applies events that had to wait until now.
    pub(super) fn apply_released(&mut self) -> Result<(), Stop> {
        loop {
            let Some(raw) = self.context.get().lock(self.py).orchestration.next_released() else { return Ok(()) };
            let event = Event::decode(Span::whole(&raw))?;
            if is_failure(&event) {
                self.tell_of_failure(&event)?;
            }
            let step = self.context.get().lock(self.py).orchestration.apply_again(&event);
            self.take(step)?;
        }
    }

    /// Does what the engine asks for.
    pub(super) fn take(&mut self, step: Result<Step<'_, PythonHost>, Error>) -> Result<(), Stop> {
        match step.map_err(|error| self.engine_error(error))? {
            Step::Continue => Ok(()),
            Step::Complete(task, json) => {
                let awaited = self.is_awaited(&task);
                match self.context.get().complete(task.bind(self.py), json, awaited)? {
                    Completed::Before => Ok(()),
                    Completed::With(value) if awaited => {
                        task.get().tell(self.py).map_err(Stop::Raised)?;
                        self.resume_with(value)
                    }
                    Completed::With(_) | Completed::Unread => self.settled(&task, true),
                }
            }
            Step::Fail(task, failed) => {
                let FailedCall { message, failure } = *failed;
                let first = Task::set_failure(task.bind(self.py), Failure::recorded(message, &failure)).is_ok();
                self.settled(&task, first)
            }
            Step::TimeOut(task, message) => {
                let first = Task::set_failure(task.bind(self.py), Failure::TimedOut { message }).is_ok();
                self.settled(&task, first)
            }
            Step::GiveUp(task, failure) => {
                let first = Task::set_failure(task.bind(self.py), Failure::from(*failure)).is_ok();
                self.settled(&task, first)
            }
            Step::Start(start) => self.start(start),
            Step::Ignored(notice) => Ok(self.notice(notice)?),
        }
    }

    /// Whether the code waits for this very task, and not for one that it is a part of.
    #[inline]
    fn is_awaited(&self, task: &Py<Task>) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.is(task))
    }

    /// Goes on after a task was completed. A task that the user's code completed itself stays as it is.
    #[inline]
    fn settled(&mut self, task: &Py<Task>, first: bool) -> Result<(), Stop> {
        if !first {
            return Ok(());
        }
        task.get().tell(self.py).map_err(Stop::Raised)?;
        self.resume()
    }

    fn engine_error(&self, error: Error) -> Stop {
        self.engine_error_after(error, None)
    }

    fn engine_error_after(&self, error: Error, raised: Option<&PyErr>) -> Stop {
        self.context.get().lock(self.py).orchestration.discard_actions();
        match error {
            Error::Corrupt(corrupt) => Stop::Corrupt(corrupt),
            error => {
                let exception = failures::engine_error(self.py, &error, &self.code(raised));
                match error {
                    Error::NonDeterminism(_) => Stop::Unfit(Mismatch::NonDeterminism, exception),
                    _ => Stop::Failed(exception),
                }
            }
        }
    }

    fn notice(&self, notice: Notice) -> PyResult<()> {
        let context = &self.context;
        if context.get().lock(self.py).orchestration.is_replaying() {
            return Ok(());
        }
        match notice {
            Notice::UnexpectedCompletion(event, id) => self.log.unexpected_completion(self.about(), event, id),
            Notice::StaleCompletion(event, id) => self.log.stale_completion(self.about(), event, id),
            Notice::Buffered => Ok(()),
        }
    }

    fn start(&mut self, start: Start<'_>) -> Result<(), Stop> {
        self.name = start.name.into();
        let version = self.context.get().lock(self.py).orchestration.version_from_history().map(str::to_owned);
        let found = self
            .registry
            .call_method1(intern!(self.py, "get_orchestrator"), (start.name, version))
            .map_err(|error| self.lookup_error(error))?;
        let (function, version_used): (Bound<'py, PyAny>, Option<String>) = found.extract().map_err(Stop::Failed)?;
        if function.is_none() {
            let message = format!("A '{}' orchestrator was not registered.", start.name);
            let error = failures::raised(self.py, &python::ORCHESTRATOR_NOT_REGISTERED, message);
            return Err(Stop::Unfit(Mismatch::Orchestrator, error));
        }
        if let Some(version) = version_used {
            self.context.get().lock(self.py).orchestration.set_version_used(version);
        }
        if !self.context.get().lock(self.py).orchestration.is_replaying() {
            self.log.started(self.about())?;
        }
        let input = self.context.get().read_input(self.py, start.input)?;
        let function = self.function.insert(function);
        let returned = function.call1((&self.context, input)).map_err(Stop::Raised)?;
        match Routine::of(&returned)? {
            Some(routine) => {
                self.routine = Some(routine);
                let first = self.send(self.py.None().into_bound(self.py))?;
                self.awaited = first;
                self.resume()
            }
            None => self.complete(&returned),
        }
    }

    fn lookup_error(&self, error: PyErr) -> Stop {
        match python::VERSION_NOT_REGISTERED.get(self.py) {
            Ok(class) if error.matches(self.py, class).unwrap_or(false) => Stop::Unfit(Mismatch::Version, error),
            _ => Stop::Failed(error),
        }
    }
}

fn is_failure(event: &Event<'_>) -> bool {
    matches!(event.event_type, EventType::TaskFailed | EventType::SubOrchestrationInstanceFailed)
}
