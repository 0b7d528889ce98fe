//! The state machine of an instance: what a turn's response makes of it. No I/O, no clock, no randomness in here.
//!
//! [`Instance`] is what is known of an execution between turns; [`complete_turn`] takes it, the turn's events and the
//! worker's response to an [`Outcome`], which says what to commit and what to send to whom. What to do with that is the
//! hub's affair.

mod actions;
mod complete;
pub(crate) mod events;
mod instance;
mod rerun;
#[cfg(test)]
mod tests;
mod trace;

pub(crate) use actions::asked_of_another;
pub(crate) use complete::{Turn, complete_turn, terminate_unstarted};
pub(crate) use instance::{Instance, Kind, RawEvent, is_final};
pub(crate) use rerun::{Rerun, RerunError, rerun};

use std::collections::HashMap;

use durabletask_proto::prost_types::Timestamp;
use durabletask_proto::{ExecutionTerminatedEvent, HistoryEvent, HistoryPropagationScope, TaskFailureDetails};

/// What the machine may not find out by itself.
pub(crate) struct Environment<'a> {
    pub(crate) now: Timestamp,
    /// Written into the router of everything that an orchestrator asks for.
    pub(crate) app_id: &'a str,
    /// A fresh random id.
    pub(crate) new_id: &'a mut dyn FnMut() -> uuid::Uuid,
}

/// What a turn comes to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The instance as it is now.
    pub(crate) instance: Instance,
    /// The worker could not run it: nothing was consumed, only `history` is to be appended.
    pub(crate) stalled: bool,
    /// Continued as new: the history so far is to be forgotten, and these events begin the next execution.
    pub(crate) next_execution: Option<Vec<HistoryEvent>>,
    /// What to append to the history, in order.
    pub(crate) history: Vec<Entry>,
    /// `taskScheduled` events whose activities are to be run.
    pub(crate) activities: Vec<HistoryEvent>,
    /// What calls hand on of the history, by their actions.
    pub(crate) shown: HashMap<i32, Shown>,
    /// What an execution that has continued as new had in its last turn.
    pub(crate) parting: Vec<Entry>,
    /// `timerFired` events and when they are due.
    pub(crate) timers: Vec<(Timestamp, HistoryEvent)>,
    /// Events for other instances.
    pub(crate) messages: Vec<Message>,
    /// Instances to create.
    pub(crate) children: Vec<Child>,
    /// Present if the turn said so.
    pub(crate) custom_status: Option<String>,
    pub(crate) completion: Option<Completion>,
    /// Everything that this instance started is to be terminated like this.
    pub(crate) cascade: Option<ExecutionTerminatedEvent>,
}

/// How much of the instance's history a call hands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) scope: HistoryPropagationScope,
    /// Of this turn's events, so many: those up to the one that confirms the call.
    pub(crate) entries: usize,
}

/// One history event to commit.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Came in encoded, is stored as it came.
    Received(RawEvent),
    Made(Box<HistoryEvent>),
}

/// How an execution ended.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Completion {
    pub(crate) output: Option<String>,
    pub(crate) failure: Option<TaskFailureDetails>,
}

/// An event for another instance.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) target: String,
    /// Deliver only to this execution of the target: a result must not reach its successor, whose task ids are others.
    pub(crate) execution_id: Option<String>,
    pub(crate) event: HistoryEvent,
}

/// An instance to create.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its `executionStarted`.
    pub(crate) event: HistoryEvent,
    /// The action that asked for it; the parent is told when the child can not be created. None if nobody waits for it.
    pub(crate) awaited_as: Option<i32>,
}

impl Outcome {
    /// Notes that the call whose confirmation was committed last hands history on, if its scope says so; one that is
    /// unknown says nothing.
    fn show(&mut self, id: i32, scope: Option<i32>) {
        let scope = scope.and_then(|scope| HistoryPropagationScope::try_from(scope).ok()).unwrap_or_default();
        if scope != HistoryPropagationScope::None {
            self.shown.insert(id, Shown { scope, entries: self.history.len() });
        }
    }
}
