//! The classes of tasks that somebody completes, and how the engine makes them.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::PyClass;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::task::{About, Task};
use crate::failures::Failure;
use crate::gil::Guarded;
use crate::python;

/// A task that somebody completes: an activity, a sub-orchestration, an external event.
#[pyclass(frozen, subclass, generic, extends = Task, module = "durabletask.task")]
#[derive(Debug)]
pub(crate) struct CompletableTask;

impl CompletableTask {
    fn about(about: About, id: i32) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Task::leaf(about, id)).add_subclass(Self)
    }

    fn own() -> PyClassInitializer<Self> {
        PyClassInitializer::from(Task::own()).add_subclass(Self)
    }
}

#[pymethods]
impl CompletableTask {
    /// The arguments are for classes of the program's own.
    #[new]
    #[pyo3(signature = (*_arguments, **_named))]
    fn new(_arguments: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        Self::own()
    }

    /// Completes the task; raises `ValueError` if it has completed before.
    fn complete(slf: &Bound<'_, Self>, result: Bound<'_, PyAny>) -> PyResult<()> {
        Task::set_result(slf.as_super(), result)?;
        slf.as_super().get().tell(slf.py())
    }

    /// Fails the task with a `TaskFailedError` of this message and these details; raises `ValueError` if it has completed before.
    fn fail(slf: &Bound<'_, Self>, message: String, details: Py<PyAny>) -> PyResult<()> {
        Task::set_failure(slf.as_super(), Failure::Given { message, details })?;
        slf.as_super().get().tell(slf.py())
    }
}

/// A task that a durable timer completes.
#[pyclass(frozen, subclass, generic, extends = CompletableTask, module = "durabletask.task")]
#[derive(Debug)]
pub(crate) struct TimerTask {
    retried: Guarded<Option<Py<PyAny>>>,
}

impl TimerTask {
    fn new_pause() -> Self {
        Self { retried: Guarded::new(None) }
    }
}

#[pymethods]
impl TimerTask {
    /// The arguments are for classes of the program's own.
    #[new]
    #[pyo3(signature = (*_arguments, **_named))]
    fn new(_arguments: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        CompletableTask::own().add_subclass(Self::new_pause())
    }

    /// Notes which task the timer is a pause of. The engine knows by itself.
    fn set_retryable_parent(&self, py: Python<'_>, retryable_task: Py<PyAny>) {
        let before = self.retried.lock(py).replace(retryable_task);
        drop(before);
    }

    #[getter(_retryable_parent)]
    fn retryable_parent(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.retried.lock(py).as_ref().map(|task| task.clone_ref(py))
    }

    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 hands it over")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.retried.peek(&visit).map_or(Ok(()), |retried| visit.call(&*retried))
    }

    fn __clear__(&self, py: Python<'_>) {
        let retried = self.retried.lock(py).take();
        drop(retried);
    }
}

/// A call that is made again when it fails, as its retry policy says.
#[pyclass(frozen, subclass, generic, extends = CompletableTask, module = "durabletask.task")]
#[derive(Debug)]
pub(crate) struct RetryableTask {
    /// What a program made it with; the engine's own are retried by the engine.
    given: Guarded<Option<GivenPolicy>>,
    attempts: AtomicU64,
}

#[derive(Debug)]
struct GivenPolicy {
    policy: Py<PyAny>,
    start_time: Py<PyAny>,
}

impl RetryableTask {
    fn with(given: Option<GivenPolicy>) -> Self {
        Self { given: Guarded::new(given), attempts: AtomicU64::new(1) }
    }
}

#[pymethods]
impl RetryableTask {
    #[new]
    #[pyo3(signature = (retry_policy=None, start_time=None, *_arguments, **_named))]
    fn new(
        retry_policy: Option<Py<PyAny>>,
        start_time: Option<Py<PyAny>>,
        _arguments: &Bound<'_, PyTuple>,
        _named: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        let given = retry_policy.zip(start_time).map(|(policy, start_time)| GivenPolicy { policy, start_time });
        CompletableTask::own().add_subclass(Self::with(given))
    }

    /// Counts one more attempt. Tasks of an orchestration are counted by the engine.
    fn increment_attempt_count(&self) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
    }

    /// How long to pause before the next attempt, as a `timedelta`; `None` if there is none, or if the task was made without a
    /// policy, or by the engine, which counts by itself.
    fn compute_next_delay<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let given =
            self.given.lock(py).as_ref().map(|given| (given.policy.clone_ref(py), given.start_time.clone_ref(py)));
        let Some((policy, start_time)) = given else { return Ok(None) };
        let attempts = self.attempts.load(Ordering::Relaxed);
        let delay = python::NEXT_DELAY.get(py)?.call1((policy, attempts, start_time))?;
        Ok(if delay.is_none() { None } else { Some(delay) })
    }

    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 hands it over")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(given) = self.given.peek(&visit) else { return Ok(()) };
        let Some(GivenPolicy { policy, start_time }) = &*given else { return Ok(()) };
        visit.call(policy)?;
        visit.call(start_time)
    }

    fn __clear__(&self, py: Python<'_>) {
        let given = self.given.lock(py).take();
        drop(given);
    }
}

/// Which class a task of the engine has.
#[derive(Clone, Copy)]
pub(crate) enum TaskClass {
    Completable,
    Timer,
    Retryable,
}

/// A new task that has not completed.
pub(crate) fn new_task(py: Python<'_>, class: TaskClass, about: About, id: i32) -> PyResult<Bound<'_, Task>> {
    let completable = CompletableTask::about(about, id);
    Ok(match class {
        TaskClass::Completable => create(py, completable)?.into_super(),
        TaskClass::Timer => create(py, completable.add_subclass(TimerTask::new_pause()))?.into_super().into_super(),
        TaskClass::Retryable => {
            create(py, completable.add_subclass(RetryableTask::with(None)))?.into_super().into_super()
        }
    })
}

/// Python's collector of cycles need not visit these before they are completed, and not then either if they are with text
/// or a number, as most are: until then they refer to nothing that could refer to them.
#[allow(unsafe_code, reason = "PyO3 makes every class known to the collector")]
fn create<T: PyClass>(py: Python<'_>, initializer: PyClassInitializer<T>) -> PyResult<Bound<'_, T>> {
    let task = Bound::new(py, initializer)?;
    // SAFETY: the object is new, of a class that the collector tracks, and nothing else has seen it.
    unsafe { ffi::PyObject_GC_UnTrack(task.as_ptr().cast()) };
    Ok(task)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CompletableTask>()?;
    module.add_class::<TimerTask>()?;
    module.add_class::<RetryableTask>()
}
