//! What a context holds, as Python's collector of cycles is told.
//!
//! An orchestrator's own object that keeps its context and calls its own methods (`ctx.call_activity(self.step)`) is held by
//! the context, which remembers the method.

use durabletask_core::{Held, Orchestration};
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::convert::Memory;
use super::{ConfirmedAhead, RuntimeContext, State};

impl RuntimeContext {
    /// Visits all that can be part of a cycle. Texts can not.
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(reader) = self.reader.peek(visit) {
            visit.call(reader)?;
        }
        // While the state is borrowed, what it holds counts as alive.
        let Some(state) = self.state.peek(visit) else { return Ok(()) };
        for object in state.names.objects().chain(state.policies.objects()) {
            visit.call(object)?;
        }
        if let Some(decoded) = state.propagated.as_ref().and_then(|propagated| propagated.decoded.as_ref()) {
            visit.call(decoded)?;
        }
        visit.call(&state.zone)?;
        state.orchestration.visit_held(&mut |held| match held {
            Held::Task(task) => visit.call(&**task),
            Held::Input(input) => visit.call(&**input),
        })
    }

    /// Lets go of it. What is left of the context is as it was before its first event.
    #[allow(unsafe_code, reason = "only the collector may take what was set once")]
    pub(super) fn clear(&self, py: Python<'_>) {
        // SAFETY: the collector has found this context in a dead cycle, and asks.
        let reader = unsafe { self.reader.clear(py) };
        let state = {
            let state = &mut *self.lock(py);
            let empty = State {
                orchestration: Orchestration::new(state.orchestration.instance_id()),
                names: Memory::new(),
                policies: Memory::new(),
                confirmed_ahead: ConfirmedAhead::default(),
                propagated: None,
                zone: None,
            };
            std::mem::replace(state, empty)
        };
        drop((reader, state));
    }
}
