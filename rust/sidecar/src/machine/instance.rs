//! What is known of an instance between turns, and the events that wait for its next one.

use bytes::Bytes;
use durabletask_proto::history_event::EventType;
use durabletask_proto::prost::Message;
use durabletask_proto::{ExecutionStartedEvent, HistoryEvent, OrchestrationStatus};

/// An instance, as far as the state machine cares. Its history is not part of it: a turn costs what is new.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) status: OrchestrationStatus,
    /// Apart from `status`, which a stall hides.
    pub(crate) suspended: bool,
    /// How the current execution was started, without its input, which nothing here needs.
    pub(crate) start: ExecutionStartedEvent,
}

impl Default for Instance {
    fn default() -> Self {
        Self {
            id: String::new(),
            status: OrchestrationStatus::Pending,
            suspended: false,
            start: ExecutionStartedEvent::default(),
        }
    }
}

impl Instance {
    /// An instance that has yet to run.
    pub(crate) fn pending(id: &str, start: &ExecutionStartedEvent) -> Self {
        Self { id: id.to_owned(), start: without_input(start), ..Self::default() }
    }

    pub(crate) fn execution_id(&self) -> Option<&str> {
        self.start.orchestration_instance.as_ref()?.execution_id.as_deref()
    }

    pub(crate) fn is_finished(&self) -> bool {
        is_final(self.status)
    }

    /// The status of an execution that goes on.
    pub(crate) fn running_status(&self) -> OrchestrationStatus {
        if self.suspended { OrchestrationStatus::Suspended } else { OrchestrationStatus::Running }
    }
}

pub(crate) fn without_input(start: &ExecutionStartedEvent) -> ExecutionStartedEvent {
    ExecutionStartedEvent { input: None, ..start.clone() }
}

/// Whether nothing comes after this status.
pub(crate) fn is_final(status: OrchestrationStatus) -> bool {
    matches!(
        status,
        OrchestrationStatus::Completed
            | OrchestrationStatus::Failed
            | OrchestrationStatus::Terminated
            | OrchestrationStatus::Canceled
    )
}

/// The events that the sidecar itself has to understand; all others go through it unread. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Other = 0,
    ExecutionStarted = 1,
    ExecutionTerminated = 2,
    ExecutionSuspended = 3,
    ExecutionResumed = 4,
}

impl Kind {
    pub(crate) fn of(event: &HistoryEvent) -> Self {
        match event.event_type {
            Some(EventType::ExecutionStarted(_)) => Self::ExecutionStarted,
            Some(EventType::ExecutionTerminated(_)) => Self::ExecutionTerminated,
            Some(EventType::ExecutionSuspended(_)) => Self::ExecutionSuspended,
            Some(EventType::ExecutionResumed(_)) => Self::ExecutionResumed,
            _ => Self::Other,
        }
    }

    pub(crate) fn from_stored(number: i64) -> Self {
        match number {
            1 => Self::ExecutionStarted,
            2 => Self::ExecutionTerminated,
            3 => Self::ExecutionSuspended,
            4 => Self::ExecutionResumed,
            _ => Self::Other,
        }
    }
}

/// An event that waits for, or takes part in, a turn: encoded, with a note of what it is.
#[derive(Debug, Clone)]
pub(crate) struct RawEvent {
    pub(crate) kind: Kind,
    pub(crate) bytes: Bytes,
}

impl From<&HistoryEvent> for RawEvent {
    fn from(event: &HistoryEvent) -> Self {
        Self { kind: Kind::of(event), bytes: event.encode_to_vec().into() }
    }
}

impl RawEvent {
    /// The decoded event, if it is of `kind` and sound.
    pub(crate) fn read_if(&self, kind: Kind) -> Option<EventType> {
        if self.kind != kind {
            return None;
        }
        HistoryEvent::decode(self.bytes.clone()).ok()?.event_type
    }
}
