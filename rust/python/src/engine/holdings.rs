//! What the user's code holds on to between two turns, in bytes.
//!
//! The length of all that an execution was handed is known, and costs nothing to add up. It says too much of code that lets
//! go of what it has seen, and too little of what objects take that were read from JSON. So where it has grown by much,
//! what the code can reach is looked through: as often as what it holds has doubled, so that looking costs less than reading
//! the payloads has.

#![allow(unsafe_code, reason = "PyO3 has no safe way to ask an object what it refers to")]

use std::collections::HashSet;
use std::ffi::{c_int, c_void};

use pyo3::Borrowed;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::context::RuntimeContext;
use crate::tasks::Task;

/// How much may be handed to an execution before it is looked at.
const UNSEEN: usize = 16 * 1024;
/// Objects are not taken to be larger than the payloads that they were read from by more than this factor; what seems so is
/// shared with the rest of the program.
const LARGEST_FACTOR: usize = 16;
/// Items of a long list that are looked at; the others are taken to be like them.
const SAMPLE: usize = 128;

/// What was found out about an execution.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holdings {
    /// How much it had been handed when it was looked at the last time.
    handed: usize,
    /// How much it held then.
    held: usize,
}

impl Holdings {
    /// How much the code behind these objects holds, of which it was handed so much in all; says nothing of what is not its
    /// own: modules, classes, functions, and the context.
    pub(super) fn bytes(&mut self, py: Python<'_>, handed: usize, roots: [&Bound<'_, PyAny>; 2]) -> usize {
        let since = self.likely_held(handed.saturating_sub(self.handed));
        if since < self.held.max(UNSEEN) {
            return self.held + since;
        }
        self.handed = handed;
        // Who reaches more objects than payloads can have brought has come upon those of the program.
        let objects = 4096 + handed / 8;
        self.held = match look_through(py, roots, objects) {
            Some(bytes) => bytes.min(handed.saturating_mul(LARGEST_FACTOR)),
            None => handed,
        };
        self.held
    }

    /// What is held of a payload since: as much of it as was of those before, though not less than its length.
    fn likely_held(&self, length: usize) -> usize {
        let alike = self.held.saturating_mul(length) / self.handed.max(1);
        alike.clamp(length, length.saturating_mul(LARGEST_FACTOR))
    }
}

/// An object, and how many it stands for.
type Found = (*mut ffi::PyObject, usize);

/// The bytes of all objects that can be reached; `None` if they are more than so many.
///
/// No code runs meanwhile, and nothing is freed: so pointers do.
fn look_through(py: Python<'_>, roots: [&Bound<'_, PyAny>; 2], mut objects: usize) -> Option<usize> {
    let (context, task) = (py.get_type::<RuntimeContext>(), py.get_type::<Task>());
    let mut to_look_at: Vec<Found> = roots.into_iter().map(|root| (root.as_ptr(), 1)).collect();
    let mut within: Vec<*mut ffi::PyObject> = Vec::new();
    let mut seen = HashSet::new();
    let mut bytes = 0_usize;
    while let Some((object, times)) = to_look_at.pop() {
        objects = objects.checked_sub(1)?;
        // SAFETY: the object is alive, and of the type that is asked for in each case.
        unsafe {
            if ffi::Py_REFCNT(object) > 1 && !seen.insert(object) {
                continue;
            }
            if ffi::PyObject_IS_GC(object) == 0 {
                bytes = bytes.saturating_add(size(object).saturating_mul(times));
                continue;
            }
            if is_the_programs(object) || ffi::PyObject_TypeCheck(object, context.as_type_ptr()) != 0 {
                continue;
            }
            bytes = bytes.saturating_add(size(object).saturating_mul(times));
            if ffi::PyList_CheckExact(object) != 0 {
                sample(object, times, &mut to_look_at);
                continue;
            }
            if ffi::PyObject_TypeCheck(object, task.as_type_ptr()) != 0 {
                let task = Borrowed::from_ptr(py, object).cast_unchecked::<Task>();
                bytes = bytes.saturating_add(task.get().unread_bytes(py).saturating_mul(times));
            }
            refers_to(object, &mut within);
            if ffi::PyFrame_Check(object) != 0 {
                within.retain(|found| !is_globals(*found));
            }
            to_look_at.extend(within.drain(..).map(|found| (found, times)));
        }
    }
    Some(bytes)
}

/// Whether an object is part of the program rather than of what it works on.
unsafe fn is_the_programs(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's object is alive.
    unsafe {
        ffi::PyType_Check(object) != 0
            || ffi::PyModule_Check(object) != 0
            || ffi::PyFunction_Check(object) != 0
            || ffi::PyCode_Check(object) != 0
    }
}

/// Whether it is what the variables of a module are in. In Python 3.10, frames refer to them.
unsafe fn is_globals(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller's object is alive; nothing that the key is compared to is other than text.
    unsafe {
        ffi::PyDict_CheckExact(object) != 0
            && [c"__builtins__", c"__build_class__"]
                .iter()
                .any(|key| !ffi::PyDict_GetItemString(object, key.as_ptr()).is_null())
    }
}

/// What an object takes by itself, more or less.
unsafe fn size(object: *mut ffi::PyObject) -> usize {
    let length = |length: isize| usize::try_from(length).unwrap_or_default();
    // SAFETY: the caller's object is alive, and of the type that is asked for in each case.
    unsafe {
        if ffi::PyUnicode_Check(object) != 0 {
            let width = usize::try_from(ffi::PyUnicode_KIND(object)).unwrap_or(1);
            56 + length(ffi::PyUnicode_GET_LENGTH(object)) * width
        } else if ffi::PyDict_Check(object) != 0 {
            64 + 48 * length(ffi::PyDict_Size(object))
        } else if ffi::PyList_Check(object) != 0 {
            72 + 8 * length(ffi::PyList_GET_SIZE(object))
        } else if ffi::PyLong_Check(object) != 0 {
            32
        } else {
            // Others of a variable size are rare, and some say otherwise what that is.
            let items = if ffi::PyTuple_Check(object) != 0 {
                8 * length(ffi::PyTuple_GET_SIZE(object))
            } else if ffi::PyBytes_Check(object) != 0 {
                length(ffi::PyBytes_Size(object))
            } else {
                0
            };
            length((*ffi::Py_TYPE(object)).tp_basicsize) + items
        }
    }
}

/// Adds the items of a list, or some of one that is long.
unsafe fn sample(list: *mut ffi::PyObject, times: usize, to: &mut Vec<Found>) {
    // SAFETY: the caller's object is a list, and nobody changes it meanwhile.
    unsafe {
        let length = usize::try_from(ffi::PyList_GET_SIZE(list)).unwrap_or_default();
        let step = (length / SAMPLE).max(1);
        for place in (0..length.cast_signed()).step_by(step) {
            to.push((ffi::PyList_GET_ITEM(list, place), times.saturating_mul(step)));
        }
    }
}

/// What an object says that it refers to, as Python's collector of cycles asks it.
unsafe fn refers_to(object: *mut ffi::PyObject, to: &mut Vec<*mut ffi::PyObject>) {
    unsafe extern "C" fn note(object: *mut ffi::PyObject, to: *mut c_void) -> c_int {
        // SAFETY: it is what was handed to the object.
        unsafe { (*to.cast::<Vec<*mut ffi::PyObject>>()).push(object) };
        0
    }
    // SAFETY: objects of such classes may be asked at any time by whoever has the interpreter, as `gc.get_referents` does.
    unsafe {
        if ffi::PyObject_IS_GC(object) != 0
            && let Some(traverse) = (*ffi::Py_TYPE(object)).tp_traverse
        {
            traverse(object, note, (&raw mut *to).cast());
        }
    }
}
