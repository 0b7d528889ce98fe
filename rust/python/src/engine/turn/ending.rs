//! The end of the user's code: its result, and what it leaves undone.

use durabletask_core::error::Method;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::super::log::FEW_CALLS;
use super::{Stop, Turn};
use crate::{failures, payload};

impl Turn<'_, '_> {
    /// The user's code has returned.
    pub(super) fn complete(&self, result: &Bound<'_, PyAny>) -> Result<(), Stop> {
        let context = self.context.get();
        if context.lock(self.py).orchestration.is_complete() {
            return Ok(());
        }
        let json = if result.is_none() { None } else { Some(self.encode_result(result)?) };
        if !context.lock(self.py).orchestration.is_replaying() {
            self.notice_lost_calls()?;
        }
        context.lock(self.py).orchestration.complete(json);
        Ok(())
    }

    fn encode_result(&self, result: &Bound<'_, PyAny>) -> PyResult<String> {
        payload::encode(result).map_err(|error| match payload::not_waited_for(result) {
            Some(error) => {
                let place =
                    self.ended_at().map_or_else(String::new, |place| format!(" The orchestrator returned at {place}"));
                PyTypeError::new_err(format!("{}{place}", error.value(self.py)))
            }
            None => error,
        })
    }

    /// What was called in this turn is not asked for by an orchestrator that has ended.
    fn notice_lost_calls(&self) -> PyResult<()> {
        let calls: Vec<_> = {
            let orchestration = &self.context.get().lock(self.py).orchestration;
            let calls = orchestration.unconfirmed().filter(|(_, call)| call.method != Method::SendEvent);
            calls.map(|(id, call)| format!("{call} with ID={id}")).take(FEW_CALLS).collect()
        };
        if calls.is_empty() { Ok(()) } else { self.log.never_waited_for(self.about(), &calls, self.ended_at()) }
    }

    /// The line at which the user's code returned, or at which it begins.
    fn ended_at(&self) -> Option<String> {
        let frame = self.routine.as_ref().and_then(|routine| routine.frame.as_ref());
        failures::ended_at(self.py, frame, self.function.as_ref())
    }
}
