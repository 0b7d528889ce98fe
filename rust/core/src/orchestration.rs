//! The state of one execution: what it waits for, what it has asked for, how it ended.
//!
//! This file holds the state and the calls that an orchestrator makes on its context; `transitions` holds what events do
//! to it, `response` what is left at the end of a turn.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use durabletask_proto::{HistoryPropagationScope, TaskFailureDetails};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::action::{Action, Call, Input, Name, PendingActions, SentEvent, Target, Timer, TimerOrigin};
use crate::error::{CallName, Method};
use crate::external_events::{Buffered, EventTimer, Waiter};
use crate::ids::GuidSeed;
use crate::retry::RetryPolicy;
use crate::time::Timestamp;
use crate::wire::{Corrupt, Event, EventType, Failure, Span, TaskCompleted, TimerFired};

/// What the engine keeps for its host without looking inside.
pub trait Host {
    /// The host's handle of a task that the orchestrator may wait for.
    type Task: Debug;
    /// A call's argument that is not encoded yet.
    type Input: Debug;
}

/// What the host has to do after an event was applied.
#[derive(Debug)]
pub enum Step<'a, H: Host> {
    /// Nothing.
    Continue,
    /// Find the orchestrator and start it.
    Start(Start<'a>),
    /// Complete the task with this JSON (`None` for no value), then resume the orchestrator.
    Complete(H::Task, Option<&'a str>),
    /// Fail the task with this message, then resume the orchestrator.
    Fail(H::Task, String, Failure<'a>),
    /// The same for a call that is not tried again after a pause, with what its last attempt failed with.
    GiveUp(H::Task, Box<LastFailure>),
    /// Fail the task because the time to wait is over, with this message, then resume the orchestrator.
    TimeOut(H::Task, String),
    /// Nothing, but somebody may want to know.
    Ignored(Notice),
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
    /// An external event that nobody waits for yet.
    Buffered,
}

/// An action of the past that the past does not confirm: the code makes a call that it did not make then.
pub type Unconfirmed = (i32, CallName);

/// Arguments of `call_activity` beside the retry policy.
#[derive(Debug)]
pub struct ActivityCall<I> {
    /// The activity.
    pub name: Name,
    /// Its argument.
    pub input: Input<I>,
    /// The application that runs it, if not this one.
    pub app_id: Option<Arc<str>>,
    /// How much of the caller's history it is shown.
    pub propagation: Option<HistoryPropagationScope>,
}

/// Arguments of `call_sub_orchestrator` beside the retry policy.
#[derive(Debug)]
pub struct SubOrchestrationCall<I> {
    /// The orchestrator.
    pub name: Name,
    /// Its argument.
    pub input: Input<I>,
    /// Its instance id; by default one made from the parent's.
    pub instance_id: Option<Arc<str>>,
    /// The application that runs it, if not this one.
    pub app_id: Option<Arc<str>>,
    /// How much of the caller's history it is shown.
    pub propagation: Option<HistoryPropagationScope>,
}

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

/// How an execution ended.
#[derive(Debug)]
pub(crate) enum Outcome<H: Host> {
    Completed { id: i32, result: Option<String> },
    Failed { id: i32, details: Box<TaskFailureDetails> },
    Terminated { id: i32, output: Option<Box<str>> },
    ContinuedAsNew { input: Input<H::Input>, save_events: bool },
    VersionNotAvailable { id: i32 },
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
    /// Events applied so far, those that wait included.
    pub(crate) events_applied: usize,

    sequence: i32,
    guids: u32,
    pub(crate) actions: PendingActions<H>,
    pub(crate) tasks: FxHashMap<i32, Pending<H>>,
    pub(crate) waiters: FxHashMap<Box<str>, VecDeque<Waiter<H>>>,
    pub(crate) buffered: FxHashMap<Box<str>, Buffered>,
    pub(crate) buffered_ever: u64,
    /// Completions that arrived before the code made the call that they complete.
    pub(crate) early: FxHashMap<i32, Vec<Waiting>>,

    pub(crate) suspended: bool,
    /// Events that wait for the execution to be resumed.
    pub(crate) held: VecDeque<Waiting>,
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
            tasks: FxHashMap::default(),
            waiters: FxHashMap::default(),
            buffered: FxHashMap::default(),
            buffered_ever: 0,
            early: FxHashMap::default(),
            suspended: false,
            held: VecDeque::new(),
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

    /// Whether the execution has ended, whichever way.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(&self.outcome, Some(outcome) if !matches!(outcome, Outcome::VersionNotAvailable { .. }))
    }

    /// Whether there will be another turn: the execution has started and not ended, whichever way.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.started && self.outcome.is_none()
    }

    /// The version that the history pins this execution to.
    #[must_use]
    pub fn version_from_history(&self) -> Option<&str> {
        self.version_from_history.as_deref()
    }

    /// How many tasks and how many names of external events are waited for.
    #[must_use]
    pub fn outstanding(&self) -> (usize, usize) {
        (self.tasks.len(), self.waiters.len())
    }

    /// Draws the next deterministic id.
    pub fn next_guid(&mut self) -> GuidSeed {
        let seed = GuidSeed { at: self.now, count: self.guids };
        self.guids = self.guids.wrapping_add(1);
        seed
    }

    /// Schedules an activity; `task` is completed by the history.
    pub fn call_activity(&mut self, call: ActivityCall<H::Input>, retry: Option<Arc<RetryPolicy>>, task: H::Task) {
        let id = self.next_id();
        let target = Target::Activity { execution: self.next_guid() };
        let ActivityCall { name, input, app_id, propagation } = call;
        self.schedule(id, Call { name, input, app_id, target, propagation }, retry, task);
    }

    /// Starts a sub-orchestration; `task` is completed by the history.
    pub fn call_sub_orchestration(
        &mut self,
        call: SubOrchestrationCall<H::Input>,
        retry: Option<Arc<RetryPolicy>>,
        task: H::Task,
    ) {
        let id = self.next_id();
        let SubOrchestrationCall { name, input, instance_id, app_id, propagation } = call;
        let target = Target::SubOrchestration { instance_id, first_action: id };
        self.schedule(id, Call { name, input, app_id, target, propagation }, retry, task);
    }

    /// Creates a durable timer; `task` is completed when it fires.
    pub fn create_timer(&mut self, fire_at: Timestamp, task: H::Task) {
        self.add_timer(fire_at, TimerOrigin::CreateTimer, Pending::Plain(task));
    }

    /// Counts a call that could not be made because its arguments are wrong. It takes the id that it would have had, since
    /// code that goes on after it does so under the ids that come next.
    pub fn reject_call(&mut self, method: Method) {
        self.next_id();
        if method == Method::CallActivity {
            self.next_guid();
        }
    }

    /// Raises an external event on another instance. Nobody is told what becomes of it.
    pub fn send_event(&mut self, instance_id: Arc<str>, name: Name, data: Input<H::Input>) {
        let id = self.next_id();
        let action = Action::SendEvent(SentEvent { instance_id, name, data });
        if !self.replaying && matches!(self.outcome, Some(Outcome::ContinuedAsNew { .. })) {
            // Code that goes on after continue_as_new still belongs to this execution, and no other sends the event.
            self.actions.insert(id, action);
        } else {
            self.add_action(id, action);
        }
    }

    /// Whether code behind this patch may run: always if the history lists it, never if an earlier turn got past this
    /// point without it, and always from the first turn that meets it while not replaying.
    pub fn is_patched(&mut self, name: &str) -> bool {
        let answer = self.patch_answers.get(name).copied().unwrap_or_else(|| {
            let answer = self.patches_in_history.contains(name) || !self.replaying;
            self.patch_answers.insert(name.into(), answer);
            answer
        });
        if answer {
            self.patches_met.push(name.to_owned());
        }
        answer
    }

    /// Sets the status that clients see; JSON or any other text.
    pub fn set_custom_status(&mut self, status: Option<String>) {
        self.custom_status = status;
    }

    /// Remembers which version of the orchestrator runs; an empty name is none.
    pub fn set_version_used(&mut self, version: String) {
        self.version_used = (!version.is_empty()).then_some(version);
    }

    /// Ends the execution with a result (JSON). The first end counts: later ones have no effect.
    pub fn complete(&mut self, result: Option<String>) {
        self.end(|id| Outcome::Completed { id, result });
    }

    /// Ends the execution with a failure.
    pub fn fail(&mut self, details: TaskFailureDetails) {
        self.end(|id| Outcome::Failed { id, details: Box::new(details) });
    }

    /// Ends the execution with a failure that came up while its response was built, in place of however it had ended.
    pub fn fail_over(&mut self, details: TaskFailureDetails) {
        self.outcome = None;
        // An argument that is not encoded yet may be the one that can not be.
        self.actions.retain(|action| {
            matches!(action, Action::SendEvent(SentEvent { data: Input::None | Input::Encoded(_), .. }))
        });
        self.fail(details);
    }

    /// Ends the execution, to be replaced by a new one with this input; `save_events` gives it the external events that
    /// nobody has waited for.
    pub fn continue_as_new(&mut self, input: Input<H::Input>, save_events: bool) {
        if !self.is_complete() {
            self.drop_awaited_actions();
            self.outcome = Some(Outcome::ContinuedAsNew { input, save_events });
        }
    }

    /// Lets go of all that the orchestrator has asked for. Call it when an event could not be applied: then nobody knows
    /// what was done before.
    pub fn discard_actions(&mut self) {
        self.actions.retain(|_| false);
    }

    /// Gives the turn back: this worker does not have the version that the history asks for.
    pub fn version_not_available(&mut self) {
        self.end(|id| Outcome::VersionNotAvailable { id });
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
        Waiting { index: self.event_index(), bytes: event.raw.bytes.into() }
    }

    pub(crate) fn end(&mut self, outcome: impl FnOnce(i32) -> Outcome<H>) {
        if !self.is_complete() {
            self.drop_awaited_actions();
            let id = self.next_id();
            self.outcome = Some(outcome(id));
        }
    }

    /// Whoever has ended waits for nothing: what it asked for is not sent. Events are not for itself, so they are, unless
    /// the history is still to tell whether they were sent before.
    fn drop_awaited_actions(&mut self) {
        let replaying = self.replaying;
        self.actions.retain(|action| !replaying && matches!(action, Action::SendEvent(_)));
    }

    /// The id of the last action, or 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> i32 {
        self.sequence
    }

    pub(crate) fn next_id(&mut self) -> i32 {
        self.sequence = self.sequence.saturating_add(1);
        self.sequence
    }

    pub(crate) fn add_action(&mut self, id: i32, action: Action<H>) {
        // Whoever has ended asks for nothing more; its calls still count, as they do on every replay.
        if self.outcome.is_none() {
            self.actions.insert(id, action);
        }
    }

    pub(crate) fn add_timer(&mut self, fire_at: Timestamp, origin: TimerOrigin, pending: Pending<H>) {
        let id = self.next_id();
        self.add_action(id, Action::CreateTimer(Timer { fire_at, origin }));
        self.tasks.insert(id, pending);
        self.release_early(id);
    }

    /// Sends a call with a retry policy, for the first time or again.
    pub(crate) fn schedule_retryable(&mut self, id: i32, retry: Box<Retry<H>>) {
        self.add_action(id, Action::RetryableCall(Arc::clone(&retry.call)));
        self.tasks.insert(id, Pending::Retryable(retry));
        self.release_early(id);
    }

    fn schedule(&mut self, id: i32, call: Call<H>, retry: Option<Arc<RetryPolicy>>, task: H::Task) {
        if let Some(policy) = retry {
            let first_scheduled = self.now;
            let call = Arc::new(call);
            self.schedule_retryable(
                id,
                Box::new(Retry { task, policy, attempt: 1, first_scheduled, call, last_failure: None }),
            );
        } else {
            self.add_action(id, Action::Call(call));
            self.tasks.insert(id, Pending::Plain(task));
            self.release_early(id);
        }
    }

    /// Lets a completion through that arrived before the call it completes, provided that it does complete this call: after
    /// continue-as-new, the past execution's completions still arrive, under ids that the new one uses again. A call made
    /// after the end is not sent, so nothing completes it.
    fn release_early(&mut self, id: i32) {
        if !self.early.is_empty()
            && self.outcome.is_none()
            && let Some(events) = self.early.remove(&id)
            && let Some(event) = events.into_iter().find(|event| self.completes_call(id, &event.bytes).unwrap_or(false))
        {
            self.due.push_back(event);
        }
    }

    fn completes_call(&self, id: i32, event: &[u8]) -> Result<bool, Corrupt> {
        let event = Event::decode(Span::whole(event))?;
        let call: &Call<H> = match (self.actions.get(id), self.tasks.get(&id)) {
            (Some(Action::CreateTimer(timer)), _) => {
                let recorded = TimerFired::decode(event.body)?.fire_at;
                return Ok(event.event_type == EventType::TimerFired && recorded.is_none_or(|at| at == timer.fire_at));
            }
            (Some(Action::Call(call)), _) => call,
            (_, Some(Pending::Retryable(retry))) => &retry.call,
            _ => return Ok(false),
        };
        Ok(match (&call.target, event.event_type) {
            (Target::Activity { execution }, EventType::TaskCompleted | EventType::TaskFailed) => {
                let recorded = TaskCompleted::execution_id(event.body)?;
                recorded.is_empty() || recorded == execution.text(&self.instance_id)
            }
            (
                Target::SubOrchestration { .. },
                EventType::SubOrchestrationInstanceCompleted | EventType::SubOrchestrationInstanceFailed,
            ) => true,
            _ => false,
        })
    }
}
