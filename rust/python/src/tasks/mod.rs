//! The tasks that orchestrators wait for.
//!
//! A task knows whether and when it completed, and tells the composites that it belongs to, of which there may be any
//! number. `leaf` is a task that the history completes, `composite` one that is made of others; `compose` are the functions
//! and classes that make those.

mod awaiter;
mod compose;
mod composite;
mod leaf;
mod own;

use std::sync::atomic::{AtomicU64, Ordering};

use durabletask_core::error::Method;
use durabletask_core::time::Timestamp;
use pyo3::exceptions::{PyAttributeError, PyBaseException, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyClass, PyTraverseError, PyVisit};

use crate::engine::failures::Failure;
use crate::engine::python;
use crate::gil::{Guarded, SetOnce};
use awaiter::TaskAwaiter;
use composite::{Child, Composite, Parents};
use leaf::{Leaf, Value};
use own::{Own, Watched};

pub(crate) use compose::Following;
pub(crate) use leaf::{AlreadyCompleted, TaskState};

/// Something that an orchestrator can wait for with `yield` or `await`.
#[pyclass(frozen, subclass, generic, module = "durabletask.task")]
#[derive(Debug)]
pub(crate) struct Task {
    kind: Kind,
    about: About,
    /// The id of the call; 0 where there is none.
    id: i32,
    watched: Watched,
}

/// What a task waits for, told by its `repr`.
#[derive(Debug)]
pub(crate) enum About {
    /// It is composed of other tasks.
    Nothing,
    /// A program made it.
    Own(Box<Own>),
    /// An activity by its name.
    Activity(Py<PyString>),
    /// A sub-orchestration by the name of its orchestrator.
    SubOrchestration(Py<PyString>),
    /// A timer.
    Timer(Timestamp),
    /// An external event by its name.
    Event(Py<PyString>),
}

#[derive(Debug)]
enum Kind {
    Leaf(Leaf<Task>),
    Composite(Composite<Task>),
}

impl Task {
    fn leaf(about: About, id: i32) -> Self {
        Self { kind: Kind::Leaf(Leaf::new()), about, id, watched: SetOnce::new() }
    }

    /// One that a program makes.
    fn own() -> Self {
        Self::leaf(About::Own(Box::new(Own::new())), 0)
    }

    fn composed(composite: Composite<Self>) -> Self {
        Self { kind: Kind::Composite(composite), about: About::Nothing, id: 0, watched: SetOnce::new() }
    }

    /// Completes the task with a value.
    #[inline]
    pub(crate) fn set_result(task: &Bound<'_, Self>, value: Bound<'_, PyAny>) -> Result<(), AlreadyCompleted> {
        Self::set(task, Value::Object(value.unbind()))
    }

    /// Completes the task with a value that is read when somebody asks for it, by `reader` if there is one.
    pub(crate) fn set_recorded(
        task: &Bound<'_, Self>,
        json: &str,
        reader: Option<Py<PyAny>>,
    ) -> Result<(), AlreadyCompleted> {
        Self::set(task, Value::recorded(json, reader))
    }

    /// Completes the task with a failure.
    pub(crate) fn set_failure(task: &Bound<'_, Self>, failure: Failure) -> Result<(), AlreadyCompleted> {
        Self::set(task, Value::Failure(Box::new(failure)))
    }

    #[inline]
    fn set(task: &Bound<'_, Self>, value: Value) -> Result<(), AlreadyCompleted> {
        let Kind::Leaf(leaf) = &task.get().kind else { return Err(AlreadyCompleted) };
        if value.may_refer() {
            collect(task);
        }
        leaf.complete(task.py(), value)
    }

    /// Tells composites of the program's own that the task has ended. The program's code runs, and may raise.
    #[inline]
    pub(crate) fn tell(&self, py: Python<'_>) -> PyResult<()> {
        if self.watched.get(py).is_none() { Ok(()) } else { own::tell(self, py) }
    }

    fn as_own(&self) -> Option<&Own> {
        if let About::Own(own) = &self.about { Some(own) } else { None }
    }

    fn own_attributes(&self) -> PyResult<&Own> {
        self.as_own().ok_or_else(|| PyAttributeError::new_err("only tasks that a program made can be set"))
    }

    fn children(&self, py: Python<'_>) -> &[Py<Self>] {
        match &self.kind {
            Kind::Composite(composite) => composite.children(),
            Kind::Leaf(_) => self.as_own().and_then(|own| own.children.get(py)).map_or(&[], Vec::as_slice),
        }
    }

    /// Whether the task has completed or failed.
    #[inline]
    pub(crate) fn is_over(&self, py: Python<'_>) -> bool {
        self.stamp(py).is_some()
    }

    /// The failure that the task ended with.
    fn failure(&self, py: Python<'_>) -> Option<&Failure> {
        let mut task = self;
        loop {
            match &task.kind {
                Kind::Leaf(leaf) => return leaf.failure(py),
                Kind::Composite(composite) => task = composite.failed_child()?,
            }
        }
    }

    /// The task's state, with its value or the exception to raise.
    #[inline]
    pub(crate) fn state<'py>(&self, py: Python<'py>) -> PyResult<TaskState<'py>> {
        match &self.kind {
            Kind::Leaf(leaf) => match (leaf.state(py)?, self.as_own()) {
                (TaskState::Completed(value), Some(own)) => {
                    Ok(TaskState::Completed(own.result(py).map_or(value, |set| set.into_bound(py))))
                }
                (state, _) => Ok(state),
            },
            Kind::Composite(composite) if composite.stamp().is_none() => Ok(TaskState::Pending),
            Kind::Composite(composite) => match self.failure(py) {
                Some(failure) => Ok(TaskState::Failed(failure.exception(py)?)),
                None => composite.result(py).map(TaskState::Completed),
            },
        }
    }
}

impl Child for Task {
    #[inline]
    fn stamp(&self, py: Python<'_>) -> Option<u64> {
        match &self.kind {
            Kind::Leaf(leaf) => leaf.stamp(py),
            Kind::Composite(composite) => composite.stamp(),
        }
    }

    fn has_failed(&self, py: Python<'_>) -> bool {
        self.failure(py).is_some()
    }

    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get_result(py)
    }

    fn parents(&self) -> &Parents<Self> {
        match &self.kind {
            Kind::Leaf(leaf) => leaf.parents(),
            Kind::Composite(composite) => composite.parents(),
        }
    }

    fn as_composite(&self) -> Option<&Composite<Self>> {
        match &self.kind {
            Kind::Composite(composite) => Some(composite),
            Kind::Leaf(_) => None,
        }
    }

    fn waits_for(&self, py: Python<'_>, look_inside: bool) -> String {
        let called = |method: Method, name: &Py<PyString>| format!("{method}('{}') with ID={}", name.bind(py), self.id);
        match (&self.about, &self.kind) {
            (About::Activity(name), _) => called(Method::CallActivity, name),
            (About::SubOrchestration(name), _) => called(Method::CallSubOrchestrator, name),
            (About::Timer(fire_at), _) => format!("{}, until {fire_at} UTC, with ID={}", Method::CreateTimer, self.id),
            (About::Event(name), _) => format!("{}('{}')", Method::WaitForExternalEvent, name.bind(py)),
            (About::Nothing, Kind::Composite(composite)) => composite.waits_for(py, look_inside),
            (About::Nothing | About::Own(_), _) => String::new(),
        }
    }
}

#[pymethods]
impl Task {
    /// For classes of the program's own, whose arguments are theirs.
    #[new]
    #[pyo3(signature = (*_arguments, **_named))]
    fn new(_arguments: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> Self {
        Self::own()
    }

    #[getter(_is_complete)]
    fn own_completed(&self, py: Python<'_>) -> bool {
        self.is_complete(py)
    }

    /// For classes of the program's own, which keep in these attributes how they end.
    #[setter(_is_complete)]
    fn set_own_completed(slf: &Bound<'_, Self>, value: bool) -> PyResult<()> {
        if !value {
            return Ok(());
        }
        let (py, this) = (slf.py(), slf.get());
        let set = match this.own_attributes()?.exception(py) {
            Some(exception) => Self::set_failure(slf, Failure::Raised(exception)),
            None => Self::set_result(slf, py.None().into_bound(py)),
        };
        if set.is_ok() { this.tell(py) } else { Ok(()) }
    }

    #[getter(_result)]
    fn own_result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match (self.as_own().and_then(|own| own.result(py)), self.state(py)?) {
            (Some(set), _) => Ok(set.into_bound(py)),
            (None, TaskState::Completed(value)) => Ok(value),
            (None, _) => Err(PyAttributeError::new_err("_result")),
        }
    }

    #[setter(_result)]
    fn set_own_result(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
        let before = self.own_attributes()?.result.lock(py).replace(value);
        drop(before);
        Ok(())
    }

    #[getter(_exception)]
    fn own_exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyBaseException>>> {
        match self.as_own().and_then(|own| own.exception(py)) {
            Some(set) => Ok(Some(set)),
            None => self.failure(py).map(|failure| Ok(failure.exception(py)?.into_value(py))).transpose(),
        }
    }

    /// It counts from the moment in which the task is complete.
    #[setter(_exception)]
    fn set_own_exception(&self, py: Python<'_>, value: Option<Py<PyBaseException>>) -> PyResult<()> {
        let before = std::mem::replace(&mut *self.own_attributes()?.exception.lock(py), value);
        drop(before);
        Ok(())
    }

    /// None: children do not know their parents, which are told all the same.
    #[getter(_parent)]
    #[allow(clippy::unused_self, reason = "an attribute of the object in Python")]
    fn own_parent(&self) -> Option<Py<Self>> {
        None
    }

    /// Whether the task has completed or failed.
    #[getter]
    fn is_complete(&self, py: Python<'_>) -> bool {
        self.stamp(py).is_some()
    }

    /// Whether the task has failed.
    #[getter]
    fn is_failed(&self, py: Python<'_>) -> bool {
        self.stamp(py).is_some() && self.failure(py).is_some()
    }

    /// The task's result; raises its `TaskFailedError` if it failed, and `ValueError` if it has not completed.
    fn get_result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.state(py)? {
            TaskState::Pending => Err(PyValueError::new_err("The task has not completed.")),
            TaskState::Completed(value) => Ok(value),
            TaskState::Failed(error) => Err(error),
        }
    }

    /// The `TaskFailedError` that the task failed with; raises `ValueError` if it has not failed.
    fn get_exception(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.state(py)? {
            TaskState::Failed(error) => Ok(error.into_value(py).into_any()),
            _ => Err(PyValueError::new_err("The task has not failed.")),
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (py, this) = (slf.py(), slf.get());
        let state = match (this.stamp(py), this.failure(py)) {
            (None, _) => "pending",
            (Some(_), None) => "completed",
            (Some(_), Some(_)) => "failed",
        };
        let waits_for = this.waits_for(py, true);
        let space = if waits_for.is_empty() { "" } else { " " };
        Ok(format!("<{}{space}{waits_for}: {state}>", slf.get_type().name()?))
    }

    #[allow(clippy::needless_pass_by_value, reason = "as PyO3 hands it over")]
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(own) = self.as_own() {
            own.visit(&visit)?;
        }
        match &self.kind {
            Kind::Leaf(leaf) => leaf.visit(&visit),
            Kind::Composite(composite) => composite.visit(&visit),
        }
    }

    /// A cycle through tasks goes through what one of them was completed with, or through what a program's own holds, and
    /// never through composites alone: those are made of tasks that exist, and their results are lists, which can let go.
    #[allow(unsafe_code, reason = "only the collector may take what was set once")]
    fn __clear__(&self, py: Python<'_>) {
        if let Kind::Leaf(leaf) = &self.kind {
            // SAFETY: the collector has found this task in a dead cycle, and asks.
            unsafe { leaf.clear(py) };
        }
        if let Some(own) = self.as_own() {
            // SAFETY: as above.
            unsafe { own.clear(py) };
        }
    }

    /// Waits for the task in a coroutine: `result = await task`.
    fn __await__(slf: Bound<'_, Self>) -> TaskAwaiter {
        TaskAwaiter::new(slf.unbind())
    }
}

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

/// Has the collector visit a task from now on.
#[inline]
#[allow(unsafe_code, reason = "PyO3 has no safe way to say so")]
fn collect(task: &Bound<'_, Task>) {
    // SAFETY: tasks are of classes that the collector knows; this one is not tracked yet.
    unsafe {
        if ffi::PyObject_GC_IsTracked(task.as_ptr()) == 0 {
            ffi::PyObject_GC_Track(task.as_ptr().cast());
        }
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Task>()?;
    module.add_class::<CompletableTask>()?;
    module.add_class::<TimerTask>()?;
    module.add_class::<RetryableTask>()?;
    compose::register(module)
}
