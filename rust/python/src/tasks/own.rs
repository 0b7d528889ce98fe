//! Tasks of classes that programs derive: what they keep in attributes, and composites that are told of their children.
//!
//! A child knows of such a composite by a weak reference: whoever waits for the composite holds it.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyBaseException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use pyo3::{PyTraverseError, PyVisit};

use super::composite::Child;
use crate::gil::{Guarded, SetOnce};

/// What a task has that a program made.
#[derive(Debug)]
pub(crate) struct Own<T> {
    pub(super) children: SetOnce<Vec<Py<T>>>,
    pub(super) result: Guarded<Option<Py<PyAny>>>,
    pub(super) exception: Guarded<Option<Py<PyBaseException>>>,
}

impl<T> Own<T> {
    pub(super) fn new() -> Self {
        Self { children: SetOnce::new(), result: Guarded::new(None), exception: Guarded::new(None) }
    }

    pub(super) fn result(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.result.lock(py).as_ref().map(|set| set.clone_ref(py))
    }

    pub(super) fn exception(&self, py: Python<'_>) -> Option<Py<PyBaseException>> {
        self.exception.lock(py).as_ref().map(|set| set.clone_ref(py))
    }

    /// Visits what it holds, for Python's collector of cycles.
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for child in self.children.peek(visit).into_iter().flatten() {
            visit.call(child)?;
        }
        if let Some(result) = self.result.peek(visit) {
            visit.call(&*result)?;
        }
        self.exception.peek(visit).map_or(Ok(()), |exception| visit.call(&*exception))
    }

    /// Lets go of it.
    ///
    /// # Safety
    /// Only from `__clear__`, as for `SetOnce`.
    #[allow(unsafe_code, reason = "only the collector may take what was set once")]
    pub(super) unsafe fn clear(&self, py: Python<'_>) {
        // SAFETY: as above.
        let children = unsafe { self.children.clear(py) };
        let result = self.result.lock(py).take();
        let exception = self.exception.lock(py).take();
        drop((children, result, exception));
    }
}

/// The composites that a task has to tell of its end; most have none.
pub(super) type Watched = SetOnce<Box<Guarded<Vec<Arc<Watch>>>>>;

/// A child of a composite that wants to be told of its end.
#[derive(Debug)]
pub(super) struct Watch {
    parent: Py<PyWeakrefReference>,
    child: usize,
    told: AtomicBool,
}

/// A task that may have to tell composites of its end.
pub(super) trait Watching: Child {
    /// Whom it has to tell.
    fn watched(&self) -> &Watched;
    /// What it is made of, by the engine or by a program.
    fn children(&self, py: Python<'_>) -> &[Py<Self>];
}

/// Tells the composites of a task that has ended, and of those composed of it that have ended thereby.
pub(super) fn tell<T: Watching>(task: &T, py: Python<'_>) -> PyResult<()> {
    let Some(watched) = task.watched().get(py) else { return Ok(()) };
    // Programs run below, and may have tasks watched.
    let due = mem::take(&mut *watched.lock(py));
    let mut kept = Vec::new();
    for watch in due {
        let Some(parent) = watch.parent.bind(py).upgrade_as::<T>()? else { continue };
        let Some(child) = parent.get().children(py).get(watch.child) else { continue };
        if child.get().stamp(py).is_none() {
            kept.push(watch);
        } else if !watch.told.swap(true, Ordering::Relaxed) {
            parent.as_any().call_method1(intern!(py, "on_child_completed"), (child,))?;
        }
    }
    watched.lock(py).append(&mut kept);
    Ok(())
}

/// Has a composite be told of the end of its children; those that have ended it is told of at once.
pub(super) fn watch<T: Watching>(composite: &Bound<'_, T>) -> PyResult<()> {
    let py = composite.py();
    let parent = PyWeakrefReference::new(composite.as_any())?.unbind();
    for (index, child) in composite.get().children(py).iter().enumerate() {
        if child.get().stamp(py).is_some() {
            composite.as_any().call_method1(intern!(py, "on_child_completed"), (child,))?;
            continue;
        }
        let watch = Arc::new(Watch { parent: parent.clone_ref(py), child: index, told: AtomicBool::new(false) });
        add(child.get(), py, &watch);
    }
    Ok(())
}

/// Adds a watch to all that the end of a task may come from.
fn add<T: Watching>(task: &T, py: Python<'_>, watch: &Arc<Watch>) {
    let mut within = vec![task];
    while let Some(task) = within.pop() {
        match task.as_composite() {
            None => {
                let watched = task.watched().get_or_set(py, Box::new(Guarded::new(Vec::new())));
                watched.lock(py).push(Arc::clone(watch));
            }
            Some(composite) => within.extend(composite.children().iter().map(Py::get)),
        }
    }
}
