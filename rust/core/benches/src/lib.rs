//! What the engine's benches replay: histories as sidecars write them, and a host that costs next to nothing, whose
//! orchestrators are state machines in Rust. So what is measured is the engine, without Python, generators or JSON.

#![forbid(unsafe_code)]

mod history;
mod host;
mod workloads;

pub use host::replay;
pub use workloads::{WORKLOADS, Workload};
