//! The user's code between two tasks: a generator or a coroutine, and what becomes of it between turns.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use pyo3::{PyTraverseError, PyVisit};

use super::surroundings::OwnContext;
use crate::python;

/// The user's code while it is driven.
pub(super) struct Routine<'py> {
    pub(super) iterator: Bound<'py, PyIterator>,
    /// A generator is sent the results of what it yields; a coroutine's awaiters fetch them themselves.
    pub(super) takes_results: bool,
    /// Where it stands, also when it has ended.
    pub(super) frame: Option<Bound<'py, PyAny>>,
}

impl<'py> Routine<'py> {
    /// The routine behind what an orchestrator function returned; `None` if that is its result already.
    pub(super) fn of(returned: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        if python::GENERATOR_TYPE.is_instance(returned)? {
            let iterator = returned.cast::<PyIterator>()?.clone();
            let frame = returned.getattr(intern!(returned.py(), "gi_frame"))?;
            return Ok(Some(Self { iterator, takes_results: true, frame: Some(frame) }));
        }
        if python::COROUTINE_TYPE.is_instance(returned)? {
            let iterator = returned.call_method0(intern!(returned.py(), "__await__"))?.cast_into::<PyIterator>()?;
            let frame = returned.getattr(intern!(returned.py(), "cr_frame"))?;
            return Ok(Some(Self { iterator, takes_results: false, frame: Some(frame) }));
        }
        Ok(None)
    }

    /// Ends the code where it waits, and lets go of what it holds. There is nobody to tell what its `finally` blocks raise.
    pub(super) fn close(self) {
        let py = self.iterator.py();
        if let Err(error) = self.iterator.call_method0(intern!(py, "close")) {
            error.write_unraisable(py, Some(&self.iterator));
        }
    }
}

/// The user's code between two turns, with its context variables. When it is not to go on, it is closed: its `finally`
/// blocks find the variables they had, whichever thread lets go of it.
#[derive(Debug)]
pub(super) struct Paused {
    iterator: Py<PyIterator>,
    takes_results: bool,
    frame: Option<Py<PyAny>>,
    variables: OwnContext,
    goes_on: bool,
}

impl Paused {
    pub(super) fn new(routine: Routine<'_>, variables: OwnContext) -> Self {
        let Routine { iterator, takes_results, frame } = routine;
        let frame = frame.map(Bound::unbind);
        Self { iterator: iterator.unbind(), takes_results, frame, variables, goes_on: false }
    }

    /// Takes the code up again.
    pub(super) fn resume(mut self, py: Python<'_>) -> (Routine<'_>, OwnContext) {
        self.goes_on = true;
        (self.routine(py), self.variables.clone_ref(py))
    }

    /// Visits what it holds, for Python's collector of cycles.
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.iterator)?;
        visit.call(&self.frame)?;
        self.variables.visit(visit)
    }

    fn routine<'py>(&self, py: Python<'py>) -> Routine<'py> {
        Routine {
            iterator: self.iterator.bind(py).clone(),
            takes_results: self.takes_results,
            frame: self.frame.as_ref().map(|frame| frame.bind(py).clone()),
        }
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if self.goes_on {
            return;
        }
        // Without an interpreter, there is nobody to run what would run.
        Python::try_attach(|py| match self.variables.enter(py) {
            Ok(_entered) => self.routine(py).close(),
            Err(error) => error.write_unraisable(py, None),
        });
    }
}
