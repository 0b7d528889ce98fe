//! The engine's behaviour, one file a topic: every row of the replay rules, played on orchestrators written in Rust.

#[path = "../support/mod.rs"]
mod support;

mod any_bytes;
mod call_timeouts;
mod check;
mod continue_as_new;
mod early_completions;
mod errors;
mod event_timeouts;
mod events;
mod external_events;
mod ids;
mod outcomes;
mod recorded;
mod retries;
mod routers;
mod semantics;
mod sent_events;
mod stale_completions;
mod suspension;
mod versions;
mod wire;
