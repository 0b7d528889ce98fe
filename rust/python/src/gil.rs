//! State that belongs to whoever holds the interpreter.
//!
//! Orchestrators and their tasks are touched by one thread at a time, the one that is attached to the interpreter, which
//! this module's types ask to be shown. Locks and atomics would guard the same thing once more, and cost more than most of
//! what they guard: a locked instruction takes as long as dozens of others, and a replay would need ten of them a step.
//!
//! That holds while the interpreter has its lock. This module says that it needs it, so an interpreter built without one
//! switches it on for the process when it imports the module.

#![allow(unsafe_code, reason = "the compiler can not know that the interpreter's lock guards these cells")]

use std::cell::{OnceCell, RefCell, RefMut};
use std::fmt;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// Refuses an interpreter whose lock is off, which takes a build of Python without one and an order to leave it off.
pub(crate) fn require(py: Python<'_>) -> PyResult<()> {
    let enabled = match py.import("sys")?.getattr("_is_gil_enabled") {
        Ok(enabled) => enabled.call0()?.is_truthy()?,
        Err(_) => true,
    };
    if enabled {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "durabletask needs the interpreter's lock, which is switched off in this process; unset PYTHON_GIL and leave out -X gil=0",
    ))
}

/// How many bytes are worth letting go of the interpreter for, and asking for it again.
const LARGE: usize = 256 * 1024;

/// Works through so many bytes, while other threads may have the interpreter if they are many.
pub(crate) fn work_through<T: Send>(py: Python<'_>, bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    if bytes >= LARGE { py.detach(work) } else { work() }
}

/// A value that is borrowed by one piece of code at a time. Borrowing it twice is an error of this crate, and panics.
pub(crate) struct Guarded<T>(RefCell<T>);

// SAFETY: the cell is only reached with a `Python` token, which one thread at a time has. A borrow that is kept while the
// thread detaches from the interpreter stays marked in the cell, so that no other thread gets at the value.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Borrows the value. No Python code may run until the borrow ends: it could come back for the same value.
    #[inline]
    pub(crate) fn lock(&self, _: Python<'_>) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }
}

impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded")
    }
}

/// A value that is set once.
pub(crate) struct SetOnce<T>(OnceCell<T>);

// SAFETY: the cell is only reached with a `Python` token, which one thread at a time has. Once set, the value stays as it is,
// and shared references to it may be kept by any thread.
unsafe impl<T: Send + Sync> Sync for SetOnce<T> {}

impl<T> SetOnce<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceCell::new())
    }

    #[inline]
    pub(crate) fn get(&self, _: Python<'_>) -> Option<&T> {
        self.0.get()
    }

    /// Sets the value; what comes too late is handed back.
    #[inline]
    pub(crate) fn set(&self, _: Python<'_>, value: T) -> Result<(), T> {
        self.0.set(value)
    }

    /// The value, after setting it if it was not set.
    #[inline]
    pub(crate) fn get_or_set(&self, _: Python<'_>, value: T) -> &T {
        self.0.get_or_init(|| value)
    }
}

impl<T> fmt::Debug for SetOnce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "SetOnce(set)" } else { "SetOnce(empty)" })
    }
}
