//! What can be wrong with a turn: the history, or the user's code. The two never mix.

use std::fmt;
use std::sync::Arc;

use crate::wire::Corrupt;

/// Why a turn can not go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The bytes of the request make no sense; no orchestrator can be replayed from them.
    #[error("the orchestrator request can not be decoded: {0}")]
    Corrupt(#[from] Corrupt),
    /// The orchestration is in a state that it can not go on from, whatever its code does.
    #[error(transparent)]
    State(Box<StateError>),
    /// The history is fine, and today's code does something else than it says.
    #[error("{0}")]
    NonDeterminism(Box<NonDeterminism>),
}

/// What no orchestration can go on from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// An event of the history says nothing of what has happened.
    #[error(
        "{instance_id}: event {event_index} of the history has no type; expected one field of HistoryEvent.eventType"
    )]
    EventWithoutType {
        /// The instance.
        instance_id: Arc<str>,
        /// Place of the event in the history, from 0.
        event_index: usize,
    },
    /// It says something that this version does not know.
    #[error(
        "{instance_id}: event {event_index} of the history has a type that this version does not know (field {field} of \
         HistoryEvent); the sidecar is newer than this worker, which should be upgraded"
    )]
    UnknownEventType {
        /// The instance.
        instance_id: Arc<str>,
        /// Place of the event in the history, from 0.
        event_index: usize,
        /// The number of the field that it says it in.
        field: u32,
    },
    /// A call is to be made again at a time that no timer can be for.
    #[error(
        "{instance_id}: the retry policy of '{name}' asks for a pause after attempt {attempt} that ends after the year 9999; \
         set max_retry_interval"
    )]
    PauseBeyondTime {
        /// The instance.
        instance_id: Arc<str>,
        /// What is called.
        name: Arc<str>,
        /// How often it was.
        attempt: u32,
    },
}

impl From<StateError> for Error {
    fn from(error: StateError) -> Self {
        Self::State(Box::new(error))
    }
}

/// A call that an orchestrator makes on its context, as the messages name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `call_activity`.
    CallActivity,
    /// `call_sub_orchestrator`.
    CallSubOrchestrator,
    /// `create_timer`.
    CreateTimer,
    /// `send_event`.
    SendEvent,
    /// `wait_for_external_event` with a timeout, which is a timer on the wire.
    WaitForExternalEvent,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CallActivity => "call_activity",
            Self::CallSubOrchestrator => "call_sub_orchestrator",
            Self::CreateTimer => "create_timer",
            Self::SendEvent => "send_event",
            Self::WaitForExternalEvent => "wait_for_external_event",
        })
    }
}

/// A call, by method and, where it has one, the name of what is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallName {
    /// The context's method.
    pub method: Method,
    /// The activity, orchestrator or event; `None` for a timer.
    pub name: Option<String>,
}

impl fmt::Display for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}('{name}')", self.method),
            None => write!(f, "{}", self.method),
        }
    }
}

/// What the code did where the history says that it made a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It made no call under that id.
    NoCall,
    /// It made another call.
    Call(CallName),
    /// It had ended.
    End(End),
}

impl From<Option<CallName>> for Found {
    fn from(call: Option<CallName>) -> Self {
        call.map_or(Self::NoCall, Self::Call)
    }
}

/// How code ended that the history saw go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It returned.
    Returned,
    /// It raised an exception: class name and text.
    Raised(String),
    /// It continued as new.
    ContinuedAsNew,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned => f.write_str("it returned"),
            Self::Raised(error) => write!(f, "it raised {error}"),
            Self::ContinuedAsNew => f.write_str("it called continue_as_new"),
        }
    }
}

/// Where history and code part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonDeterminism {
    /// The instance.
    pub instance_id: String,
    /// Place of the event in the history, from 0.
    pub event_index: usize,
    /// Its `eventId`, the id of the action that it confirms.
    pub event_id: i32,
    /// What the history says was called.
    pub expected: CallName,
    /// What the code did instead.
    pub found: Found,
}

impl fmt::Display for NonDeterminism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: history and code disagree at event {} (ID={}): a previous execution called {} with ID={}, but the current code ",
            self.instance_id, self.event_index, self.event_id, self.expected, self.event_id
        )?;
        match &self.found {
            Found::Call(found) => write!(f, "called {found} instead.")?,
            Found::NoCall => write!(f, "made no call with this ID.")?,
            Found::End(end) => write!(f, "had ended by then: {end}.")?,
        }
        f.write_str(
            " Either the orchestrator is not deterministic (it reads the clock, random numbers, or anything outside its \
             history), or its code was changed while this instance was running; use versions or is_patched() for changes.",
        )
    }
}
