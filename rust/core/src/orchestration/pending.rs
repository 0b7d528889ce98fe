//! What an execution waits for, and how it ended.

use std::sync::Arc;

use durabletask_proto::TaskFailureDetails;

use super::step::LastFailure;
use crate::action::{Call, Input, Name};
use crate::error::Method;
use crate::host::Host;
use crate::ids::ExecutionMark;
use crate::retry::RetryPolicy;
use crate::time::Timestamp;

/// A task that the history will complete.
///
/// Beside each stands what tells its completion from one of an earlier execution under the same id. While the history has
/// not confirmed the call, that is what the code asked for; then it is what the history says: a timer may have been created
/// by earlier code, which asked for another time.
#[derive(Debug)]
pub(crate) enum Pending<H: Host> {
    /// An activity, with the mark of its execution id once that is confirmed.
    Activity(H::Task, ExecutionMark),
    /// A sub-orchestration; its completion carries no mark.
    SubOrchestration(H::Task),
    /// A timer and when it fires; `None`: the history does not say.
    Timer(H::Task, Option<Timestamp>),
    /// A call that is tried again when it fails.
    Retryable(Box<Retry<H>>),
    /// The pause before the next attempt of a call.
    RetryTimer(Box<Retry<H>>),
    /// The end of the wait for an external event.
    EventTimer(Box<EventTimer>),
    /// The end of the time that the call whose id is the one before may take.
    CallTimer(Box<CallTimer>),
}

/// A call with a retry policy, between its attempts and during them.
#[derive(Debug)]
pub(crate) struct Retry<H: Host> {
    pub(crate) task: H::Task,
    pub(crate) policy: Arc<RetryPolicy>,
    pub(crate) attempt: u32,
    pub(crate) first_scheduled: Timestamp,
    pub(crate) call: Arc<Call<H>>,
    /// Kept for policies with a timeout, which may run out during the pause.
    pub(crate) last_failure: Option<Box<LastFailure>>,
    /// The mark of this attempt's execution id, as for an activity.
    pub(crate) mark: ExecutionMark,
    /// How long each attempt may take, in microseconds.
    pub(crate) timeout: Option<i64>,
    /// When the pause after this attempt ends, as for a timer.
    pub(crate) resumes_at: Option<Timestamp>,
    /// Whether somebody has told of this attempt's failure, before the history did.
    pub(crate) told: bool,
}

/// The timer that ends a wait. It lives until it fires, also when the event has come first: the sidecar has no way to
/// take a timer back.
#[derive(Debug)]
pub(crate) struct EventTimer {
    pub(crate) name: Name,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    /// When it fires, as for a timer.
    pub(crate) fire_at: Option<Timestamp>,
    /// What whoever waits is told, if the host has words of its own.
    pub(crate) message: Option<Box<str>>,
}

/// The timer that bounds a call, or one attempt of it. It lives until it fires, as that of a wait does.
#[derive(Debug)]
pub(crate) struct CallTimer {
    pub(crate) method: Method,
    pub(crate) name: Name,
    /// How long the call may take, in microseconds, and until when that is.
    pub(crate) timeout: i64,
    pub(crate) until: Timestamp,
    /// When it fires, as for a timer.
    pub(crate) fire_at: Option<Timestamp>,
}

/// How an execution ended.
#[derive(Debug)]
pub(crate) enum Outcome<H: Host> {
    Completed { id: i32, result: Option<String> },
    Failed { id: i32, details: Box<TaskFailureDetails> },
    Terminated { id: i32, output: Option<Box<str>> },
    ContinuedAsNew { input: Input<H::Input>, save_events: bool },
    VersionNotAvailable { id: i32 },
}
