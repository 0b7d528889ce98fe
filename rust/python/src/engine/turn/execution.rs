//! What becomes of a turn until the next one.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::super::holdings::Holdings;
use super::super::log::Log;
use super::super::routine::Paused;
use super::super::trace::Trace;
use super::Turn;
use crate::context::RuntimeContext;
use crate::tasks::Task;

/// What a task that is waited for takes, the object in Python and the list that it is in.
const TASK_BYTES: usize = 128;

/// An orchestrator between two turns: its state, its code where it waits, and the task that it waits for.
#[derive(Debug)]
pub(in super::super) struct Execution {
    pub(in super::super) context: Py<RuntimeContext>,
    paused: Paused,
    awaited: Py<Task>,
    name: Box<str>,
    trace: Option<Box<Trace>>,
    /// What its state takes, what it keeps of others' histories, and what its code holds.
    pub(in super::super) bytes: usize,
    holdings: Holdings,
}

impl Execution {
    /// Visits what it holds, for Python's collector of cycles.
    pub(in super::super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.context)?;
        visit.call(&self.awaited)?;
        self.paused.visit(visit)
    }
}

impl<'a, 'py> Turn<'a, 'py> {
    /// Of an orchestrator that has lived through earlier turns.
    pub(in super::super) fn resumed(registry: &'a Bound<'py, PyAny>, log: &'a Log<'py>, execution: Execution) -> Self {
        let py = registry.py();
        let context = execution.context.into_bound(py);
        context.get().set_replaying(py, true);
        let (routine, variables) = execution.paused.resume(py);
        let awaited = Some(execution.awaited.into_bound(py));
        let Execution { name, trace, holdings, .. } = execution;
        let (function, routine) = (None, Some(routine));
        Self { py, registry, log, context, variables, name, function, routine, awaited, holdings, trace }
    }

    /// What is left when the turn is over, if the orchestrator waits for something and can go on from here.
    pub(in super::super) fn into_execution(mut self) -> Option<Execution> {
        let (routine, awaited) = (self.routine?, self.awaited?);
        let state_bytes = {
            let orchestration = &mut self.context.get().lock(self.py).orchestration;
            orchestration.goes_on().then(|| orchestration.rest() + orchestration.outstanding().0 * TASK_BYTES)
        };
        let Some(state_bytes) = state_bytes else {
            routine.close();
            return None;
        };
        let handed = self.context.get().handed();
        let held = self.holdings.bytes(self.py, handed, [routine.iterator.as_any(), awaited.as_any()]);
        Some(Execution {
            bytes: state_bytes + self.context.get().propagated_bytes(self.py) + held,
            holdings: self.holdings,
            context: self.context.unbind(),
            paused: Paused::new(routine, self.variables),
            awaited: awaited.unbind(),
            name: self.name,
            trace: self.trace,
        })
    }
}
