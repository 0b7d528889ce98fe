//! `check_history`: does today's code still do what a recorded history says?
//!
//! `durabletask_core::check` has the rules; the code runs here.

use durabletask_core::check::{self, Finding as Found, Next};
use durabletask_core::error::Error;
use durabletask_core::history::{Recorded, Unreadable};
use durabletask_core::wire::{Corrupt, Event};
use durabletask_proto as pb;
use pb::orchestrator_action::OrchestratorActionType;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::answer::respond;
use super::executor::named;
use super::log::Log;
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
    let rules = check::Check::new(&history);
    let mut check = Check { py, turn, context, history: &history, rules };
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
    rules: check::Check<'a>,
}

impl Check<'_, '_> {
    fn run(&mut self) -> Result<(), Verdict> {
        let history = self.history;
        for (index, event) in history.events.iter().enumerate() {
            let next = self.rules.before(index, event, &self.context.get().lock(self.py).orchestration);
            let next = next.map_err(|found| self.found(found))?;
            if next == Next::End {
                return self.compare_ends(index, event);
            }
            if index == history.past {
                self.context.get().set_replaying(self.py, false);
            }
            if next == Next::Apply {
                self.apply(index, event)?;
            }
        }
        let left = self.rules.after_all(&self.context.get().lock(self.py).orchestration);
        left.map_err(|found| self.found(found))
    }

    fn apply(&mut self, index: usize, event: &Event<'_>) -> Result<(), Verdict> {
        let applied = self.context.get().lock(self.py).orchestration.apply(event);
        if let Err(Error::NonDeterminism(parted)) = &applied {
            return Err(self.found(check::Check::parted(index, parted)));
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
                let message = error.value(self.py).to_string();
                let found = Found { failed: false, message, event_index: index, event_id: None };
                return Err(self.found(found));
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
        self.rules.failed(index, details);
        Ok(())
    }

    /// The history ends with event `index`; so must the code, and in the same way.
    fn compare_ends(&self, index: usize, event: &Event<'_>) -> Result<(), Verdict> {
        let ends = self.rules.ends(index, event, &self.context.get().lock(self.py).orchestration);
        let Some(recorded) = ends.map_err(|found| self.found(found))? else { return Ok(()) };
        let Some(today) = self.end_today()? else { return Ok(()) };
        self.rules.compare(index, event, recorded, today).map_err(|found| self.found(found))
    }

    /// How the code ends, with its result encoded, since that may fail.
    fn end_today(&self) -> PyResult<Option<pb::CompleteOrchestrationAction>> {
        let response = respond(self.py, self.context.get(), "")?;
        Ok(response.actions.into_iter().find_map(|action| match action.orchestrator_action_type {
            Some(OrchestratorActionType::CompleteOrchestration(complete)) => Some(complete),
            _ => None,
        }))
    }

    fn found(&self, found: Found) -> Verdict {
        let Found { failed, message, event_index, event_id } = found;
        let (kind, stands_at) = if failed {
            ("failed", None)
        } else {
            ("non-deterministic", failures::stands_at(self.py, self.turn.routine()))
        };
        Verdict::Found(Box::new((kind, message, Some(event_index), event_id, stands_at)))
    }
}
