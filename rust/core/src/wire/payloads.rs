//! The bodies of history events, one type each, with the fields that replay reads.

use super::event::read_timestamp;
use super::reader::{Corrupt, Reader, Span};
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
                3 => this.input = field.span(number)?.string_value()?,
                4 => {
                    let mut instance = Reader::new(field.span(number)?);
                    while let Some((number, field)) = instance.next()? {
                        if number == 2 {
                            this.execution_id = field.span(number)?.string_value()?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(this)
    }
}

/// A call that the history confirms: its name under field `NAME`, its input under field `INPUT`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scheduled<'a, const NAME: u32, const INPUT: u32> {
    /// Name of the activity or orchestrator; not yet checked to be text.
    pub name: Span<'a>,
    input: Option<Span<'a>>,
}

/// `TaskScheduledEvent`: which activity the history scheduled.
pub type TaskScheduled<'a> = Scheduled<'a, 1, 3>;

/// `SubOrchestrationInstanceCreatedEvent`: which sub-orchestration the history created.
pub type SubOrchestrationCreated<'a> = Scheduled<'a, 2, 4>;

impl<'a, const NAME: u32, const INPUT: u32> Scheduled<'a, NAME, INPUT> {
    /// Reads the event's body.
    #[inline]
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            if number == NAME {
                this.name = field.span(number)?;
            } else if number == INPUT {
                this.input = Some(field.span(number)?);
            }
        }
        Ok(this)
    }

    /// The input's JSON as it was sent, for a call that may have to be sent again.
    pub fn input(&self) -> Result<Option<&'a str>, Corrupt> {
        self.input.map_or(Ok(None), Span::string_value)
    }
}

/// `TaskCompletedEvent` and `SubOrchestrationInstanceCompletedEvent`, which agree in the fields that replay reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskCompleted<'a> {
    /// `taskScheduledId`.
    pub task_id: i32,
    /// The result's JSON.
    pub result: Option<&'a str>,
}

impl<'a> TaskCompleted<'a> {
    /// Reads the event's body.
    #[inline]
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => this.task_id = field.int32(number)?,
                2 => this.result = field.span(number)?.string_value()?,
                _ => {}
            }
        }
        Ok(this)
    }

    /// `TaskCompletedEvent.taskExecutionId` (also field 3 of `TaskFailedEvent`); empty if there is none.
    pub fn execution_id(body: Span<'a>) -> Result<&'a str, Corrupt> {
        let mut id = "";
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            if number == 3 {
                id = field.span(number)?.text()?;
            }
        }
        Ok(id)
    }
}

/// `TaskFailedEvent` and `SubOrchestrationInstanceFailedEvent`, which agree in the fields that replay reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Failed<'a> {
    /// `taskScheduledId`.
    pub task_id: i32,
    /// What went wrong.
    pub failure: Failure<'a>,
}

impl<'a> Failed<'a> {
    /// Reads the event's body.
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => this.task_id = field.int32(number)?,
                2 => this.failure = Failure::decode(field.span(number)?)?,
                _ => {}
            }
        }
        Ok(this)
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
}

impl<'a> Failure<'a> {
    fn decode(span: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(span);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => this.error_type = field.span(number)?.text()?,
                2 => this.message = field.span(number)?.text()?,
                3 => this.stack_trace = field.span(number)?.string_value()?,
                _ => {}
            }
        }
        Ok(this)
    }
}

/// `TimerFiredEvent`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimerFired {
    /// `timerId`.
    pub timer_id: i32,
    /// `fireAt`, if it is set.
    pub fire_at: Option<Timestamp>,
}

impl TimerFired {
    /// Reads the event's body.
    #[inline]
    pub fn decode(body: Span<'_>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => this.fire_at = Some(read_timestamp(field.span(number)?)?),
                2 => this.timer_id = field.int32(number)?,
                _ => {}
            }
        }
        Ok(this)
    }
}

/// `EventRaisedEvent`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventRaised<'a> {
    /// The event's name, in the sender's spelling.
    pub name: &'a str,
    /// The payload's JSON.
    pub input: Option<&'a str>,
}

impl<'a> EventRaised<'a> {
    /// Reads the event's body.
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => this.name = field.span(number)?.text()?,
                2 => this.input = field.span(number)?.string_value()?,
                _ => {}
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
                this.output = field.span(number)?.string_value()?;
            }
        }
        Ok(this)
    }
}

/// `EventSentEvent`: which event the history sent to another instance.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventSent<'a> {
    /// The event's name; text that is not checked.
    pub name: Span<'a>,
}

impl<'a> EventSent<'a> {
    /// Reads the event's body.
    pub fn decode(body: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self::default();
        let mut reader = Reader::new(body);
        while let Some((number, field)) = reader.next()? {
            if number == 2 {
                this.name = field.span(number)?;
            }
        }
        Ok(this)
    }
}
