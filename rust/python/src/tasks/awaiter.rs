//! `await task`: hands the task to the engine until it has completed.

use pyo3::exceptions::{PyBaseException, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use super::{Task, TaskState};

/// What `Task.__await__` returns. It yields the task while that is pending, and the engine resumes the coroutine with
/// `None` when it no longer is; so a completed task is awaited without a detour.
#[pyclass(frozen, module = "durabletask._core")]
#[derive(Debug)]
pub(crate) struct TaskAwaiter {
    task: Py<Task>,
}

impl TaskAwaiter {
    pub(super) fn new(task: Py<Task>) -> Self {
        Self { task }
    }
}

#[pymethods]
impl TaskAwaiter {
    /// It lets go of nothing: a cycle that it is in goes through the task, which does.
    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 hands it over")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.task)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<Task>> {
        match self.task.get().state(py)? {
            TaskState::Pending => Ok(self.task.clone_ref(py)),
            // A tuple would be taken for the arguments of the exception, and an exception for the exception itself. All else
            // the coroutine is handed without an exception object being made.
            TaskState::Completed(value)
                if value.is_instance_of::<PyTuple>() || value.is_instance_of::<PyBaseException>() =>
            {
                Err(PyStopIteration::new_err((value.unbind(),)))
            }
            TaskState::Completed(value) => Err(PyStopIteration::new_err(value.unbind())),
            TaskState::Failed(error) => Err(error),
        }
    }
}
