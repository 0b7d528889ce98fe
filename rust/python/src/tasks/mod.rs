//! The tasks that orchestrators wait for.
//!
//! A task knows whether and when it completed, and tells the composites that it belongs to, of which there may be any
//! number. `task` is the class that all have in common, `completable` those that somebody completes; `leaf` is a task that the
//! history completes, `composite` one that is made of others; `compose` are the functions and classes that make those, `own`
//! what tasks have that a program made.

mod completable;
mod compose;
mod composite;
mod leaf;
mod own;
mod task;

use pyo3::prelude::*;

pub(crate) use completable::{TaskClass, new_task};
pub(crate) use compose::Following;
pub(crate) use leaf::{AlreadyCompleted, TaskState};
pub(crate) use task::{About, Task};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Task>()?;
    completable::register(module)?;
    compose::register(module)
}
