//! The task that all others are, and what hands it to the engine in coroutines.

use durabletask_core::error::Method;
use durabletask_core::time::Timestamp;
use pyo3::exceptions::{PyAttributeError, PyBaseException, PyStopIteration, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::composite::{Child, Composite, Parents};
use super::leaf::{AlreadyCompleted, Leaf, TaskState, Value};
use super::own::{self, Own, Watched, Watching};
use crate::failures::Failure;
use crate::gil::SetOnce;

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
    Own(Box<Own<Task>>),
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
    pub(super) fn leaf(about: About, id: i32) -> Self {
        Self { kind: Kind::Leaf(Leaf::new()), about, id, watched: SetOnce::new() }
    }

    /// One that a program makes.
    pub(super) fn own() -> Self {
        Self::leaf(About::Own(Box::new(Own::new())), 0)
    }

    pub(super) fn composed(composite: Composite<Self>) -> Self {
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

    pub(super) fn as_own(&self) -> Option<&Own<Self>> {
        if let About::Own(own) = &self.about { Some(own) } else { None }
    }

    fn own_attributes(&self) -> PyResult<&Own<Self>> {
        self.as_own().ok_or_else(|| PyAttributeError::new_err("only tasks that a program made can be set"))
    }

    /// Whether the task has completed or failed.
    #[inline]
    pub(crate) fn is_over(&self, py: Python<'_>) -> bool {
        self.stamp(py).is_some()
    }

    /// The length of a payload that it keeps as text, to be read when somebody asks.
    pub(crate) fn unread_bytes(&self, py: Python<'_>) -> usize {
        match &self.kind {
            Kind::Leaf(leaf) => leaf.recorded_bytes(py),
            Kind::Composite(_) => 0,
        }
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

impl Watching for Task {
    fn watched(&self) -> &Watched {
        &self.watched
    }

    fn children(&self, py: Python<'_>) -> &[Py<Self>] {
        match &self.kind {
            Kind::Composite(composite) => composite.children(),
            Kind::Leaf(_) => self.as_own().and_then(|own| own.children.get(py)).map_or(&[], Vec::as_slice),
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
    pub(super) fn get_result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
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

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Task>>> {
        // Cheaper than to ask for the state.
        if !self.task.get().is_over(py) {
            return Ok(Some(self.task.clone_ref(py)));
        }
        match self.task.get().state(py)? {
            TaskState::Pending => Ok(Some(self.task.clone_ref(py))),
            // A tuple would be taken for the arguments of the exception, and an exception for the exception itself. All else
            // the coroutine is handed without an exception object being made.
            TaskState::Completed(value)
                if value.is_instance_of::<PyTuple>() || value.is_instance_of::<PyBaseException>() =>
            {
                Err(PyStopIteration::new_err((value.unbind(),)))
            }
            TaskState::Completed(value) => {
                stop_with(&value);
                Ok(None)
            }
            TaskState::Failed(error) => Err(error),
        }
    }
}

/// Says what an iterator ends with, which it then does with `None`, as one in C would.
#[inline]
#[allow(unsafe_code, reason = "PyO3 makes more of an exception than whoever awaits looks at")]
fn stop_with(value: &Bound<'_, PyAny>) {
    // SAFETY: the thread is attached; both are objects, of which the interpreter takes references of its own.
    unsafe { ffi::PyErr_SetObject(ffi::PyExc_StopIteration, value.as_ptr()) };
}
