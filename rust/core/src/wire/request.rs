//! `WorkItem` and `OrchestratorRequest`, read as far as the lists of events.

use super::reader::{Corrupt, Problem, Reader, Span};

/// A work item that asks for an orchestrator's turn.
#[derive(Clone, Copy, Debug)]
pub struct WorkItem<'a> {
    /// `orchestratorRequest`.
    pub request: Span<'a>,
    /// `completionToken`; Dapr sends none.
    pub completion_token: &'a str,
}

impl<'a> WorkItem<'a> {
    /// Finds the request inside a `WorkItem`; one without an orchestrator's request has an empty one.
    pub fn decode(item: Span<'a>) -> Result<Self, Corrupt> {
        let mut this = Self { request: Span { bytes: &[], offset: item.offset }, completion_token: "" };
        let mut reader = Reader::new(item);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => this.request = field.span(number)?,
                10 => this.completion_token = field.span(number)?.text()?,
                _ => {}
            }
        }
        Ok(this)
    }
}

/// An `OrchestratorRequest`, with its events still on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    span: Span<'a>,
    /// `instanceId`.
    pub instance_id: &'a str,
    /// `executionId`; Dapr leaves it out.
    pub execution_id: Option<&'a str>,
    /// How many `pastEvents` there are.
    pub past_count: usize,
    /// How many `newEvents` there are.
    pub new_count: usize,
    /// `cachedHistory.eventCount`: how many past events the sidecar left out.
    pub cached_count: Option<i32>,
}

const PAST: u32 = 3;
const NEW: u32 = 4;

impl<'a> Request<'a> {
    /// Walks once over the request's own fields.
    pub fn decode(span: Span<'a>) -> Result<Self, Corrupt> {
        let mut this =
            Self { span, instance_id: "", execution_id: None, past_count: 0, new_count: 0, cached_count: None };
        let mut reader = Reader::new(span);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => this.instance_id = field.span(number)?.text()?,
                2 => this.execution_id = field.span(number)?.string_value()?,
                PAST => {
                    field.span(number)?;
                    this.past_count += 1;
                }
                NEW => {
                    field.span(number)?;
                    this.new_count += 1;
                }
                9 => {
                    let mut cached = Reader::new(field.span(number)?);
                    let mut count = 0;
                    while let Some((number, field)) = cached.next()? {
                        if number == 1 {
                            count = field.int32(number)?;
                        }
                    }
                    this.cached_count = Some(count);
                }
                _ => {}
            }
        }
        Ok(this)
    }

    /// The past events, in order.
    pub fn past_events(&self) -> impl Iterator<Item = Result<Span<'a>, Corrupt>> + use<'a> {
        Spans { reader: Reader::new(self.span), number: PAST, left: self.past_count }
    }

    /// The new events, in order.
    pub fn new_events(&self) -> impl Iterator<Item = Result<Span<'a>, Corrupt>> + use<'a> {
        Spans { reader: Reader::new(self.span), number: NEW, left: self.new_count }
    }
}

/// The occurrences of one repeated message field.
struct Spans<'a> {
    reader: Reader<'a>,
    number: u32,
    left: usize,
}

impl<'a> Iterator for Spans<'a> {
    type Item = Result<Span<'a>, Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        // Stopping at the count spares the walk over what follows the last one.
        self.left = self.left.checked_sub(1)?;
        loop {
            match self.reader.next() {
                Ok(Some((number, field))) if number == self.number => return Some(field.span(number)),
                Ok(Some(_)) => {}
                Ok(None) => return Some(Err(Corrupt { offset: 0, problem: Problem::Truncated })),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
