//! `check_history`: does today's code still do what a recorded history says?
//!
//! Stricter than a turn has to be. A turn of a worker goes on where it can, since the instance has to; here every turn of
//! the history must leave nothing open: what the code asks for is confirmed before the next turn begins, and the code ends
//! where the history does.

use durabletask_core::error::Error;
use durabletask_core::wire::{Corrupt, Event, EventType};
use durabletask_proto as pb;
use durabletask_proto::prost::Message;
use pb::orchestrator_action::OrchestratorActionType;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::answer::respond;
use super::executor::named;
use super::log::Log;
use super::recorded::{Recorded, Unreadable};
use super::stalled::Mismatch;
use super::stop::Stop;
use super::surroundings::OwnContext;
use super::turn::Turn;
use crate::context::RuntimeContext;
use crate::tasks::Following;
use crate::{failures, python};

/// `(kind, message, event_index, event_id, where the orchestrator stands)`; `kind` is "non-deterministic" or "failed".
type Finding = (&'static str, String, Option<usize>, Option<i32>, Option<String>);

/// `(instance_id, orchestrator, number of events, what is wrong)`
type Checked = (String, String, usize, Option<Finding>);

/// Replays a serialized `GetInstanceHistoryResponse`, `OrchestratorRequest` or `WorkItem` with the code of `registry`.
/// `new_context(instance_id)` makes the context; `semantics` names the release that is followed. Bytes that are no history raise `HistoryFormatError`.
#[pyfunction]
#[pyo3(signature = (registry, new_context, data, semantics="0.17"))]
pub(super) fn check_history(
    registry: &Bound<'_, PyAny>,
    new_context: &Bound<'_, PyAny>,
    data: &Bound<'_, PyBytes>,
    semantics: &str,
) -> PyResult<Checked> {
    let py = data.py();
    let semantics = named(semantics)?;
    let _following = Following::release(semantics);
    let history = Recorded::decode(data.as_bytes()).map_err(|error| format_error(py, error))?;
    let context = new_context.call1((PyString::new(py, &history.instance_id),))?.cast_into::<RuntimeContext>()?;
    context.get().lock(py).orchestration.set_semantics(semantics);
    let log = Log::new(py.None().into_bound(py));
    let turn = Turn::new(registry, &log, context.clone(), OwnContext::of_the_thread(py)?, None);
    let entered = turn.enter()?;
    let mut check = Check { py, turn, context, history: &history, broken: None };
    let run = check.run();
    drop((check, entered));
    let finding = match run {
        Ok(()) => None,
        Err(Verdict::Found(finding)) => Some(*finding),
        Err(Verdict::Corrupt(corrupt)) => return Err(format_error(py, corrupt.into())),
        Err(Verdict::Raised(error)) => return Err(error),
    };
    Ok((history.instance_id, history.name, history.events.len(), finding))
}

fn format_error(py: Python<'_>, error: Unreadable) -> PyErr {
    let class = match python::HISTORY_FORMAT_ERROR.get(py) {
        Ok(class) => class,
        Err(error) => return error,
    };
    class.call1((error.problem, error.offset)).map_or_else(|error| error, PyErr::from_value)
}

enum Verdict {
    Found(Box<Finding>),
    Corrupt(Corrupt),
    Raised(PyErr),
}

impl From<PyErr> for Verdict {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<Corrupt> for Verdict {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

struct Check<'a, 'py> {
    py: Python<'py>,
    turn: Turn<'a, 'py>,
    context: Bound<'py, RuntimeContext>,
    history: &'a Recorded<'a>,
    /// What the orchestrator has failed with, and the event at which it did.
    broken: Option<(pb::TaskFailureDetails, usize)>,
}

impl Check<'_, '_> {
    fn run(&mut self) -> Result<(), Verdict> {
        let history = self.history;
        // The worker of a stalled turn did not have the code; the turn is played again later.
        let mut stalled = false;
        for (index, event) in history.events.iter().enumerate() {
            match event.event_type {
                EventType::OrchestratorStarted => {
                    if !stalled {
                        self.turn_ends(index)?;
                    }
                    stalled = false;
                }
                EventType::ExecutionStalled => stalled = true,
                EventType::ExecutionCompleted => return self.compare_ends(index, event),
                EventType::EventSent if self.sent_at_the_end(event) => {}
                EventType::TaskScheduled
                | EventType::TimerCreated
                | EventType::SubOrchestrationInstanceCreated
                | EventType::EventSent => self.still_running(index, event)?,
                _ => {}
            }
            if index == history.past {
                self.context.get().set_replaying(self.py, false);
            }
            self.apply(index, event)?;
        }
        if history.past == history.events.len() {
            return if stalled { Ok(()) } else { self.turn_ends(history.events.len()) };
        }
        match &self.broken {
            Some((details, index)) => Err(failed(details, *index, "in the turn that the history was taken from")),
            None => Ok(()),
        }
    }

    fn apply(&mut self, index: usize, event: &Event<'_>) -> Result<(), Verdict> {
        if self.broken.is_some() {
            return Ok(());
        }
        let applied = self.context.get().lock(self.py).orchestration.apply(event);
        if let Err(Error::NonDeterminism(parted)) = &applied {
            return Err(self.found(parted.to_string(), index, Some(parted.event_id)));
        }
        let mut result = self.turn.take(applied);
        if result.is_ok() && self.context.get().lock(self.py).orchestration.has_released() {
            result = self.turn.apply_released();
        }
        let details = match result {
            Ok(()) => return Ok(()),
            Err(Stop::Corrupt(corrupt)) => return Err(corrupt.into()),
            // An event that had to wait can part from the code too.
            Err(Stop::Unfit(Mismatch::NonDeterminism, error)) => {
                return Err(self.found(error.value(self.py).to_string(), index, None));
            }
            Err(Stop::Failed(error) | Stop::Raised(error))
                if failures::ends_more_than_the_orchestrator(self.py, &error) =>
            {
                return Err(Verdict::Raised(error));
            }
            Err(Stop::Failed(error) | Stop::Raised(error) | Stop::Unfit(Mismatch::Orchestrator, error)) => {
                failures::details(self.py, &error)
            }
            Err(Stop::Unfit(Mismatch::Version, _)) => {
                let state = self.context.get().lock(self.py);
                let version = state.orchestration.version_from_history().unwrap_or_default();
                let error_message = format!(
                    "version '{version}' of '{}', which the history asks for, is not registered",
                    self.history.name
                );
                let error_type = "VersionNotRegisteredException".to_owned();
                pb::TaskFailureDetails { error_type, error_message, ..Default::default() }
            }
        };
        self.context.get().lock(self.py).orchestration.fail(details.clone());
        self.broken = Some((details, index));
        Ok(())
    }

    /// The turn before event `index` is over, and the history says nothing of an end.
    fn turn_ends(&self, index: usize) -> Result<(), Verdict> {
        if let Some((details, at)) = &self.broken {
            return Err(failed(details, *at, "where the history goes on"));
        }
        let (complete, open): (_, Vec<_>) = {
            let orchestration = &self.context.get().lock(self.py).orchestration;
            (orchestration.is_complete(), orchestration.unconfirmed().take(4).collect())
        };
        let after = || match index.checked_sub(1) {
            Some(last) => format!("the turn that ends with event {last}"),
            None => "the beginning".to_owned(),
        };
        if complete {
            let message = format!(
                "{}: history and code disagree after {}: a previous execution had not ended by then, but the current code has \
                 ended.",
                self.history.instance_id,
                after()
            );
            return Err(self.found(message, index, None));
        }
        let Some((first, _)) = open.first() else { return Ok(()) };
        let calls: Vec<_> = open.iter().take(3).map(|(id, call)| format!("{call} with ID={id}")).collect();
        let message = format!(
            "{}: history and code disagree after {}: the current code called {}{}, which a previous execution did not do.",
            self.history.instance_id,
            after(),
            calls.join(", "),
            if open.len() > calls.len() { ", …" } else { "" }
        );
        Err(self.found(message, index, Some(*first)))
    }

    /// Events are sent also in the turn that ends an execution, under ids before that of its end.
    fn sent_at_the_end(&self, event: &Event<'_>) -> bool {
        let orchestration = &self.context.get().lock(self.py).orchestration;
        orchestration.is_complete() && event.id < orchestration.sequence()
    }

    /// An execution that has ended asks for nothing; the engine lets the confirmation pass, the history knows better.
    fn still_running(&self, index: usize, event: &Event<'_>) -> Result<(), Verdict> {
        if let Some((details, at)) = &self.broken {
            return Err(failed(details, *at, "where the history goes on"));
        }
        if !self.context.get().lock(self.py).orchestration.is_complete() {
            return Ok(());
        }
        let message = format!(
            "{}: history and code disagree at event {index} (ID={id}): a previous execution went on with {} (ID={id}), but \
             the current code has ended.",
            self.history.instance_id,
            event.event_type.name().unwrap_or_default(),
            id = event.id
        );
        Err(self.found(message, index, Some(event.id)))
    }

    /// The history ends with event `index`; so must the code, and in the same way.
    fn compare_ends(&self, index: usize, event: &Event<'_>) -> Result<(), Verdict> {
        let Some(recorded) = completion(event) else { return Ok(()) };
        let ended = self.context.get().lock(self.py).orchestration.is_complete();
        if !ended {
            let message = format!(
                "{}: history and code disagree at event {index} (ID={}): a previous execution ended as {}, but the current \
                 code goes on.",
                self.history.instance_id,
                event.id,
                failures::status(recorded.orchestration_status)
            );
            return Err(self.found(message, index, Some(event.id)));
        }
        let Some(today) = self.end_today()? else { return Ok(()) };
        let failed_as = pb::OrchestrationStatus::Failed as i32;
        if today.orchestration_status == failed_as {
            let details = today.failure_details.unwrap_or_default();
            let at = self.broken.as_ref().map_or(index, |(_, at)| *at);
            let before = recorded.failure_details.unwrap_or_default();
            if recorded.orchestration_status != failed_as {
                let instead = format!("where the history ends as {}", failures::status(recorded.orchestration_status));
                return Err(failed(&details, at, &instead));
            }
            if (&before.error_type, &before.error_message) != (&details.error_type, &details.error_message) {
                let instead = format!("where the history ends with {}: {}", before.error_type, before.error_message);
                return Err(failed(&details, at, &instead));
            }
            return Ok(());
        }
        if today.orchestration_status != recorded.orchestration_status {
            let message = format!(
                "{}: history and code disagree at event {index} (ID={}): a previous execution ended as {}{}, but the current \
                 code ends as {}.",
                self.history.instance_id,
                event.id,
                failures::status(recorded.orchestration_status),
                recorded
                    .failure_details
                    .map(|details| format!(" ({}: {})", details.error_type, details.error_message))
                    .unwrap_or_default(),
                failures::status(today.orchestration_status)
            );
            return Err(self.found(message, index, Some(event.id)));
        }
        Ok(())
    }

    /// How the code ends, with its result encoded, since that may fail.
    fn end_today(&self) -> PyResult<Option<pb::CompleteOrchestrationAction>> {
        let response = respond(self.py, self.context.get(), "")?;
        Ok(response.actions.into_iter().find_map(|action| match action.orchestrator_action_type {
            Some(OrchestratorActionType::CompleteOrchestration(complete)) => Some(complete),
            _ => None,
        }))
    }

    fn found(&self, message: String, index: usize, id: Option<i32>) -> Verdict {
        let stands_at = failures::stands_at(self.py, self.turn.routine());
        Verdict::Found(Box::new(("non-deterministic", message, Some(index), id, stands_at)))
    }
}

fn failed(details: &pb::TaskFailureDetails, index: usize, instead: &str) -> Verdict {
    let trace = details.stack_trace.as_deref().unwrap_or_default().trim_end();
    let message = format!(
        "the orchestrator failed at event {index}, {instead}, with {}: {}{}{trace}",
        details.error_type,
        details.error_message,
        if trace.is_empty() { "" } else { "\n" }
    );
    Verdict::Found(Box::new(("failed", message, Some(index), None, None)))
}

fn completion(event: &Event<'_>) -> Option<pb::ExecutionCompletedEvent> {
    match pb::HistoryEvent::decode(event.raw().bytes).ok()?.event_type {
        Some(pb::history_event::EventType::ExecutionCompleted(completed)) => Some(completed),
        _ => None,
    }
}
