//! What the engine has to say to people: through the worker's logger, and only where a level asks for it.
//!
//! No line is worth a turn: what a logger's filters and handlers raise goes where Python says what nobody can be told.

use std::time::Duration;

use durabletask_core::{FailedAttempt, status_name};
use durabletask_proto as pb;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::context::RuntimeContext;
use crate::failures;

const DEBUG: u8 = 10;
const INFO: u8 = 20;
const WARNING: u8 = 30;
const ERROR: u8 = 40;

/// Calls that a line names, at most.
pub(super) const FEW_CALLS: usize = 5;

/// A `logging.Logger`, or none.
pub(super) struct Log<'py> {
    logger: Option<Bound<'py, PyAny>>,
}

/// Whom a line is about; its record has both as fields.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) instance_id: &'a str,
    /// The orchestrator; "" where it is not known.
    pub(super) name: &'a str,
}

impl<'py> Log<'py> {
    pub(super) fn new(logger: Bound<'py, PyAny>) -> Self {
        Self { logger: (!logger.is_none()).then_some(logger) }
    }

    fn write(&self, level: u8, about: About<'_>, message: impl FnOnce() -> String) -> PyResult<()> {
        self.write_with(level, about, |_| Ok(()), message)
    }

    /// The same with more fields in the record.
    fn write_with(
        &self,
        level: u8,
        about: About<'_>,
        more: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
        message: impl FnOnce() -> String,
    ) -> PyResult<()> {
        let Some(logger) = &self.logger else { return Ok(()) };
        let py = logger.py();
        match write(logger, level, about, more, message) {
            Err(error)
                if error.is_instance_of::<PyException>(py)
                    && !failures::ends_more_than_the_orchestrator(py, &error) =>
            {
                error.write_unraisable(py, Some(logger));
                Ok(())
            }
            written => written,
        }
    }

    /// An execution begins.
    pub(super) fn started(&self, about: About<'_>) -> PyResult<()> {
        self.write(INFO, about, || format!("{}: the orchestration '{}' has started", about.instance_id, about.name))
    }

    /// Calls of the replayed past that the past does not know: the code was changed.
    pub(super) fn unconfirmed(&self, context: &Bound<'_, RuntimeContext>, about: About<'_>) -> PyResult<()> {
        let calls: Vec<_> = {
            let orchestration = &context.get().lock(context.py()).orchestration;
            if !orchestration.has_unconfirmed() {
                return Ok(());
            }
            orchestration.unconfirmed().map(|(id, call)| format!("{call} with ID={id}")).take(FEW_CALLS).collect()
        };
        self.write(WARNING, about, || {
            format!(
                "{}: the orchestrator makes calls that its history should have confirmed and does not ({}); its code may \
                 have been changed since this instance started. The calls are made now.",
                about.instance_id,
                listed(&calls)
            )
        })
    }

    /// The orchestrator has returned, and takes with it what it has just called and never waited for.
    pub(super) fn never_waited_for(&self, about: About<'_>, calls: &[String], place: Option<String>) -> PyResult<()> {
        self.write(WARNING, about, || {
            format!(
                "{}: the orchestrator '{}' returned{} without having waited for what it called last ({}), which is \
                 therefore not done: yield (or await) every task, several at once with when_all.",
                about.instance_id,
                about.name,
                place.map_or_else(String::new, |place| format!(", at {place},")),
                listed(calls)
            )
        })
    }

    /// A completion that nobody waits for.
    pub(super) fn unexpected_completion(&self, about: About<'_>, event: &str, id: i32) -> PyResult<()> {
        self.write(WARNING, about, || {
            let instance_id = about.instance_id;
            format!("{instance_id}: no call with ID={id} waits for this {event} event; it is kept in case the call is made later")
        })
    }

    /// A completion of something that the execution before had asked for.
    pub(super) fn stale_completion(&self, about: About<'_>, event: &str, id: i32) -> PyResult<()> {
        self.write(WARNING, about, || {
            let instance_id = about.instance_id;
            format!(
                "{instance_id}: a {event} event names ID={id}, and belongs to another call than the one that waits under that \
                 ID; it was left over when the orchestration continued as new, and is ignored"
            )
        })
    }

    /// An attempt of a call that has a retry policy. Who ran it has told of it, if it was here, and knew its number.
    pub(super) fn attempt_failed(&self, about: About<'_>, attempt: &FailedAttempt<'_>) -> PyResult<()> {
        let next = attempt.next.map(|next| format!("{next}Z"));
        let fields = |fields: &Bound<'_, PyDict>| {
            if attempt.is_activity {
                fields.set_item("activity", &*attempt.name)?;
            }
            fields.set_item("task_id", attempt.task_id)?;
            fields.set_item("attempt", attempt.attempt)?;
            fields.set_item("max_attempts", attempt.max_attempts)?;
            fields.set_item("next_attempt_at", &next)
        };
        self.write_with(if attempt.told { INFO } else { WARNING }, about, fields, || {
            format!(
                "{}: attempt {} of {} at {} '{}' (task #{}) has failed with {}: {}; {}",
                about.instance_id,
                attempt.attempt,
                attempt.max_attempts,
                if attempt.is_activity { "the activity" } else { "the sub-orchestration" },
                attempt.name,
                attempt.task_id,
                attempt.error_type,
                attempt.message,
                match &next {
                    Some(next) => format!("the next one is at {next}"),
                    None => "there is no next one".to_owned(),
                }
            )
        })
    }

    /// A turn that kept its thread for long.
    pub(super) fn long_turn(&self, about: About<'_>, took: Duration, place: &str) -> PyResult<()> {
        self.write(WARNING, about, || {
            format!(
                "{}: a turn of '{}' took {:.1} s, in which its thread ran nothing else. Whatever takes long, or waits for \
                 something else than tasks, belongs in an activity.{place}",
                about.instance_id,
                about.name,
                took.as_secs_f64()
            )
        })
    }

    /// The turn's end.
    pub(super) fn turn_ended(
        &self,
        context: &Bound<'_, RuntimeContext>,
        about: About<'_>,
        response: &pb::OrchestratorResponse,
    ) -> PyResult<()> {
        let About { instance_id, name } = about;
        let Some(complete) = failures::completion(response) else {
            return self.write(DEBUG, about, || {
                let (tasks, events) = context.get().lock(context.py()).orchestration.outstanding();
                let actions = response.actions.len();
                format!("{instance_id}: {actions} actions; waiting for {tasks} tasks and {events} external events")
            });
        };
        match &complete.failure_details {
            Some(details) => self.write(ERROR, about, || {
                format!(
                    "{instance_id}: the orchestration '{name}' has failed with {}: {}\n{}",
                    details.error_type,
                    details.error_message,
                    details.stack_trace.as_deref().unwrap_or_default()
                )
                .trim_end()
                .to_owned()
            }),
            None => self.write(INFO, about, || {
                let status = status_name(complete.orchestration_status);
                format!("{instance_id}: the orchestration '{name}' has ended with status {status}")
            }),
        }
    }
}

fn write(
    logger: &Bound<'_, PyAny>,
    level: u8,
    about: About<'_>,
    more: impl FnOnce(&Bound<'_, PyDict>) -> PyResult<()>,
    message: impl FnOnce() -> String,
) -> PyResult<()> {
    let py = logger.py();
    if !logger.call_method1(intern!(py, "isEnabledFor"), (level,))?.is_truthy()? {
        return Ok(());
    }
    let fields = PyDict::new(py);
    fields.set_item(intern!(py, "instance_id"), about.instance_id)?;
    fields.set_item(intern!(py, "orchestration"), about.name)?;
    more(&fields)?;
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "extra"), fields)?;
    logger.call_method(intern!(py, "log"), (level, "%s", message()), Some(&keywords))?;
    Ok(())
}

fn listed(calls: &[String]) -> String {
    format!("{}{}", calls.join(", "), if calls.len() >= FEW_CALLS { ", …" } else { "" })
}
