//! Bytes in, bytes out: the orchestrator's half of a worker.

mod answer;
mod check;
mod counters;
mod executor;
pub(crate) mod failures;
mod live;
mod log;
pub(crate) mod payload;
pub(crate) mod python;
mod recorded;
mod routine;
mod stalled;
mod surroundings;
mod trace;
mod turn;

pub(crate) use turn::Stop;

use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<executor::Executor>()?;
    stalled::register(module)?;
    module.add_function(wrap_pyfunction!(check::check_history, module)?)
}
