//! Python objects that are kept by the engine, and let go of when no state is borrowed.
//!
//! Letting go of an object may run the user's code, a `__del__` that calls the context. So while any guarded value is
//! borrowed, what the engine has no more use for waits for the end of the borrow.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;

/// How many borrows there are. Whoever borrows has the interpreter, so that nothing comes between reading and writing.
static BORROWS: AtomicUsize = AtomicUsize::new(0);
/// How many objects wait for the end of all borrows.
static WAITING: AtomicUsize = AtomicUsize::new(0);
static LEFT: Mutex<Vec<Py<PyAny>>> = Mutex::new(Vec::new());

/// Notes a borrow for as long as it lives; with the last of them go the objects that wait.
pub(crate) struct Noted(());

impl Noted {
    #[inline]
    pub(crate) fn new() -> Self {
        BORROWS.store(BORROWS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Noted {
    #[inline]
    fn drop(&mut self) {
        let borrows = BORROWS.load(Ordering::Relaxed) - 1;
        BORROWS.store(borrows, Ordering::Relaxed);
        if borrows == 0 && WAITING.load(Ordering::Relaxed) > 0 {
            let_go();
        }
    }
}

#[cold]
fn let_go() {
    let left = std::mem::take(&mut *LEFT.lock().unwrap_or_else(PoisonError::into_inner));
    WAITING.fetch_sub(left.len(), Ordering::Relaxed);
    // Outside of the lock: what runs now may come here again.
    drop(left);
}

/// An object that the engine keeps for Python.
pub(crate) struct Kept<T>(ManuallyDrop<Py<T>>);

impl<T> Kept<T> {
    pub(crate) fn new(object: Py<T>) -> Self {
        Self(ManuallyDrop::new(object))
    }
}

impl<T> Deref for Kept<T> {
    type Target = Py<T>;

    fn deref(&self) -> &Py<T> {
        &self.0
    }
}

impl<T> Drop for Kept<T> {
    #[inline]
    #[allow(unsafe_code, reason = "the object is moved out of what is dropped")]
    fn drop(&mut self) {
        // SAFETY: it is not used again.
        let object = unsafe { ManuallyDrop::take(&mut self.0) };
        if BORROWS.load(Ordering::Relaxed) > 0 && may_run_code(&object) {
            wait(object.into_any());
        }
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

/// Whether letting go of an object could run code: of the last reference to anything that is not as plain as text.
#[inline]
#[allow(unsafe_code, reason = "nobody shows a token to what is dropped")]
fn may_run_code<T>(object: &Py<T>) -> bool {
    let object = object.as_ptr();
    // SAFETY: the object is alive. A state is borrowed, which takes the interpreter, and is dropped where it was borrowed; a
    // thread without the interpreter that lets go of an object meanwhile may read a count that is out of date, and both
    // answers are safe: without the interpreter, PyO3 lets nothing go.
    unsafe {
        ffi::Py_REFCNT(object) == 1
            && ffi::PyUnicode_CheckExact(object) == 0
            && ffi::PyLong_CheckExact(object) == 0
            && ffi::PyFloat_CheckExact(object) == 0
    }
}

#[cold]
fn wait(object: Py<PyAny>) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).push(object);
    WAITING.fetch_add(1, Ordering::Relaxed);
}
