//! State that belongs to whoever holds the interpreter.
//!
//! Orchestrators and their tasks are touched by one thread at a time, the one that is attached to the interpreter, which
//! this module's types ask to be shown. Locks and atomics would guard the same thing once more, and cost more than most of
//! what they guard: a locked instruction takes as long as dozens of others, and a replay would need ten of them a step.
//!
//! That holds while the interpreter has its lock. This module says that it needs it, so an interpreter built without one
//! switches it on for the process when it imports the module.

#![allow(unsafe_code, reason = "the compiler can not know that the interpreter's lock guards these cells")]

use std::cell::{Ref, RefCell, RefMut, UnsafeCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::PyVisit;
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::kept::Noted;

/// Refuses what this module can not run in: an interpreter whose lock is off, which takes a build of Python without one and
/// an order to leave it off, and a second interpreter in the process, which may have a lock of its own.
pub(crate) fn require(py: Python<'_>) -> PyResult<()> {
    require_lock(py)?;
    require_first_interpreter(py)
}

fn require_first_interpreter(py: Python<'_>) -> PyResult<()> {
    /// The interpreter that has imported this module; below 0: none has.
    static FIRST: AtomicI64 = AtomicI64::new(-1);
    // SAFETY: the thread is attached to an interpreter, which any thread may ask for its number.
    let this = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if this < 0 {
        return Err(PyErr::fetch(py));
    }
    match FIRST.compare_exchange(-1, this, Ordering::SeqCst, Ordering::SeqCst) {
        Err(first) if first != this => Err(PyImportError::new_err(
            "durabletask runs in one interpreter of a process, and another one has imported it already: use it there, or \
             start a process of its own for this one",
        )),
        _ => Ok(()),
    }
}

fn require_lock(py: Python<'_>) -> PyResult<()> {
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

// SAFETY: the cell is only reached with a `Python` token, which one thread at a time has, or by Python's collector of
// cycles, which runs in such a thread. A borrow that is kept while the thread detaches from the interpreter stays marked in
// the cell, so that no other thread gets at the value.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Borrows the value. No Python code may run until the borrow ends: it could come back for the same value. What the
    /// value lets go of meanwhile is to be `Kept`.
    #[inline]
    pub(crate) fn lock(&self, _: Python<'_>) -> Borrowed<'_, T> {
        let value = self.0.borrow_mut();
        Borrowed { value, _noted: Noted::new() }
    }

    /// Shows the value to Python's collector of cycles; `None` while it is borrowed. The collector then finds nothing held
    /// by it, and so takes all that it holds for alive.
    pub(crate) fn peek(&self, _: &PyVisit<'_>) -> Option<Ref<'_, T>> {
        self.0.try_borrow().ok()
    }
}

impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guarded")
    }
}

/// A borrow of a guarded value.
pub(crate) struct Borrowed<'a, T> {
    // Dropped in this order: when it is noted that the borrow is over, it is.
    value: RefMut<'a, T>,
    _noted: Noted,
}

impl<T> Deref for Borrowed<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Borrowed<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// A value that is set once.
pub(crate) struct SetOnce<T>(UnsafeCell<Option<T>>);

// SAFETY: the cell is only reached with a `Python` token, which one thread at a time has, or by Python's collector of
// cycles, which runs in such a thread. Once set, the value stays as it is, and shared references to it may be kept by any
// thread; `clear` says when it goes.
unsafe impl<T: Send + Sync> Sync for SetOnce<T> {}

impl<T> SetOnce<T> {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    #[inline]
    pub(crate) fn get(&self, _: Python<'_>) -> Option<&T> {
        // SAFETY: the value is written but once, by this thread or by one that had the token before it, or cleared.
        unsafe { &*self.0.get() }.as_ref()
    }

    /// Sets the value; what comes too late is handed back.
    #[inline]
    pub(crate) fn set(&self, py: Python<'_>, value: T) -> Result<(), T> {
        if self.get(py).is_some() {
            return Err(value);
        }
        // SAFETY: there is no value that anybody could have a reference to, and no code runs here that could look for one:
        // what is replaced is `None`.
        unsafe { *self.0.get() = Some(value) };
        Ok(())
    }

    /// The value, after setting it if it was not set.
    #[inline]
    pub(crate) fn get_or_set(&self, py: Python<'_>, value: T) -> &T {
        let _ = self.set(py, value);
        // SAFETY: as in `get`; there is a value now.
        unsafe { (*self.0.get()).as_ref().unwrap_unchecked() }
    }

    /// Shows the value to Python's collector of cycles.
    pub(crate) fn peek(&self, _: &PyVisit<'_>) -> Option<&T> {
        // SAFETY: as in `get`. The collector runs in a thread that has the token.
        unsafe { &*self.0.get() }.as_ref()
    }

    /// Takes the value out.
    ///
    /// # Safety
    /// Only from `__clear__`: Python's collector calls it on objects that nobody outside of a dead cycle refers to. Whoever
    /// has a reference to the value has one to its object, and holds that from outside.
    pub(crate) unsafe fn clear(&self, _: Python<'_>) -> Option<T> {
        // SAFETY: as above.
        unsafe { (*self.0.get()).take() }
    }
}

impl<T> fmt::Debug for SetOnce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever prints it shows no token.
        f.write_str("SetOnce")
    }
}
