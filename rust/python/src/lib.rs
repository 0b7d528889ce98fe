//! `durabletask._core`: the binding between the Rust crates and Python.
//!
//! Conversions and the generator driver live here; protocol rules do not. Each module registers its own names.

use pyo3::prelude::*;

mod context;
mod engine;
mod messages;
mod sidecar;
mod tasks;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    tasks::register(module)?;
    context::register(module)?;
    engine::register(module)?;
    messages::register(module)?;
    sidecar::register(module)
}
