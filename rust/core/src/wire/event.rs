//! One history event: its header, and its body as it stands on the wire.

use super::reader::{Corrupt, Key, Reader, Span, bytes_key, varint_key};
use super::usual;
use crate::time::Timestamp;

/// The event types of `HistoryEvent.eventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

const EVENT_ID: Key = varint_key(1);
const TIMESTAMP: Key = bytes_key(2);
const ROUTER_NUMBER: u32 = 30;
const ROUTER: Key = bytes_key(ROUTER_NUMBER);

/// A history event, read as far as its header.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    raw: Span<'a>,
    timestamp: &'a [u8],
    body: &'a [u8],
    /// `eventId`: the id of the action that a confirmation confirms, else -1.
    pub id: i32,
    /// What happened.
    pub event_type: EventType,
}

impl<'a> Event<'a> {
    /// Reads the header of the event in `raw`.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "an event is seven words, which are not to be moved about")]
    pub fn decode(raw: Span<'a>) -> Result<Self, Corrupt> {
        match Self::decode_usual(raw) {
            Some(event) => Ok(event),
            None => Self::decode_any(raw).map(|event| *event),
        }
    }

    /// Of an event of a known type that is laid out as sidecars do it: `router` stands before or after the body.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "as above")]
    fn decode_usual(raw: Span<'a>) -> Option<Self> {
        let mut rest = raw.bytes;
        let id = usual::event_id(&mut rest)?;
        let timestamp = usual::bytes(&mut rest, 0x12)?;
        let (mut number, mut body) = usual::any(&mut rest)?;
        if !rest.is_empty() {
            let (next, bytes) = usual::any(&mut rest)?;
            match (number, next) {
                (ROUTER_NUMBER, _) => (number, body) = (next, bytes),
                (_, ROUTER_NUMBER) => {}
                _ => return None,
            }
        }
        let event_type = EventType::from_number(number);
        if !rest.is_empty() || matches!(event_type, EventType::Unknown(_)) {
            return None;
        }
        Some(Self { raw, timestamp, body, id, event_type })
    }

    /// The event lies apart, so that the usual ones need not lie in a place that is handed on here.
    #[cold]
    fn decode_any(raw: Span<'a>) -> Result<Box<Self>, Corrupt> {
        let mut event = Self { raw, timestamp: &[], body: &[], id: 0, event_type: EventType::Unknown(0) };
        let mut reader = Reader::new(raw);
        while let Some(key) = reader.key()? {
            match key {
                EVENT_ID => event.id = reader.int32()?,
                TIMESTAMP => event.timestamp = reader.span()?.bytes,
                ROUTER => drop(reader.span()?),
                key if key & 7 == 2 => {
                    let body = reader.span()?.bytes;
                    match EventType::from_number(key >> 3) {
                        EventType::Unknown(number) => event.meets_unknown(number),
                        known => (event.event_type, event.body) = (known, body),
                    }
                }
                other => event.meets_number(&mut reader, other)?,
            }
        }
        Ok(Box::new(event))
    }

    /// A later field of a newer protocol does not hide the type that we know.
    #[cold]
    fn meets_unknown(&mut self, number: u32) {
        if self.event_type.name().is_none() {
            self.event_type = EventType::Unknown(number);
        }
    }

    /// A field that is no message, where every known one but `eventId` is.
    #[cold]
    fn meets_number(&mut self, reader: &mut Reader<'a>, key: Key) -> Result<(), Corrupt> {
        let number = key >> 3;
        match EventType::from_number(number) {
            EventType::Unknown(1 | 2 | 30) => reader.skip(key, &[1, 2, 30]),
            EventType::Unknown(number) => {
                reader.skip(key, &[])?;
                self.meets_unknown(number);
                Ok(())
            }
            _ => reader.skip(key, &[number]),
        }
    }

    /// The event as it stands in the history.
    #[must_use]
    pub fn raw(&self) -> Span<'a> {
        self.raw
    }

    /// The event's own message; empty if there is none.
    #[inline]
    #[must_use]
    pub fn body(&self) -> Span<'a> {
        self.raw.part(self.body)
    }

    /// The event's timestamp; the epoch if it has none.
    #[inline]
    pub fn timestamp(&self) -> Result<Timestamp, Corrupt> {
        read_timestamp(self.raw.part(self.timestamp))
    }

    /// `router.targetAppID` if it is set and not empty, else `router.sourceAppID`, else the empty string.
    pub fn app_id(&self) -> Result<&'a str, Corrupt> {
        let (mut source, mut target) = ("", "");
        let mut reader = Reader::new(self.raw());
        while let Some((number, field)) = reader.next()? {
            if number != ROUTER_NUMBER {
                continue;
            }
            let mut router = Reader::new(field.span(number)?);
            (source, target) = ("", "");
            while let Some((number, field)) = router.next()? {
                match number {
                    1 => source = field.span(number)?.text()?,
                    2 => target = field.span(number)?.text()?,
                    _ => {}
                }
            }
        }
        Ok(if target.is_empty() { source } else { target })
    }
}

/// Reads a `google.protobuf.Timestamp`.
#[inline]
pub(super) fn read_timestamp(span: Span<'_>) -> Result<Timestamp, Corrupt> {
    if let Some(micros) = usual::timestamp(span.bytes) {
        return Ok(Timestamp::from_micros(micros));
    }
    read_any_timestamp(span)
}

#[cold]
fn read_any_timestamp(span: Span<'_>) -> Result<Timestamp, Corrupt> {
    read_parts(span).map(|(seconds, nanos)| Timestamp::from_parts(seconds, nanos))
}

/// The seconds and nanoseconds of a `google.protobuf.Timestamp`.
pub(super) fn read_parts(span: Span<'_>) -> Result<(i64, i32), Corrupt> {
    const SECONDS: Key = varint_key(1);
    const NANOS: Key = varint_key(2);
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(span);
    while let Some(key) = reader.key()? {
        match key {
            #[allow(clippy::cast_possible_wrap, reason = "protobuf defines int64 as these bits")]
            SECONDS => seconds = reader.varint()? as i64,
            NANOS => nanos = reader.int32()?,
            other => reader.skip(other, &[1, 2])?,
        }
    }
    Ok((seconds, nanos))
}
