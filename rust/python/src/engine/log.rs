//! What the engine has to say to people: through the worker's logger, and only where a level asks for it.

use pyo3::intern;
use pyo3::prelude::*;

use crate::context::RuntimeContext;

const DEBUG: u8 = 10;
const INFO: u8 = 20;
const WARNING: u8 = 30;

/// A `logging.Logger`, or none.
pub(super) struct Log<'py> {
    logger: Option<Bound<'py, PyAny>>,
}

impl<'py> Log<'py> {
    pub(super) fn new(logger: Bound<'py, PyAny>) -> Self {
        Self { logger: (!logger.is_none()).then_some(logger) }
    }

    fn write(&self, level: u8, message: impl FnOnce() -> String) -> PyResult<()> {
        let Some(logger) = &self.logger else { return Ok(()) };
        let py = logger.py();
        if logger.call_method1(intern!(py, "isEnabledFor"), (level,))?.is_truthy()? {
            logger.call_method1(intern!(py, "log"), (level, "%s", message()))?;
        }
        Ok(())
    }

    /// Calls of the replayed past that the past does not know: the code was changed.
    pub(super) fn unconfirmed(&self, context: &Bound<'_, RuntimeContext>) -> PyResult<()> {
        let calls: Vec<_> = {
            let orchestration = &context.get().lock(context.py()).orchestration;
            if !orchestration.has_unconfirmed() {
                return Ok(());
            }
            orchestration.unconfirmed().map(|(id, call)| format!("{call} with ID={id}")).take(5).collect()
        };
        self.write(WARNING, || {
            format!(
                "{}: the orchestrator makes calls that its history should have confirmed and does not ({}{}); its code may \
                 have been changed since this instance started. The calls are made now.",
                context.get().lock(context.py()).orchestration.instance_id(),
                calls.join(", "),
                if calls.len() == 5 { ", …" } else { "" }
            )
        })
    }

    /// A completion that nobody waits for.
    pub(super) fn unexpected_completion(
        &self,
        context: &Bound<'_, RuntimeContext>,
        event: &str,
        id: i32,
    ) -> PyResult<()> {
        self.write(WARNING, || {
            let state = context.get().lock(context.py());
            let instance_id = state.orchestration.instance_id();
            format!("{instance_id}: no call with ID={id} waits for this {event} event; it is kept in case the call is made later")
        })
    }

    /// A completion of something that the execution before had asked for.
    pub(super) fn stale_completion(&self, context: &Bound<'_, RuntimeContext>, event: &str, id: i32) -> PyResult<()> {
        self.write(WARNING, || {
            let state = context.get().lock(context.py());
            let instance_id = state.orchestration.instance_id();
            format!(
                "{instance_id}: a {event} event names ID={id}, and belongs to another call than the one that waits under that \
                 ID; it was left over when the orchestration continued as new, and is ignored"
            )
        })
    }

    /// The turn's end.
    pub(super) fn turn_ended(&self, context: &Bound<'_, RuntimeContext>, actions: usize) -> PyResult<()> {
        let (instance_id, complete) = {
            let orchestration = &context.get().lock(context.py()).orchestration;
            (orchestration.instance_id().clone(), orchestration.is_complete())
        };
        if complete {
            self.write(INFO, || format!("{instance_id}: the orchestration has ended"))
        } else {
            self.write(DEBUG, || {
                let (tasks, events) = context.get().lock(context.py()).orchestration.outstanding();
                format!("{instance_id}: {actions} actions; waiting for {tasks} tasks and {events} external events")
            })
        }
    }
}
