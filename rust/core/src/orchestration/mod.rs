//! The state of one execution: what it waits for, what it has asked for, how it ended.
//!
//! `state` holds it, and what the host may ask of it; `pending` what an execution waits for, `tasks`, `waiting` and `inbox`
//! how that is kept. `calls` are the calls that an orchestrator makes on its context, `external_events` the waits for events,
//! `call_timeouts` their ends, `completions` which call a completion belongs to, `outcome` how an execution ends, `rest`
//! what it takes while it waits, `held` what of it is the host's, `step` what an event asks of the host. `transitions` holds what events do to the state, `response` what is left at the
//! end of a turn.

mod attempts;
mod call_timeouts;
mod calls;
mod completions;
mod external_events;
mod held;
mod inbox;
mod outcome;
mod pending;
mod rest;
mod state;
mod step;
mod tasks;
mod waiters;
mod waiting;

pub use self::attempts::{AttemptNumber, FailedAttempt};
pub use self::calls::{ActivityCall, SubOrchestrationCall};
pub(crate) use self::completions::Proof;
pub(crate) use self::external_events::fold_case;
pub use self::external_events::{Until, Wait};
pub use self::held::Held;
pub use self::inbox::Payload;
pub(crate) use self::pending::{Outcome, Pending};
pub use self::state::{Orchestration, Unconfirmed};
pub use self::step::{FailedCall, LastFailure, Notice, Start, Step};
