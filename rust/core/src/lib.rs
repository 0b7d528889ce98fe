//! The replay engine of Durable Task: history events in, orchestrator actions out.
//!
//! An orchestrator's state is never stored: it is rebuilt by running its code again over the events of its history. This
//! crate holds the rules of that: which event completes which task, which action a history has confirmed, what is left to
//! ask of the sidecar. It runs no user code itself. A host (the Python binding, or a test) applies one event after the
//! other, does what the returned [`Step`] says, and reports what the orchestrator calls meanwhile:
//!
//! ```text
//! request bytes ──> wire ──> Orchestration::apply ──> Step ──> host resumes the orchestrator
//!                                    ^                                  │
//!                                    └── call_activity, create_timer … ─┘
//! response bytes <── Orchestration::response
//! ```
//!
//! No Python, no I/O, no clock, no randomness, no threads; no panic on any bytes.

#![forbid(unsafe_code)]

pub mod cache;
pub mod check;
pub mod error;
pub mod fingerprint;
pub mod history;
pub mod ids;
pub mod retry;
pub mod semantics;
pub mod time;
pub mod wire;

mod action;
mod host;
mod orchestration;
mod response;
mod room;
mod transitions;

pub use action::{Input, Name};
pub use durabletask_proto::HistoryPropagationScope;
pub use error::Error;
pub use host::Host;
pub use orchestration::{
    ActivityCall, AttemptNumber, FailedAttempt, FailedCall, Held, LastFailure, Notice, Orchestration, Payload, Start,
    Step, SubOrchestrationCall, Unconfirmed, Until, Wait,
};
pub use response::{FailureDetails, decode_failure_response, status_name};
