//! The bodies of history events, one type each, with the fields that replay reads.

use super::event::read_timestamp;
use super::reader::{Corrupt, Key, Reader, Span, bytes_key, varint_key};
use super::usual;
use crate::time::Timestamp;

/// `OrchestratorStartedEvent`: the version and the patches that earlier turns reported.
#[derive(Clone, Debug, Default)]
pub struct OrchestratorStarted<'a> {
    /// `version.name`; empty if there is none.
    pub version_name: &'a str,
    /// `version.patches`.
    pub patches: Vec<&'a str>,
}

impl<'a> OrchestratorStarted<'a> {
    /// Reads the event's body.
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            if number == 1 {
                let mut version = Reader::new(field.span(number)?);
                while let Some((number, field)) = version.next()? {
                    match number {
                        1 => this.patches.push(field.span(number)?.text()?),
                        2 => this.version_name = field.span(number)?.text()?,
                        _ => {}
                    }
                }
            }
        }
        Ok(this)
    }
}

/// `ExecutionStartedEvent`: what to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecutionStarted<'a> {
    /// The orchestrator's name.
    pub name: &'a str,
    /// The input's JSON.
    pub input: Option<&'a str>,
    /// `orchestrationInstance.executionId`, which Dapr sends nowhere else.
    pub execution_id: Option<&'a str>,
}

impl<'a> ExecutionStarted<'a> {
    /// Reads the event's body.
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => this.name = field.span(number)?.text()?,
                3 => this.input = field.span(number)?.string_value_text()?,
                4 => {
                    let mut instance = Reader::new(field.span(number)?);
                    while let Some((number, field)) = instance.next()? {
                        if number == 2 {
                            this.execution_id = field.span(number)?.string_value_text()?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(this)
    }
}

/// A call that the history confirms: its name under field `NAME`, its input under field `INPUT`, its execution id under
/// field `EXECUTION`, which is zero where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scheduled<'a, const NAME: u32, const INPUT: u32, const EXECUTION: u32> {
    /// Name of the activity or orchestrator; not yet checked to be text.
    pub name: Span<'a>,
    input: Option<Span<'a>>,
    /// `taskExecutionId` of an activity; empty if there is none, and not checked to be text.
    pub execution_id: Span<'a>,
}

/// `TaskScheduledEvent`: which activity the history scheduled.
pub type TaskScheduled<'a> = Scheduled<'a, 1, 3, 5>;

/// `SubOrchestrationInstanceCreatedEvent`: which sub-orchestration the history created.
pub type SubOrchestrationCreated<'a> = Scheduled<'a, 2, 4, 0>;

impl<'a, const NAME: u32, const INPUT: u32, const EXECUTION: u32> Scheduled<'a, NAME, INPUT, EXECUTION> {
    /// Reads the event's body.
    #[inline]
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        match Self::decode_usual(body) {
            Some(this) => Ok(this),
            None => Self::decode_any(body),
        }
    }

    #[inline]
    fn decode_usual(body: Span<'a>) -> Option<Self> {
        let mut this = Self::default();
        let mut rest = body.bytes;
        while !rest.is_empty() {
            let (number, bytes) = usual::any(&mut rest)?;
            if number == NAME {
                this.name = body.part(bytes);
            } else if number == INPUT {
                this.input = Some(body.part(bytes));
            } else if number == EXECUTION {
                this.execution_id = body.part(bytes);
            }
        }
        Some(this)
    }

    #[cold]
    fn decode_any(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            if key == bytes_key(NAME) {
                this.name = reader.span()?;
            } else if key == bytes_key(INPUT) {
                this.input = Some(reader.span()?);
            } else if key == bytes_key(EXECUTION) {
                this.execution_id = reader.span()?;
            } else if key & 7 == 2 {
                reader.span()?;
            } else {
                reader.skip(key, &[NAME, INPUT])?;
            }
        }
        Ok(this)
    }

    /// The input's JSON as it was sent, for a call that may have to be sent again.
    pub fn input(&self) -> Result<Option<&'a str>, Corrupt> {
        self.input.map_or(Ok(None), Span::string_value_text)
    }
}

const TASK_ID: Key = varint_key(1);
const RESULT: Key = bytes_key(2);
const FAILURE_DETAILS: Key = bytes_key(2);
const EXECUTION_ID: Key = bytes_key(3);

/// `TaskCompletedEvent` and `SubOrchestrationInstanceCompletedEvent`, which agree in the fields that replay reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskCompleted<'a> {
    /// `taskScheduledId`.
    pub task_id: i32,
    /// The result's JSON; not yet checked to be text.
    pub result: Option<Span<'a>>,
    /// `taskExecutionId` of an activity; empty if there is none, and not checked to be text.
    pub execution_id: Span<'a>,
}

impl<'a> TaskCompleted<'a> {
    /// Reads the event's body.
    #[inline]
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        match Self::decode_usual(body) {
            Some(this) => Ok(this),
            None => Self::decode_any(body),
        }
    }

    #[inline]
    fn decode_usual(body: Span<'a>) -> Option<Self> {
        let mut rest = body.bytes;
        let task_id = usual::number(&mut rest, 0x08)?;
        let result = match usual::bytes(&mut rest, 0x12) {
            Some(value) => usual::only(value, 0x0a).map(|json| (!json.is_empty()).then(|| body.part(json)))?,
            None => None,
        };
        let execution_id = if rest.is_empty() { rest } else { usual::only(rest, 0x1a)? };
        Some(Self { task_id, result, execution_id: body.part(execution_id) })
    }

    #[cold]
    fn decode_any(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            match key {
                TASK_ID => this.task_id = reader.int32()?,
                RESULT => this.result = reader.span()?.string_value()?,
                EXECUTION_ID => this.execution_id = reader.span()?,
                other => reader.skip(other, &[1, 2])?,
            }
        }
        Ok(this)
    }
}

/// `TaskFailedEvent` and `SubOrchestrationInstanceFailedEvent`, which agree in the fields that replay reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failed<'a> {
    /// `taskScheduledId`.
    pub task_id: i32,
    details: Span<'a>,
    /// `taskExecutionId` of an activity; empty if there is none, and not checked to be text.
    pub execution_id: Span<'a>,
}

impl<'a> Failed<'a> {
    /// Reads the event's body.
    #[inline]
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            match key {
                TASK_ID => this.task_id = reader.int32()?,
                FAILURE_DETAILS => this.details = reader.span()?,
                EXECUTION_ID => this.execution_id = reader.span()?,
                other => reader.skip(other, &[1, 2])?,
            }
        }
        Ok(this)
    }

    /// The class name of what went wrong, which decides about another attempt.
    #[inline]
    pub fn error_type(&self) -> Result<&'a str, Corrupt> {
        const ERROR_TYPE: Key = bytes_key(1);
        let mut name = Span::default();
        let mut reader = Reader::new(self.details);
        while let Some(key) = reader.key()? {
            match key {
                ERROR_TYPE => name = reader.span()?,
                key if key & 7 == 2 => drop(reader.span()?),
                other => reader.skip(other, &[1])?,
            }
        }
        name.text()
    }

    /// What went wrong.
    pub fn failure(&self) -> Result<Failure<'a>, Corrupt> {
        Failure::decode(self.details)
    }
}

/// `TaskFailureDetails`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The exception's class name.
    pub error_type: &'a str,
    /// The exception's text.
    pub message: &'a str,
    /// The traceback, in whatever form the worker that failed writes it.
    pub stack_trace: Option<&'a str>,
    /// `innerFailure`, which is another of these; not decoded.
    pub inner: Option<&'a [u8]>,
}

impl<'a> Failure<'a> {
    fn decode(span: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(span);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => this.error_type = field.span(number)?.text()?,
                2 => this.message = field.span(number)?.text()?,
                3 => this.stack_trace = field.span(number)?.string_value_text()?,
                4 => this.inner = Some(field.span(number)?.bytes),
                _ => {}
            }
        }
        Ok(this)
    }
}

/// `TimerCreatedEvent`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimerCreated<'a> {
    fire_at: Option<Span<'a>>,
}

impl<'a> TimerCreated<'a> {
    /// Reads the event's body.
    #[inline]
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        // The time comes first, and the name and the origin that may follow it are not looked at.
        let mut rest = body.bytes;
        if let Some(fire_at) = usual::bytes(&mut rest, 0x0a)
            && (rest.is_empty() || (usual::any(&mut rest).is_some_and(|(number, _)| number > 1) && rest.is_empty()))
        {
            return Ok(Self { fire_at: Some(body.part(fire_at)) });
        }
        Self::decode_any(body)
    }

    #[cold]
    fn decode_any(body: Span<'a>) -> Result<Self, Corrupt> {
        const FIRE_AT: Key = bytes_key(1);
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            match key {
                FIRE_AT => this.fire_at = Some(reader.span()?),
                key if key & 7 == 2 => drop(reader.span()?),
                other => reader.skip(other, &[1])?,
            }
        }
        Ok(this)
    }

    /// `fireAt`, if it is set.
    pub fn fire_at(&self) -> Result<Option<Timestamp>, Corrupt> {
        self.fire_at.map(read_timestamp).transpose()
    }
}

/// `TimerFiredEvent`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimerFired<'a> {
    /// `timerId`.
    pub timer_id: i32,
    fire_at: Option<Span<'a>>,
}

impl<'a> TimerFired<'a> {
    /// Reads the event's body.
    #[inline]
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        const FIRE_AT: Key = bytes_key(1);
        const TIMER_ID: Key = varint_key(2);
        let mut rest = body.bytes;
        if let (Some(fire_at), Some(timer_id), []) =
            (usual::bytes(&mut rest, 0x0a), usual::number(&mut rest, 0x10), rest)
        {
            return Ok(Self { timer_id, fire_at: Some(body.part(fire_at)) });
        }
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            match key {
                FIRE_AT => this.fire_at = Some(reader.span()?),
                TIMER_ID => this.timer_id = reader.int32()?,
                other => reader.skip(other, &[1, 2])?,
            }
        }
        Ok(this)
    }

    /// `fireAt`, if it is set.
    pub fn fire_at(&self) -> Result<Option<Timestamp>, Corrupt> {
        self.fire_at.map(read_timestamp).transpose()
    }
}

/// `EventRaisedEvent`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventRaised<'a> {
    /// The event's name, in the sender's spelling.
    pub name: &'a str,
    /// The payload's JSON; not yet checked to be text.
    pub input: Option<Span<'a>>,
}

impl<'a> EventRaised<'a> {
    /// Reads the event's body.
    #[inline]
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        const NAME: Key = bytes_key(1);
        const INPUT: Key = bytes_key(2);
        let mut rest = body.bytes;
        if let Some(name) = usual::bytes(&mut rest, 0x0a)
            && let Some(input) = usual::only(rest, 0x12)
            && let Some(json) = usual::only(input, 0x0a)
        {
            let input = (!json.is_empty()).then(|| body.part(json));
            return Ok(Self { name: body.part(name).text()?, input });
        }
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some(key) = reader.key()? {
            match key {
                NAME => this.name = reader.span()?.text()?,
                INPUT => this.input = reader.span()?.string_value()?,
                other => reader.skip(other, &[1, 2])?,
            }
        }
        Ok(this)
    }
}

/// `ExecutionTerminatedEvent`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminated<'a> {
    /// The output's JSON.
    pub output: Option<&'a str>,
}

impl<'a> Terminated<'a> {
    /// Reads the event's body.
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            if number == 1 {
                this.output = field.span(number)?.string_value_text()?;
            }
        }
        Ok(this)
    }
}

/// `EventSentEvent`: which event the history sent to another instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventSent<'a> {
    /// The instance that it was sent to; text that is not checked.
    pub instance_id: Span<'a>,
    /// The event's name; text that is not checked.
    pub name: Span<'a>,
    input: Option<Span<'a>>,
}

impl<'a> EventSent<'a> {
    /// Reads the event's body.
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => this.instance_id = field.span(number)?,
                2 => this.name = field.span(number)?,
                3 => this.input = Some(field.span(number)?),
                _ => {}
            }
        }
        Ok(this)
    }

    /// The payload's JSON; not yet checked to be text.
    pub fn input(&self) -> Result<Option<Span<'a>>, Corrupt> {
        self.input.map_or(Ok(None), Span::string_value)
    }
}
