//! One execution, and what the host may ask of it between events.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::inbox::Inbox;
use super::pending::{Outcome, Pending};
use super::tasks::PendingTasks;
use super::waiters::Waiters;
use super::waiting::{EarlyCompletions, Waiting, WaitingEvents};
use crate::action::{Name, PendingActions};
use crate::error::{CallName, Method};
use crate::host::Host;
use crate::semantics::Semantics;
use crate::time::Timestamp;
use crate::wire::{Event, EventType};

/// An action of the past that the past does not confirm: the code makes a call that it did not make then.
pub type Unconfirmed = (i32, CallName);

/// One execution of one orchestration, rebuilt from its history.
#[derive(Debug)]
pub struct Orchestration<H: Host> {
    pub(crate) instance_id: Arc<str>,
    pub(crate) app_id: Option<Box<str>>,
    pub(crate) semantics: Semantics,
    pub(crate) now: Timestamp,
    pub(crate) replaying: bool,
    pub(crate) started: bool,
    pub(crate) events_applied: usize,

    pub(super) sequence: i32,
    pub(super) guids: u32,
    pub(crate) actions: PendingActions<H>,
    pub(crate) tasks: PendingTasks<Pending<H>>,
    pub(crate) waiters: Waiters<H::Task>,
    pub(crate) inbox: Inbox,
    pub(crate) early: EarlyCompletions,
    /// Retried calls that were given up since their time was over; other workers may have judged so later.
    pub(crate) given_up: Vec<(Method, Name)>,

    pub(crate) suspended: bool,
    /// Events that wait for the execution to be resumed.
    pub(crate) held: WaitingEvents,
    /// What was confirmed while the execution was suspended, which some histories do again and again.
    pub(crate) confirmed_while_suspended: FxHashSet<(i32, EventType)>,
    /// Early completions whose calls were made, to be applied before all that is released.
    pub(crate) due: WaitingEvents,
    /// Events whose time has come, to be applied before the next of the history.
    pub(crate) released: WaitingEvents,
    /// Place in the history of the event that is being applied after it had to wait.
    reapplied: Option<usize>,

    pub(crate) outcome: Option<Outcome<H>>,
    pub(crate) custom_status: Option<String>,
    pub(crate) version_from_history: Option<Box<str>>,
    pub(crate) version_used: Option<String>,
    pub(crate) patches_in_history: FxHashSet<Box<str>>,
    pub(super) patch_answers: FxHashMap<Box<str>, bool>,
    pub(crate) patches_met: Vec<String>,
}

impl<H: Host> Orchestration<H> {
    /// An execution before its first event.
    #[must_use]
    pub fn new(instance_id: &str) -> Self {
        Self {
            instance_id: instance_id.into(),
            app_id: None,
            semantics: Semantics::default(),
            now: Timestamp::BEFORE_START,
            replaying: true,
            started: false,
            events_applied: 0,
            sequence: 0,
            guids: 0,
            actions: PendingActions::new(),
            tasks: PendingTasks::new(),
            waiters: Waiters::new(),
            inbox: Inbox::default(),
            early: EarlyCompletions::default(),
            given_up: Vec::new(),
            suspended: false,
            held: WaitingEvents::default(),
            confirmed_while_suspended: FxHashSet::default(),
            due: WaitingEvents::default(),
            released: WaitingEvents::default(),
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

    /// The release whose decisions it follows.
    #[must_use]
    pub fn semantics(&self) -> Semantics {
        self.semantics
    }

    /// Has it follow a release; to be called before its first event.
    pub fn set_semantics(&mut self, semantics: Semantics) {
        self.semantics = semantics;
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
        (self.tasks.len(), self.waiters.names_awaited())
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

    /// Actions that the past should have confirmed and did not. Ask when the past has been replayed. The timers of waits
    /// without an end are none of them: not every engine that may have made the past has such.
    pub fn unconfirmed(&self) -> impl Iterator<Item = Unconfirmed> {
        let asked = self.actions.iter().filter(|(_, action)| !action.is_endless_wait());
        asked.map(|(id, action)| (id, action.call_name()))
    }

    /// Whether [`unconfirmed`](Self::unconfirmed) has any.
    #[must_use]
    pub fn has_unconfirmed(&self) -> bool {
        self.unconfirmed().next().is_some()
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
