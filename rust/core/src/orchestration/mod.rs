//! The state of one execution: what it waits for, what it has asked for, how it ended.
//!
//! This file holds the state and what the host may ask of it; `calls` the calls that an orchestrator makes on its context;
//! `outcome` how it ends; `step` what an event asks of the host; `rest` what it takes while it waits;
//! `tasks` which of them are waited for. `transitions` holds what events do to the state, `response`
//! what is left at the end of a turn.

mod calls;
mod outcome;
mod rest;
mod step;
mod tasks;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

pub use self::calls::{ActivityCall, SubOrchestrationCall};
pub(crate) use self::outcome::Outcome;
pub(crate) use self::rest::Roomy;
pub use self::step::{LastFailure, Notice, Start, Step};
use self::tasks::PendingTasks;
use crate::action::{Call, Name, PendingActions};
use crate::error::{CallName, Method};
use crate::external_events::{Buffered, EventTimer, Waiter};
use crate::retry::RetryPolicy;
use crate::time::Timestamp;
use crate::wire::{Event, EventType};

/// What the engine keeps for its host without looking inside.
pub trait Host {
    /// The host's handle of a task that the orchestrator may wait for.
    type Task: Debug;
    /// A call's argument that is not encoded yet.
    type Input: Debug;
}

/// An action of the past that the past does not confirm: the code makes a call that it did not make then.
pub type Unconfirmed = (i32, CallName);

/// A task that the history will complete.
#[derive(Debug)]
pub(crate) enum Pending<H: Host> {
    /// A call or a timer.
    Plain(H::Task),
    /// A call that is tried again when it fails.
    Retryable(Box<Retry<H>>),
    /// The pause before the next attempt of a call.
    RetryTimer(Box<Retry<H>>),
    /// The end of the wait for an external event.
    EventTimer(Box<EventTimer>),
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
}

/// An event that is applied later than it comes in the history.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Its place in the history, from 0.
    pub(crate) index: usize,
    pub(crate) bytes: Box<[u8]>,
}

/// One execution of one orchestration, rebuilt from its history.
#[derive(Debug)]
pub struct Orchestration<H: Host> {
    pub(crate) instance_id: Arc<str>,
    pub(crate) app_id: Option<Box<str>>,
    pub(crate) now: Timestamp,
    pub(crate) replaying: bool,
    pub(crate) started: bool,
    pub(crate) events_applied: usize,

    sequence: i32,
    guids: u32,
    pub(crate) actions: PendingActions<H>,
    pub(crate) tasks: PendingTasks<H>,
    pub(crate) waiters: FxHashMap<Box<str>, VecDeque<Waiter<H>>>,
    pub(crate) buffered: FxHashMap<Box<str>, Buffered>,
    pub(crate) buffered_ever: u64,
    /// Completions that arrived before the code made the call that they complete.
    pub(crate) early: FxHashMap<i32, Vec<Waiting>>,
    /// Retried calls that were given up since their time was over; other workers may have judged so later.
    pub(crate) given_up: Vec<(Method, Name)>,

    pub(crate) suspended: bool,
    /// Events that wait for the execution to be resumed.
    pub(crate) held: VecDeque<Waiting>,
    /// What was confirmed while the execution was suspended, which some histories do again and again.
    pub(crate) confirmed_while_suspended: FxHashSet<(i32, EventType)>,
    /// Early completions whose calls were made, to be applied before all that is released.
    pub(crate) due: VecDeque<Waiting>,
    /// Events whose time has come, to be applied before the next of the history.
    pub(crate) released: VecDeque<Waiting>,
    /// Place in the history of the event that is being applied after it had to wait.
    reapplied: Option<usize>,

    pub(crate) outcome: Option<Outcome<H>>,
    pub(crate) custom_status: Option<String>,
    pub(crate) version_from_history: Option<Box<str>>,
    pub(crate) version_used: Option<String>,
    pub(crate) patches_in_history: FxHashSet<Box<str>>,
    patch_answers: FxHashMap<Box<str>, bool>,
    pub(crate) patches_met: Vec<String>,
}

impl<H: Host> Orchestration<H> {
    /// An execution before its first event.
    #[must_use]
    pub fn new(instance_id: &str) -> Self {
        Self {
            instance_id: instance_id.into(),
            app_id: None,
            now: Timestamp::BEFORE_START,
            replaying: true,
            started: false,
            events_applied: 0,
            sequence: 0,
            guids: 0,
            actions: PendingActions::new(),
            tasks: PendingTasks::new(),
            waiters: FxHashMap::default(),
            buffered: FxHashMap::default(),
            buffered_ever: 0,
            early: FxHashMap::default(),
            given_up: Vec::new(),
            suspended: false,
            held: VecDeque::new(),
            confirmed_while_suspended: FxHashSet::default(),
            due: VecDeque::new(),
            released: VecDeque::new(),
            reapplied: None,
            outcome: None,
            custom_status: None,
            version_from_history: None,
            version_used: None,
            patches_in_history: FxHashSet::default(),
            patch_answers: FxHashMap::default(),
            patches_met: Vec::new(),
        }
    }

    /// The instance's id.
    #[must_use]
    pub fn instance_id(&self) -> &Arc<str> {
        &self.instance_id
    }

    /// The application that this instance belongs to, once it has started.
    #[must_use]
    pub fn app_id(&self) -> Option<&str> {
        self.app_id.as_deref()
    }

    /// The time of the turn that is being replayed: the last `orchestratorStarted`.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Sets the clock; in a turn, `orchestratorStarted` does.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Whether the events being applied were applied in an earlier turn already.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        self.replaying
    }

    /// Says whether the events to come belong to the past.
    pub fn set_replaying(&mut self, replaying: bool) {
        self.replaying = replaying;
    }

    /// The version that the history pins this execution to.
    #[must_use]
    pub fn version_from_history(&self) -> Option<&str> {
        self.version_from_history.as_deref()
    }

    /// The version that runs, or else the one that the history asks for.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version_used.as_deref().or(self.version_from_history.as_deref())
    }

    /// How many events of the history were applied, those that wait included.
    #[must_use]
    pub fn events_applied(&self) -> usize {
        self.events_applied
    }

    /// How many tasks and how many names of external events are waited for.
    #[must_use]
    pub fn outstanding(&self) -> (usize, usize) {
        (self.tasks.len(), self.names_awaited())
    }

    /// Remembers which version of the orchestrator runs; an empty name is none.
    pub fn set_version_used(&mut self, version: String) {
        self.version_used = (!version.is_empty()).then_some(version);
    }

    /// Lets go of all that the orchestrator has asked for. Call it when an event could not be applied: then nobody knows
    /// what was done before.
    pub fn discard_actions(&mut self) {
        self.actions.retain(|_| false);
    }

    /// Actions that the past should have confirmed and did not. Ask when the past has been replayed.
    pub fn unconfirmed(&self) -> impl Iterator<Item = Unconfirmed> {
        self.actions.iter().map(|(id, action)| (id, action.call_name()))
    }

    /// Whether [`unconfirmed`](Self::unconfirmed) has any.
    #[must_use]
    pub fn has_unconfirmed(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Whether [`next_released`](Self::next_released) has any.
    #[must_use]
    pub fn has_released(&self) -> bool {
        !(self.due.is_empty() && self.released.is_empty())
    }

    /// The next event that had to wait and waits no longer; the host applies these before going on with the history.
    pub fn next_released(&mut self) -> Option<Box<[u8]>> {
        let next = self.due.pop_front().or_else(|| self.released.pop_front());
        self.reapplied = next.as_ref().map(|event| event.index);
        next.map(|event| event.bytes)
    }

    /// Place in the history of the event that is being applied, from 0.
    pub(crate) fn event_index(&self) -> usize {
        self.reapplied.unwrap_or_else(|| self.events_applied.saturating_sub(1))
    }

    pub(crate) fn waiting(&self, event: &Event<'_>) -> Waiting {
        Waiting { index: self.event_index(), bytes: event.raw().bytes.into() }
    }
}
