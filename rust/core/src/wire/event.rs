//! One history event: its header, and its body as it stands on the wire.

use super::reader::{Corrupt, Field, Reader, Span};
use crate::time::Timestamp;

/// The event types of `HistoryEvent.eventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Field 3.
    ExecutionStarted,
    /// Field 4.
    ExecutionCompleted,
    /// Field 5.
    ExecutionTerminated,
    /// Field 6.
    TaskScheduled,
    /// Field 7.
    TaskCompleted,
    /// Field 8.
    TaskFailed,
    /// Field 9.
    SubOrchestrationInstanceCreated,
    /// Field 10.
    SubOrchestrationInstanceCompleted,
    /// Field 11.
    SubOrchestrationInstanceFailed,
    /// Field 12.
    TimerCreated,
    /// Field 13.
    TimerFired,
    /// Field 14.
    OrchestratorStarted,
    /// Field 15.
    OrchestratorCompleted,
    /// Field 16.
    EventSent,
    /// Field 17.
    EventRaised,
    /// Field 20.
    ContinueAsNew,
    /// Field 21.
    ExecutionSuspended,
    /// Field 22.
    ExecutionResumed,
    /// Field 31.
    ExecutionStalled,
    /// Field 32.
    DetachedOrchestrationInstanceCreated,
    /// A field that this version does not know; zero if the event has no type at all.
    Unknown(u32),
}

impl EventType {
    fn from_number(number: u32) -> Self {
        match number {
            3 => Self::ExecutionStarted,
            4 => Self::ExecutionCompleted,
            5 => Self::ExecutionTerminated,
            6 => Self::TaskScheduled,
            7 => Self::TaskCompleted,
            8 => Self::TaskFailed,
            9 => Self::SubOrchestrationInstanceCreated,
            10 => Self::SubOrchestrationInstanceCompleted,
            11 => Self::SubOrchestrationInstanceFailed,
            12 => Self::TimerCreated,
            13 => Self::TimerFired,
            14 => Self::OrchestratorStarted,
            15 => Self::OrchestratorCompleted,
            16 => Self::EventSent,
            17 => Self::EventRaised,
            20 => Self::ContinueAsNew,
            21 => Self::ExecutionSuspended,
            22 => Self::ExecutionResumed,
            31 => Self::ExecutionStalled,
            32 => Self::DetachedOrchestrationInstanceCreated,
            other => Self::Unknown(other),
        }
    }

    /// The name that the protocol gives this type, or `None` for one it does not have.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::ExecutionStarted => "executionStarted",
            Self::ExecutionCompleted => "executionCompleted",
            Self::ExecutionTerminated => "executionTerminated",
            Self::TaskScheduled => "taskScheduled",
            Self::TaskCompleted => "taskCompleted",
            Self::TaskFailed => "taskFailed",
            Self::SubOrchestrationInstanceCreated => "subOrchestrationInstanceCreated",
            Self::SubOrchestrationInstanceCompleted => "subOrchestrationInstanceCompleted",
            Self::SubOrchestrationInstanceFailed => "subOrchestrationInstanceFailed",
            Self::TimerCreated => "timerCreated",
            Self::TimerFired => "timerFired",
            Self::OrchestratorStarted => "orchestratorStarted",
            Self::OrchestratorCompleted => "orchestratorCompleted",
            Self::EventSent => "eventSent",
            Self::EventRaised => "eventRaised",
            Self::ContinueAsNew => "continueAsNew",
            Self::ExecutionSuspended => "executionSuspended",
            Self::ExecutionResumed => "executionResumed",
            Self::ExecutionStalled => "executionStalled",
            Self::DetachedOrchestrationInstanceCreated => "detachedOrchestrationInstanceCreated",
            Self::Unknown(_) => return None,
        })
    }
}

/// A history event, read as far as its header.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The event as it stands in the history.
    pub raw: Span<'a>,
    /// `eventId`: the id of the action that a confirmation confirms, else -1.
    pub id: i32,
    /// What happened.
    pub event_type: EventType,
    /// The event's own message; empty if there is none.
    pub body: Span<'a>,
    timestamp: Option<Span<'a>>,
    router: Option<Span<'a>>,
}

impl<'a> Event<'a> {
    /// Reads the header of the event in `raw`.
    #[inline]
    pub fn decode(raw: Span<'a>) -> Result<Self, Corrupt> {
        let mut event = Self {
            raw,
            id: 0,
            event_type: EventType::Unknown(0),
            body: Span { bytes: &[], offset: raw.offset },
            timestamp: None,
            router: None,
        };
        let mut reader = Reader::new(raw);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => event.id = field.int32(number)?,
                2 => event.timestamp = Some(field.span(number)?),
                30 => event.router = Some(field.span(number)?),
                _ => match EventType::from_number(number) {
                    // A later field of a newer protocol does not hide the type that we know.
                    EventType::Unknown(_) if event.event_type.name().is_some() => {}
                    EventType::Unknown(other) => event.event_type = EventType::Unknown(other),
                    known => {
                        event.event_type = known;
                        event.body = field.span(number)?;
                    }
                },
            }
        }
        Ok(event)
    }

    /// The event's timestamp; the epoch if it has none.
    pub fn timestamp(&self) -> Result<Timestamp, Corrupt> {
        self.timestamp.map_or(Ok(Timestamp::EPOCH), read_timestamp)
    }

    /// `router.targetAppID` if it is set and not empty, else `router.sourceAppID`, else the empty string.
    pub fn app_id(&self) -> Result<&'a str, Corrupt> {
        let Some(router) = self.router else { return Ok("") };
        let (mut source, mut target) = ("", "");
        let mut reader = Reader::new(router);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => source = field.span(number)?.text()?,
                2 => target = field.span(number)?.text()?,
                _ => {}
            }
        }
        Ok(if target.is_empty() { source } else { target })
    }
}

/// Reads a `google.protobuf.Timestamp`.
pub(super) fn read_timestamp(span: Span<'_>) -> Result<Timestamp, Corrupt> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(span);
    while let Some((number, field)) = reader.next()? {
        match (number, field) {
            (1, Field::Varint(..)) => seconds = field.int64(number)?,
            (2, Field::Varint(..)) => nanos = field.int32(number)?,
            _ => {}
        }
    }
    Ok(Timestamp::from_parts(seconds, nanos))
}
