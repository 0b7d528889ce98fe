//! A task that somebody completes: the history, or the user's own code.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::composite::{Child, Parents};
use crate::failures::Failure;
use crate::gil::SetOnce;
use crate::payload;

/// Orders completions: of two tasks, the one that completed first has the lower stamp. One count for the process is
/// enough, since stamps are only compared inside an orchestration.
static COMPLETIONS: AtomicU64 = AtomicU64::new(0);

/// Counts one more. Only whoever holds the interpreter counts, so that nothing comes between the two halves.
#[inline]
fn next_stamp() -> u64 {
    let next = COMPLETIONS.load(Ordering::Relaxed) + 1;
    COMPLETIONS.store(next, Ordering::Relaxed);
    next
}

/// What a task has for whoever waits for it.
pub(crate) enum TaskState<'py> {
    Pending,
    Completed(Bound<'py, PyAny>),
    Failed(PyErr),
}

/// The task was completed or failed before.
#[derive(Debug)]
pub(crate) struct AlreadyCompleted;

impl From<AlreadyCompleted> for PyErr {
    fn from(_: AlreadyCompleted) -> Self {
        PyValueError::new_err("The task has already completed.")
    }
}

#[derive(Debug)]
pub(super) struct Leaf<T: Child> {
    completion: SetOnce<Completion>,
    parents: Parents<T>,
}

/// How a task ended.
#[derive(Debug)]
struct Completion {
    stamp: u64,
    value: Value,
}

/// What a task ended with.
#[derive(Debug)]
pub(super) enum Value {
    Object(Py<PyAny>),
    Recorded(Box<Recorded>),
    Failure(Box<Failure>),
}

/// A value as the history has it, and as whoever asked for it got it.
#[derive(Debug)]
pub(super) struct Recorded {
    json: Box<str>,
    reader: Option<Py<PyAny>>,
    read: SetOnce<Py<PyAny>>,
}

impl Value {
    pub(super) fn recorded(json: &str, reader: Option<Py<PyAny>>) -> Self {
        Self::Recorded(Box::new(Recorded { json: json.into(), reader, read: SetOnce::new() }))
    }

    /// Whether it may come to refer to other objects. An empty dictionary may, though the collector does not track it yet.
    #[inline]
    #[allow(unsafe_code, reason = "PyO3 has no safe way to ask")]
    pub(super) fn may_refer(&self) -> bool {
        match self {
            // SAFETY: any object can be asked.
            Self::Object(value) => unsafe { ffi::PyObject_IS_GC(value.as_ptr()) != 0 },
            // Read without a reader, text and numbers refer to nothing.
            Self::Recorded(recorded) => recorded.reader.is_some() || recorded.json.contains(['{', '[']),
            Self::Failure(_) => true,
        }
    }
}

impl Recorded {
    fn read<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(value) = self.read.get(py) {
            return Ok(value.bind(py).clone());
        }
        let value = match &self.reader {
            None => payload::decode(py, &self.json)?,
            Some(reader) => reader.bind(py).call1((&*self.json,))?,
        };
        // The reader is the user's code, and may have asked for the value itself.
        Ok(self.read.get_or_set(py, value.unbind()).bind(py).clone())
    }
}

impl<T: Child> Leaf<T> {
    pub(super) fn new() -> Self {
        Self { completion: SetOnce::new(), parents: Parents::default() }
    }

    #[inline]
    pub(super) fn complete(&self, py: Python<'_>, value: Value) -> Result<(), AlreadyCompleted> {
        let failed = matches!(value, Value::Failure(_));
        let stamp = next_stamp();
        self.completion.set(py, Completion { stamp, value }).map_err(|_| AlreadyCompleted)?;
        self.parents.tell(stamp, failed);
        Ok(())
    }

    #[inline]
    pub(super) fn stamp(&self, py: Python<'_>) -> Option<u64> {
        self.completion.get(py).map(|completion| completion.stamp)
    }

    pub(super) fn failure(&self, py: Python<'_>) -> Option<&Failure> {
        match &self.completion.get(py)?.value {
            Value::Failure(failure) => Some(failure),
            Value::Object(_) | Value::Recorded(_) => None,
        }
    }

    /// The length of the text that it was completed with.
    pub(super) fn recorded_bytes(&self, py: Python<'_>) -> usize {
        match self.completion.get(py).map(|completion| &completion.value) {
            Some(Value::Recorded(recorded)) => recorded.json.len(),
            _ => 0,
        }
    }

    /// Visits what it holds, for Python's collector of cycles.
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.completion.peek(visit).map(|completion| &completion.value) {
            None => Ok(()),
            Some(Value::Object(value)) => visit.call(value),
            Some(Value::Recorded(recorded)) => {
                visit.call(&recorded.reader)?;
                recorded.read.peek(visit).map_or(Ok(()), |value| visit.call(value))
            }
            Some(Value::Failure(failure)) => failure.visit(visit),
        }
    }

    /// Lets go of what it was completed with.
    ///
    /// # Safety
    /// Only from `__clear__`, as for `SetOnce`.
    #[allow(unsafe_code, reason = "only the collector may take what was set once")]
    pub(super) unsafe fn clear(&self, py: Python<'_>) {
        // SAFETY: as above.
        drop(unsafe { self.completion.clear(py) });
    }

    pub(super) fn parents(&self) -> &Parents<T> {
        &self.parents
    }

    #[inline]
    pub(super) fn state<'py>(&self, py: Python<'py>) -> PyResult<TaskState<'py>> {
        Ok(match self.completion.get(py).map(|completion| &completion.value) {
            None => TaskState::Pending,
            Some(Value::Object(value)) => TaskState::Completed(value.bind(py).clone()),
            Some(Value::Recorded(recorded)) => TaskState::Completed(recorded.read(py)?),
            Some(Value::Failure(failure)) => TaskState::Failed(failure.exception(py)?),
        })
    }
}
