//! A borrowed view of the wire format: what the engine needs of a request, and nothing else of it.
//!
//! A history can hold a hundred thousand events, of which replay reads a number, a name or a payload each. Decoding them
//! into owned messages costs more than replaying them, so these types borrow from the request's bytes and leave what
//! nobody asks for unread. All field numbers that the engine knows stand in this module; the tests hold them against
//! the generated messages.

mod endless;
mod event;
mod payloads;
mod reader;
mod request;
mod usual;

pub(crate) use endless::{NEVER, is_endless_wait};
pub use event::{Event, EventType};
pub use payloads::{
    EventRaised, EventSent, ExecutionStarted, Failed, Failure, OrchestratorStarted, Scheduled, SubOrchestrationCreated,
    TaskCompleted, TaskScheduled, Terminated, TimerCreated, TimerFired,
};
pub use reader::{Corrupt, Field, Problem, Reader, Span};
pub(crate) use request::put;
pub use request::{Known, Request, WorkItem, complete_request};
