//! `when_all` and `when_any`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use durabletask_core::semantics::Semantics;

use pyo3::exceptions::{PyRecursionError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::{COMPLETIONS, CompletableTask, FAILURES, Task};
use crate::engine::failures::Failure;
use crate::gil::SetOnce;

/// Composites in composites, at most: their state is found by recursion.
const MAX_DEPTH: usize = 200;

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

/// A task made of tasks.
#[derive(Debug)]
pub(super) struct Composite {
    children: Vec<Py<Task>>,
    rule: Rule,
    depth: usize,
    result: SetOnce<Py<PyAny>>,
}

#[derive(Debug)]
enum Rule {
    All {
        done: SetOnce<AllDone>,
        /// All children before this one have completed.
        cursor: AtomicUsize,
        /// `FAILURES` when the children were last searched for one.
        failures_seen: AtomicU64,
        waits_for_all: bool,
        /// The first in the list that had failed before the question was asked.
        failed_before: Option<usize>,
    },
    Any {
        done: SetOnce<AnyDone>,
        /// `COMPLETIONS` when the children were last searched.
        completions_seen: AtomicU64,
    },
}

#[derive(Debug)]
struct AllDone {
    stamp: u64,
    failed: Option<usize>,
}

#[derive(Debug)]
struct AnyDone {
    stamp: u64,
    winner: Option<usize>,
}

impl Composite {
    fn task(children: Vec<Py<Task>>, rule: Rule) -> PyResult<Task> {
        let depth = 1 + children.iter().map(|child| child.get().depth()).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            let message = format!("when_all and when_any are nested {depth} deep; at most {MAX_DEPTH} are supported");
            return Err(PyRecursionError::new_err(message));
        }
        let composite = Self { children, rule, depth, result: SetOnce::new() };
        Ok(Task::composed(composite))
    }

    fn all(tasks: &Bound<'_, PyAny>) -> PyResult<Task> {
        let py = tasks.py();
        let children = children(tasks)?;
        let waits_for_all = WAITS_FOR_ALL.get();
        let has_failed = |child: &Py<Task>| child.get().stamp(py).is_some() && child.get().failure(py).is_some();
        let failed_before = if waits_for_all { children.iter().position(has_failed) } else { None };
        let rule = Rule::All {
            done: SetOnce::new(),
            cursor: AtomicUsize::new(0),
            failures_seen: AtomicU64::new(u64::MAX),
            waits_for_all,
            failed_before,
        };
        Self::task(children, rule)
    }

    fn any(tasks: &Bound<'_, PyAny>) -> PyResult<Task> {
        let py = tasks.py();
        let children = children(tasks)?;
        let done = SetOnce::new();
        let completions_seen = COMPLETIONS.load(Ordering::Relaxed);
        // Among tasks that had completed before the question was asked, the first in the list wins.
        let first = children.iter().enumerate().find_map(|(index, child)| Some((index, child.get().stamp(py)?)));
        if first.is_some() || children.is_empty() {
            let (winner, stamp) = first.map_or((None, 0), |(index, stamp)| (Some(index), stamp));
            done.get_or_set(py, AnyDone { stamp, winner });
        }
        Self::task(children, Rule::Any { done, completions_seen: AtomicU64::new(completions_seen) })
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// When the composite completed. A stamp tells it exactly, however late it is asked for.
    pub(super) fn stamp(&self, py: Python<'_>) -> Option<u64> {
        match &self.rule {
            Rule::All { done, cursor, failures_seen, waits_for_all, failed_before } => {
                let found = done.get(py).map(|done| done.stamp);
                found.or_else(|| match (waits_for_all, failed_before) {
                    (true, failed_before) => self.wait_for_all(py, done, cursor, *failed_before),
                    (false, _) => self.look_for_all(py, done, cursor, failures_seen),
                })
            }
            Rule::Any { done, completions_seen } => {
                let found = done.get(py).map(|done| done.stamp);
                found.or_else(|| self.look_for_any(py, done, completions_seen))
            }
        }
    }

    fn look_for_all(
        &self,
        py: Python<'_>,
        done: &SetOnce<AllDone>,
        cursor: &AtomicUsize,
        seen: &AtomicU64,
    ) -> Option<u64> {
        let failures = FAILURES.load(Ordering::Relaxed);
        if seen.load(Ordering::Relaxed) != failures {
            seen.store(failures, Ordering::Relaxed);
            if let Some((stamp, index)) = self.first_completed(py, |child| child.failure(py).is_some()) {
                return Some(done.get_or_set(py, AllDone { stamp, failed: Some(index) }).stamp);
            }
        }
        let last = self.last_completed(py, cursor)?;
        Some(done.get_or_set(py, AllDone { stamp: last, failed: None }).stamp)
    }

    fn wait_for_all(
        &self,
        py: Python<'_>,
        done: &SetOnce<AllDone>,
        cursor: &AtomicUsize,
        failed_before: Option<usize>,
    ) -> Option<u64> {
        let last = self.last_completed(py, cursor)?;
        let first_failed = || self.first_completed(py, |child| child.failure(py).is_some()).map(|(_, index)| index);
        let failed = failed_before.or_else(first_failed);
        Some(done.get_or_set(py, AllDone { stamp: last, failed }).stamp)
    }

    /// When the last child completed; `None` while there is one that has not.
    fn last_completed(&self, py: Python<'_>, cursor: &AtomicUsize) -> Option<u64> {
        let mut next = cursor.load(Ordering::Relaxed);
        while let Some(child) = self.children.get(next) {
            if child.get().stamp(py).is_none() {
                cursor.store(next, Ordering::Relaxed);
                return None;
            }
            next += 1;
        }
        Some(self.children.iter().filter_map(|child| child.get().stamp(py)).max().unwrap_or(0))
    }

    fn look_for_any(&self, py: Python<'_>, done: &SetOnce<AnyDone>, seen: &AtomicU64) -> Option<u64> {
        let completions = COMPLETIONS.load(Ordering::Relaxed);
        if seen.load(Ordering::Relaxed) == completions {
            return None;
        }
        seen.store(completions, Ordering::Relaxed);
        let (stamp, winner) = self.first_completed(py, |_| true)?;
        Some(done.get_or_set(py, AnyDone { stamp, winner: Some(winner) }).stamp)
    }

    /// The stamp and the place of the child that completed before all others of its kind.
    fn first_completed(&self, py: Python<'_>, kind: impl Fn(&Task) -> bool) -> Option<(u64, usize)> {
        let completed = self.children.iter().enumerate().filter_map(|(index, child)| {
            let child = child.get();
            child.stamp(py).filter(|_| kind(child)).map(|stamp| (stamp, index))
        });
        completed.min()
    }

    pub(super) fn failure(&self, py: Python<'_>) -> Option<&Failure> {
        match &self.rule {
            Rule::All { done, .. } => self.children.get(done.get(py)?.failed?)?.get().failure(py),
            Rule::Any { .. } => None,
        }
    }

    /// The value of a composite that completed without failing.
    pub(super) fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(result) = self.result.get(py) {
            return Ok(result.bind(py).clone());
        }
        let result = match &self.rule {
            Rule::All { .. } => {
                let results: PyResult<Vec<_>> = self.children.iter().map(|child| child.get().get_result(py)).collect();
                PyList::new(py, results?)?.into_any()
            }
            Rule::Any { done, .. } => match done.get(py).and_then(|done| done.winner) {
                Some(winner) => self.children[winner].bind(py).clone().into_any(),
                None => PyList::empty(py).into_any(),
            },
        };
        Ok(self.result.get_or_set(py, result.unbind()).bind(py).clone())
    }

    /// What it waits for, in words: a few of the tasks that are pending.
    pub(super) fn waits_for(&self, py: Python<'_>, look_inside: bool) -> String {
        const FEW: usize = 3;
        let words = format!("of {} tasks", self.children.len());
        if !look_inside {
            return words;
        }
        let mut pending = self.children.iter().filter(|child| child.get().stamp(py).is_none());
        let first: Vec<_> = pending.by_ref().take(FEW).map(|child| child.get().waits_for(py, false)).collect();
        let more = pending.count();
        if first.is_empty() {
            return words;
        }
        let others = if more > 0 { "; …" } else { "" };
        format!("{words}, {} pending: {}{others}", first.len() + more, first.join("; "))
    }

    fn completed_children(&self, py: Python<'_>) -> usize {
        self.children.iter().filter(|child| child.get().stamp(py).is_some()).count()
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

/// A task that is composed of other tasks.
#[pyclass(frozen, subclass, generic, extends = Task, module = "durabletask.task")]
#[derive(Debug)]
pub(crate) struct CompositeTask;

#[pymethods]
impl CompositeTask {
    /// The tasks it is composed of.
    fn get_tasks<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        PyList::new(py, slf.as_super().get().composite()?.children.iter().map(|child| child.clone_ref(py)))
    }
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
        Ok(PyClassInitializer::from(Composite::all(tasks)?).add_subclass(CompositeTask).add_subclass(Self))
    }

    /// How many of its tasks have not completed yet.
    #[getter]
    fn pending_tasks(slf: &Bound<'_, Self>) -> PyResult<usize> {
        let composite = slf.as_super().as_super().get().composite()?;
        Ok(composite.children.len() - composite.completed_children(slf.py()))
    }

    /// How many of its tasks have completed or failed.
    fn get_completed_tasks(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(slf.as_super().as_super().get().composite()?.completed_children(slf.py()))
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
        Ok(PyClassInitializer::from(Composite::any(tasks)?).add_subclass(CompositeTask).add_subclass(Self))
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
