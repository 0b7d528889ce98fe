//! What an event asks the host to do.

use crate::host::Host;
use crate::wire::{Failure, Span};

/// What the host has to do after an event was applied.
#[derive(Debug)]
pub enum Step<'a, H: Host> {
    /// Nothing.
    Continue,
    /// Find the orchestrator and start it.
    Start(Start<'a>),
    /// Complete the task with this JSON (`None` for no value; not yet checked to be text), then resume the orchestrator.
    Complete(H::Task, Option<Span<'a>>),
    /// Fail the task with this message, then resume the orchestrator.
    Fail(H::Task, Box<FailedCall<'a>>),
    /// The same for a call that is not tried again after a pause, with what its last attempt failed with.
    GiveUp(H::Task, Box<LastFailure>),
    /// Fail the task because the time to wait is over, with this message, then resume the orchestrator.
    TimeOut(H::Task, String),
    /// Nothing, but somebody may want to know.
    Ignored(Notice),
}

/// What a call failed with that is not tried again. It lies apart, since steps are handed on for every event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCall<'a> {
    /// The task's message.
    pub message: String,
    /// What the history says.
    pub failure: Failure<'a>,
}

/// What the last attempt of a call failed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// The task's message.
    pub message: String,
    /// The exception's class name.
    pub error_type: String,
    /// The exception's text.
    pub error_message: String,
    /// The traceback.
    pub stack_trace: Option<String>,
    /// The failure behind it, a serialized `TaskFailureDetails`.
    pub inner: Option<Box<[u8]>>,
}

/// An execution that begins.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// The orchestrator's name.
    pub name: &'a str,
    /// The input's JSON.
    pub input: Option<&'a str>,
}

/// An event that had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A completion (its type and the id it names) of something that nobody waits for.
    UnexpectedCompletion(&'static str, i32),
    /// The same, and something is waited for under that id: another kind of call, another execution of the activity, a
    /// timer of another time. It is left over from the execution before, and means nothing to this one.
    StaleCompletion(&'static str, i32),
    /// An external event that nobody waits for yet.
    Buffered,
}
