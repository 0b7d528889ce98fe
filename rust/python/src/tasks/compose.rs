//! `when_all` and `when_any`, and the classes of what they return.

use std::cell::Cell;

use durabletask_core::semantics::Semantics;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::completable::CompletableTask;
use super::composite::{Child, Composite, Rule};
use super::own::{self, Watching};
use super::task::Task;

thread_local! {
    /// Whether `when_all` waits for all, in the orchestration whose code this thread runs.
    static WAITS_FOR_ALL: Cell<bool> = const { Cell::new(false) };
}

/// While this lives, composites that the thread makes are those of a release.
#[derive(Debug)]
pub(crate) struct Following {
    before: bool,
}

impl Following {
    #[must_use]
    pub(crate) fn release(semantics: Semantics) -> Self {
        Self { before: WAITS_FOR_ALL.replace(semantics.when_all_waits_for_all()) }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        WAITS_FOR_ALL.set(self.before);
    }
}

/// The tasks of a list, which most are in, or of anything else that can be iterated over.
fn children(tasks: &Bound<'_, PyAny>) -> PyResult<Vec<Py<Task>>> {
    let Ok(list) = tasks.cast_exact::<PyList>() else {
        return tasks.try_iter()?.map(|task| child(task?)).collect();
    };
    let mut children = Vec::with_capacity(list.len());
    for task in list {
        children.push(child(task)?);
    }
    Ok(children)
}

#[inline]
fn child(task: Bound<'_, PyAny>) -> PyResult<Py<Task>> {
    // Comparing one class is quicker than asking for its ancestors.
    let task = match task.cast_into_exact::<CompletableTask>() {
        Ok(task) => return Ok(task.into_super().unbind()),
        Err(error) => error.into_inner(),
    };
    task.cast_into::<Task>().map(Bound::unbind).map_err(|error| not_a_task(&error.into_inner()))
}

fn not_a_task(found: &Bound<'_, PyAny>) -> PyErr {
    let class = found.get_type();
    let name = class.name().map_or_else(|_| "an object".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!(
        "expected durable tasks, as call_activity, create_timer and their like return them; found {name}"
    ))
}

fn composed(tasks: &Bound<'_, PyAny>, rule: Rule) -> PyResult<Task> {
    Ok(Task::composed(Composite::new(tasks.py(), children(tasks)?, rule)))
}

fn composite_of<'a>(task: &'a Bound<'_, Task>) -> PyResult<&'a Composite<Task>> {
    task.get().as_composite().ok_or_else(|| PyValueError::new_err("The task is not composed of other tasks."))
}

fn completed(py: Python<'_>, children: &[Py<Task>]) -> usize {
    children.iter().filter(|child| child.get().stamp(py).is_some()).count()
}

/// A task that is composed of other tasks. Classes of the program's own are told of each that ends, by `on_child_completed`,
/// and say by `_result` and `_is_complete` when they have ended.
#[pyclass(frozen, subclass, weakref, generic, extends = Task, module = "durabletask.task")]
#[derive(Debug)]
pub(crate) struct CompositeTask;

#[pymethods]
impl CompositeTask {
    /// The arguments are for classes of the program's own.
    #[new]
    #[pyo3(signature = (*_arguments, **_named))]
    fn new(_arguments: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Task::own()).add_subclass(Self)
    }

    /// `tasks`: what it is composed of.
    #[pyo3(signature = (tasks=None, *_arguments, **_named))]
    fn __init__(
        slf: &Bound<'_, Self>,
        tasks: Option<&Bound<'_, PyAny>>,
        _arguments: &Bound<'_, PyTuple>,
        _named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        if let (Some(own), Some(tasks)) = (slf.as_super().get().as_own(), tasks) {
            own.children.get_or_set(slf.py(), children(tasks)?);
        }
        if wants_to_be_told(slf)? { own::watch(slf.as_super()) } else { Ok(()) }
    }

    /// The tasks it is composed of.
    fn get_tasks<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        PyList::new(py, slf.as_super().get().children(py).iter().map(|child| child.clone_ref(py)))
    }

    /// Called for each of its tasks that ends, for classes of the program's own.
    #[allow(clippy::unused_self, reason = "it is there to be overridden")]
    fn on_child_completed(&self, task: &Bound<'_, PyAny>) {
        let _ = task;
    }
}

/// Whether the class of a composite is one of a program's that wants to be told.
fn wants_to_be_told(composite: &Bound<'_, CompositeTask>) -> PyResult<bool> {
    let name = intern!(composite.py(), "on_child_completed");
    let ours = composite.py().get_type::<CompositeTask>().getattr(name)?;
    Ok(!composite.get_type().getattr(name)?.is(&ours))
}

/// Completes when all its tasks have completed, or as soon as one has failed; in the semantics of Dapr 1.19 it fails when
/// all have ended.
#[pyclass(frozen, subclass, generic, extends = CompositeTask, module = "durabletask.task")]
#[derive(Debug)]
pub(crate) struct WhenAllTask;

#[pymethods]
impl WhenAllTask {
    #[new]
    fn new(tasks: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        Ok(PyClassInitializer::from(composed(tasks, if WAITS_FOR_ALL.get() { Rule::AllEnded } else { Rule::All })?)
            .add_subclass(CompositeTask)
            .add_subclass(Self))
    }

    /// How many of its tasks have not completed yet.
    #[getter]
    fn pending_tasks(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let children = composite_of(slf.as_super().as_super())?.children();
        Ok(children.len() - completed(slf.py(), children))
    }

    /// How many of its tasks have completed or failed.
    fn get_completed_tasks(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(completed(slf.py(), composite_of(slf.as_super().as_super())?.children()))
    }
}

/// Completes with the first of its tasks that completes or fails; its result is that task.
#[pyclass(frozen, subclass, generic, extends = CompositeTask, module = "durabletask.task")]
#[derive(Debug)]
pub(crate) struct WhenAnyTask;

#[pymethods]
impl WhenAnyTask {
    #[new]
    fn new(tasks: &Bound<'_, PyAny>) -> PyResult<PyClassInitializer<Self>> {
        Ok(PyClassInitializer::from(composed(tasks, Rule::Any)?).add_subclass(CompositeTask).add_subclass(Self))
    }
}

/// A task that completes when all of `tasks` have completed, with the list of their results, or fails as soon as one fails.
#[pyfunction]
fn when_all<'py>(tasks: &Bound<'py, PyAny>) -> PyResult<Bound<'py, WhenAllTask>> {
    Bound::new(tasks.py(), WhenAllTask::new(tasks)?)
}

/// A task that completes as soon as one of `tasks` completes or fails, with that task as its result.
#[pyfunction]
fn when_any<'py>(tasks: &Bound<'py, PyAny>) -> PyResult<Bound<'py, WhenAnyTask>> {
    Bound::new(tasks.py(), WhenAnyTask::new(tasks)?)
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<CompositeTask>()?;
    module.add_class::<WhenAllTask>()?;
    module.add_class::<WhenAnyTask>()?;
    module.add_function(wrap_pyfunction!(when_all, module)?)?;
    module.add_function(wrap_pyfunction!(when_any, module)?)
}
