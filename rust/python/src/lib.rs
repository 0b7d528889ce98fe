//! `durabletask._core`: the binding between the Rust crates and Python.
//!
//! Conversions and the generator driver live here; protocol rules do not. Each module registers its own names.

use pyo3::prelude::*;

mod context;
mod engine;
mod failures;
mod gil;
mod kept;
mod messages;
mod payload;
mod plain_json;
mod python;
mod sidecar;
mod tasks;
mod transport;

#[pymodule(gil_used = true)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    gil::require(module.py())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("PROTOCOL_DESCRIPTOR_HEX", durabletask_proto::DESCRIPTOR_HEX)?;
    tasks::register(module)?;
    context::register(module)?;
    engine::register(module)?;
    messages::register(module)?;
    sidecar::register(module)?;
    transport::register(module)
}
