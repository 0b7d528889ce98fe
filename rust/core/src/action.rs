//! What an orchestrator has asked for and the history has not confirmed yet.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{CallName, Method};
use crate::host::Host;
use crate::ids::GuidSeed;
use crate::room::Roomy;
use crate::time::Timestamp;

use durabletask_proto::HistoryPropagationScope;

/// Name of an activity, an orchestrator or an event; shared, since the same few are called again and again.
pub type Name = Arc<str>;

/// The argument of a call. A replayed call is nearly always confirmed by the history, which then holds its input, so the
/// host may leave the encoding until the action is really sent.
#[derive(Clone, Debug)]
pub enum Input<I> {
    /// No argument.
    None,
    /// JSON.
    Encoded(Arc<str>),
    /// A value of the host, to be encoded when it is sent.
    Deferred(I),
}

/// An activity or a sub-orchestration to be started.
#[derive(Debug)]
pub(crate) struct Call<H: Host> {
    pub(crate) name: Name,
    pub(crate) input: Input<H::Input>,
    pub(crate) app_id: Option<Arc<str>>,
    pub(crate) target: Target,
    pub(crate) propagation: Option<HistoryPropagationScope>,
}

/// What a call starts.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// An activity; every attempt carries the id drawn for the first.
    Activity { execution: GuidSeed },
    /// A sub-orchestration: under the given id, or one made from the id of the call's first action.
    SubOrchestration { instance_id: Option<Arc<str>>, first_action: i32 },
}

impl Target {
    pub(crate) fn method(&self) -> Method {
        match self {
            Self::Activity { .. } => Method::CallActivity,
            Self::SubOrchestration { .. } => Method::CallSubOrchestrator,
        }
    }
}

/// A timer to be created.
#[derive(Debug)]
pub(crate) struct Timer {
    pub(crate) fire_at: Timestamp,
    pub(crate) origin: TimerOrigin,
}

/// What a timer is for.
#[derive(Clone, Debug)]
pub(crate) enum TimerOrigin {
    /// The orchestrator asked for it.
    CreateTimer,
    /// It bounds the wait for an event of this name.
    ExternalEvent(Name),
    /// It stands for a wait without an end for an event of this name, and never fires.
    EndlessWait(Name),
    /// It is the pause before this is called again.
    Retry(Target),
    /// It bounds the call whose id is the one before; the protocol has no origin for that.
    CallTimeout,
}

/// An external event for another instance.
#[derive(Debug)]
pub(crate) struct SentEvent<H: Host> {
    pub(crate) instance_id: Arc<str>,
    pub(crate) name: Name,
    pub(crate) data: Input<H::Input>,
}

/// One action that waits for its confirmation.
#[derive(Debug)]
pub(crate) enum Action<H: Host> {
    /// Schedule an activity or create a sub-orchestration.
    Call(Call<H>),
    /// The same, shared with what may send it again. The two part ways: the attempt may end before it is confirmed.
    RetryableCall(Arc<Call<H>>),
    /// Wake up at some time.
    CreateTimer(Timer),
    /// Raise an event on another instance.
    SendEvent(SentEvent<H>),
}

impl<H: Host> Action<H> {
    /// Whether it is the timer of a wait that has no end.
    pub(crate) fn is_endless_wait(&self) -> bool {
        matches!(self, Self::CreateTimer(Timer { origin: TimerOrigin::EndlessWait(_), .. }))
    }

    pub(crate) fn call_name(&self) -> CallName {
        let (method, name) = match self {
            Self::Call(call) => (call.target.method(), Some(&call.name)),
            Self::RetryableCall(call) => (call.target.method(), Some(&call.name)),
            Self::CreateTimer(timer) => match &timer.origin {
                TimerOrigin::ExternalEvent(name) | TimerOrigin::EndlessWait(name) => {
                    (Method::WaitForExternalEvent, Some(name))
                }
                TimerOrigin::CreateTimer | TimerOrigin::Retry(_) | TimerOrigin::CallTimeout => {
                    (Method::CreateTimer, None)
                }
            },
            Self::SendEvent(event) => (Method::SendEvent, Some(&event.name)),
        };
        CallName { method, name: name.map(ToString::to_string) }
    }
}

/// Pending actions by id. Ids are given out one after the other and confirmed nearly in that order, so a queue with gaps
/// is both the map and the order of sending.
#[derive(Debug)]
pub(crate) struct PendingActions<H: Host> {
    first_id: i32,
    queue: VecDeque<Option<Action<H>>>,
}

impl<H: Host> PendingActions<H> {
    pub(crate) fn new() -> Self {
        Self { first_id: 1, queue: VecDeque::new() }
    }

    /// Adds an action under an id above all that were added before.
    #[inline]
    pub(crate) fn insert(&mut self, id: i32, action: Action<H>) {
        if self.queue.is_empty() {
            self.first_id = id;
            self.queue.push_back(Some(action));
            return;
        }
        while self.next_id() < id {
            self.queue.push_back(None);
        }
        self.queue.push_back(Some(action));
    }

    /// Takes the action out that the history confirms, and lets go of it.
    #[inline]
    pub(crate) fn forget(&mut self, id: i32) {
        if let Some(entry) = self.index(id).and_then(|index| self.queue.get_mut(index)) {
            *entry = None;
        }
        self.trim();
    }

    /// The same, for whoever needs it.
    pub(crate) fn remove(&mut self, id: i32) -> Option<Action<H>> {
        let index = self.index(id)?;
        let action = self.queue.get_mut(index)?.take();
        self.trim();
        action
    }

    /// Takes an action out, and gives each action after it the id before its own.
    pub(crate) fn close_gap(&mut self, id: i32) {
        if let Some(index) = self.index(id) {
            self.queue.remove(index);
            self.trim();
        }
    }

    /// Lets go of all actions but those that `keep` names.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Action<H>) -> bool) {
        for entry in &mut self.queue {
            if entry.as_ref().is_some_and(|action| !keep(action)) {
                *entry = None;
            }
        }
        self.trim();
    }

    #[inline]
    fn trim(&mut self) {
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.first_id += 1;
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: i32) -> Option<&Action<H>> {
        self.queue.get(self.index(id)?)?.as_ref()
    }

    /// The actions and their ids, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i32, &Action<H>)> {
        (self.first_id..).zip(&self.queue).filter_map(|(id, action)| Some((id, action.as_ref()?)))
    }

    #[inline]
    fn index(&self, id: i32) -> Option<usize> {
        usize::try_from(id.checked_sub(self.first_id)?).ok()
    }

    fn next_id(&self) -> i32 {
        // The queue never holds more ids than there are.
        i32::try_from(self.queue.len()).map_or(i32::MAX, |length| self.first_id.saturating_add(length))
    }
}

impl<H: Host> Roomy for PendingActions<H> {
    fn shrink(&mut self) {
        self.queue.shrink();
    }

    fn bytes(&self) -> usize {
        self.queue.bytes()
    }
}
