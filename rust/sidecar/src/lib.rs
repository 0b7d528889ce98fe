//! The embedded sidecar: what Durable Task workers and clients talk to, in one process, on SQLite.
//!
//! A sidecar keeps instances, their histories and inboxes, their timers and activities; hands work to the workers that
//! connect; and applies what they answer. It never runs an orchestrator: that is the workers' business.
//!
//! - `machine`: what a turn's response makes of an instance; pure.
//! - `store`: rows in SQLite, in memory or in a file.
//! - `hub`: one thread that owns both and everything in between: queues, leases, waiters, timers.
//! - `service`: gRPC in front of it.
//! - [`Sidecar`] starts and stops all that; [`BlockingSidecar`] does it for callers without a runtime; [`command`] is
//!   the program.

mod access;
mod blocking;
mod clock;
pub mod command;
mod connections;
mod hub;
mod machine;
mod metrics;
mod retention;
mod server;
mod service;
mod store;
mod time;
mod wire;

pub use access::{Access, AccessError};
pub use blocking::{BlockingSidecar, BlockingTime};
pub use retention::{Retention, RetentionError};
pub use server::{Options, Sidecar, StartError, Time, VirtualTime};
pub use store::{BackupError, OpenError, StoreError, back_up};
