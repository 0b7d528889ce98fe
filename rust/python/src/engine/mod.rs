//! Bytes in, bytes out: the orchestrator's half of a worker.

mod answer;
mod check;
mod counters;
mod executor;
mod holdings;
mod live;
mod log;
mod routine;
mod stalled;
mod stop;
mod surroundings;
mod trace;
mod turn;

pub(crate) use stop::Stop;

use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<executor::Executor>()?;
    stalled::register(module)?;
    module.add_function(wrap_pyfunction!(check::check_history, module)?)
}
