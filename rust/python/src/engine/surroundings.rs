//! Context variables: every execution has a `contextvars.Context` of its own, entered once a turn.
//!
//! Turns run on whichever thread is free, one instance's after another's. Without a context of its own, an orchestrator
//! would find the variables (and the decimal context, which is one) of whoever had the thread before, and leave its own.

#![allow(unsafe_code, reason = "PyO3 has no safe way to enter a context")]

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};

/// What executions begin with: a copy of the context in which the worker was started.
pub(super) struct Surroundings {
    base: Py<PyAny>,
    /// Variables that hold decimal contexts, as `decimal` keeps them. Unlike other values these are changed in place
    /// (`getcontext().prec = 4`), so that a copy of the variables alone would be shared.
    decimals: Vec<(Py<PyAny>, Py<PyAny>)>,
}

/// The variables of one execution.
#[derive(Debug)]
pub(super) struct OwnContext(Py<PyAny>);

/// A context that the thread is in until this is dropped.
pub(super) struct Entered<'py>(Bound<'py, PyAny>);

impl Surroundings {
    /// Of a context; `None` is the one that the thread is in.
    pub(super) fn of(py: Python<'_>, context: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let base = match context {
            None => current(py)?,
            Some(context) if is_context(context) => copy(context)?,
            Some(other) => {
                let class = other.get_type();
                let name = class.name().map_or_else(|_| "an object".to_owned(), |name| name.to_string());
                return Err(PyTypeError::new_err(format!("context takes a contextvars.Context, found {name}")));
            }
        };
        let decimals = decimal_contexts(&base)?;
        Ok(Self { base: base.unbind(), decimals })
    }

    /// The variables of an execution that begins.
    pub(super) fn fresh(&self, py: Python<'_>) -> PyResult<OwnContext> {
        let context = copy(self.base.bind(py))?;
        for (variable, value) in &self.decimals {
            let value = value.bind(py).call_method0(intern!(py, "copy"))?;
            let set = variable.bind(py).getattr(intern!(py, "set"))?;
            context.call_method1(intern!(py, "run"), (set, value))?;
        }
        Ok(OwnContext(context.unbind()))
    }

    /// Visits what it holds, for Python's collector of cycles.
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.base)?;
        for (variable, value) in &self.decimals {
            visit.call(variable)?;
            visit.call(value)?;
        }
        Ok(())
    }
}

impl OwnContext {
    /// Visits what it holds, for Python's collector of cycles.
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }

    /// Of code that runs in nobody's turn: a copy of the context that the thread is in.
    pub(super) fn of_the_thread(py: Python<'_>) -> PyResult<Self> {
        Ok(Self(current(py)?.unbind()))
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self(self.0.clone_ref(py))
    }

    /// Puts the calling thread into the context. It can not be in there already: an execution is in one thread's hands at a
    /// time, and no code can get at the context but through the execution.
    pub(super) fn enter<'py>(&self, py: Python<'py>) -> PyResult<Entered<'py>> {
        let context = self.0.bind(py).clone();
        // SAFETY: the object is a context, which only `copy` and `current` make here.
        match unsafe { ffi::PyContext_Enter(context.as_ptr()) } {
            0 => Ok(Entered(context)),
            _ => Err(PyErr::fetch(py)),
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        // SAFETY: as above.
        if unsafe { ffi::PyContext_Exit(self.0.as_ptr()) } != 0 {
            PyErr::fetch(self.0.py()).write_unraisable(self.0.py(), Some(&self.0));
        }
    }
}

fn is_context(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: any object can be asked.
    unsafe { ffi::PyContext_CheckExact(object.as_ptr()) != 0 }
}

fn copy<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: it is a context; what comes back is new, or null with an exception.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr())) }
}

fn current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: what comes back is new, or null with an exception.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// Copies of the decimal contexts in `context`. There are none before somebody has imported `decimal`.
fn decimal_contexts(context: &Bound<'_, PyAny>) -> PyResult<Vec<(Py<PyAny>, Py<PyAny>)>> {
    let py = context.py();
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    let Some(decimal) = modules.get_item("decimal")? else { return Ok(Vec::new()) };
    let Ok(class) = decimal.getattr("Context") else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for item in context.call_method0("items")?.try_iter()? {
        let (variable, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
        if value.is_instance(&class)? {
            found.push((variable.unbind(), value.call_method0("copy")?.unbind()));
        }
    }
    Ok(found)
}
