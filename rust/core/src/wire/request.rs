//! `WorkItem` and `OrchestratorRequest`, read as far as the lists of events.

use super::reader::{Corrupt, Key, Problem, Reader, Span, bytes_key};

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
    /// The fields from the first past event on that has to be looked at.
    past_events: Reader<'a>,
    /// The fields from the first new event on.
    new_events: Reader<'a>,
    /// The whole request.
    span: Span<'a>,
    /// `instanceId`.
    pub instance_id: &'a str,
    /// `executionId`; Dapr leaves it out.
    pub execution_id: Option<&'a str>,
    /// How many `pastEvents` were passed over, since they are known.
    pub known_count: usize,
    /// How many `pastEvents` there are beside those.
    pub past_count: usize,
    /// How many `newEvents` there are.
    pub new_count: usize,
    /// `propagatedHistory`: what whoever started this instance lets it see.
    pub propagated_history: Option<Span<'a>>,
    /// `cachedHistory.eventCount`: how many past events the sidecar left out.
    pub cached_count: Option<i32>,
    /// Where the past events that were not passed over begin and end, if nothing else stands between them.
    past_region: Option<(usize, usize)>,
}

/// The beginning of a history that needs no reading.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its length on the wire, tags and lengths included.
    pub bytes: usize,
    /// How many events that is.
    pub count: usize,
}

const PAST: u32 = 3;
const NEW: u32 = 4;
const PROPAGATED: u32 = 8;
/// The bytes of their keys.
const PAST_TAG: u8 = 0x1a;
const NEW_TAG: u8 = 0x22;

impl<'a> Request<'a> {
    /// Walks once over the request's own fields.
    pub fn decode(span: Span<'a>) -> Result<Self, Corrupt> {
        Self::decode_after(span, |_, _| None)
    }

    /// The same, but for the beginning of the history that is known already: `known` is asked once, at the first past
    /// event, with the instance id and all bytes from there on.
    pub fn decode_after(
        span: Span<'a>,
        known: impl FnOnce(&'a str, &'a [u8]) -> Option<Known>,
    ) -> Result<Self, Corrupt> {
        const PAST_KEY: Key = bytes_key(PAST);
        const NEW_KEY: Key = bytes_key(NEW);
        let mut reader = Reader::new(span);
        let mut this = Self {
            past_events: reader,
            new_events: reader,
            span,
            instance_id: "",
            execution_id: None,
            known_count: 0,
            past_count: 0,
            new_count: 0,
            propagated_history: None,
            cached_count: None,
            past_region: None,
        };
        let mut known = Some(known);
        let mut contiguous = true;
        loop {
            let before = reader;
            let Some(key) = reader.key()? else { break };
            match key {
                PAST_KEY => {
                    reader.span()?;
                    if let Some(known) = known.take() {
                        this.past_events = before;
                        if let Some(known) = known(this.instance_id, before.rest()) {
                            this.known_count = known.count;
                            reader = before;
                            reader.pass(known.bytes);
                            this.past_events = reader;
                            continue;
                        }
                    }
                    this.past_count += 1 + reader.pass_run(PAST_TAG);
                    let (start, end) = (before.offset(), reader.offset());
                    match &mut this.past_region {
                        None => this.past_region = Some((start, end)),
                        Some((_, last)) if *last == start => *last = end,
                        Some(_) => contiguous = false,
                    }
                }
                NEW_KEY => {
                    reader.span()?;
                    if this.new_count == 0 {
                        this.new_events = before;
                    }
                    this.new_count += 1 + reader.pass_run(NEW_TAG);
                }
                _ => {
                    reader = before;
                    this.read_other(&mut reader)?;
                }
            }
        }
        if !contiguous {
            this.past_region = None;
        }
        Ok(this)
    }

    /// Reads a field that is no event.
    fn read_other(&mut self, reader: &mut Reader<'a>) -> Result<(), Corrupt> {
        let Some((number, field)) = reader.next()? else { return Ok(()) };
        match number {
            1 => self.instance_id = field.span(number)?.text()?,
            2 => self.execution_id = field.span(number)?.string_value_text()?,
            PAST | NEW => drop(field.span(number)?),
            PROPAGATED => self.propagated_history = Some(field.span(number)?),
            9 => {
                let mut cached = Reader::new(field.span(number)?);
                let mut count = 0;
                while let Some((number, field)) = cached.next()? {
                    if number == 1 {
                        count = field.int32(number)?;
                    }
                }
                self.cached_count = Some(count);
            }
            _ => {}
        }
        Ok(())
    }

    /// The past events that were not passed over, as they stand on the wire with tags and lengths; `None` if other fields
    /// stand between them.
    #[must_use]
    pub fn past_bytes(&self) -> Option<&'a [u8]> {
        match self.past_region {
            Some((start, end)) => self.span.bytes.get(start - self.span.offset..end - self.span.offset),
            None if self.past_count == 0 => Some(&[]),
            None => None,
        }
    }

    /// The past events that were not passed over, in order.
    pub fn past_events(&self) -> impl Iterator<Item = Result<Span<'a>, Corrupt>> + use<'a> {
        Spans { reader: self.past_events, tag: PAST_TAG, left: self.past_count }
    }

    /// The new events, in order.
    pub fn new_events(&self) -> impl Iterator<Item = Result<Span<'a>, Corrupt>> + use<'a> {
        Spans { reader: self.new_events, tag: NEW_TAG, left: self.new_count }
    }
}

/// Puts a whole request together: past events from the stored history (a serialized `GetInstanceHistoryResponse`), and
/// the rest from a request that leaves them out.
///
/// The history may be longer than the past that the request counts; `None` says that it is shorter.
pub fn complete_request(partial: &Request<'_>, history: Span<'_>) -> Result<Option<Vec<u8>>, Corrupt> {
    let left_out = usize::try_from(partial.cached_count.unwrap_or(0)).unwrap_or(0);
    let wanted = left_out + partial.past_count;
    let mut whole = Vec::with_capacity(partial.span.bytes.len() + history.bytes.len());
    put(&mut whole, 1, partial.instance_id.as_bytes());
    if let Some(execution_id) = partial.execution_id {
        let mut value = Vec::new();
        put(&mut value, 1, execution_id.as_bytes());
        put(&mut whole, 2, &value);
    }
    let mut found = 0;
    let mut reader = Reader::new(history);
    while let Some((number, field)) = reader.next()? {
        if number == 1 && found < wanted {
            put(&mut whole, PAST, field.span(number)?.bytes);
            found += 1;
        }
    }
    for event in partial.new_events() {
        put(&mut whole, NEW, event?.bytes);
    }
    if let Some(propagated) = partial.propagated_history {
        put(&mut whole, PROPAGATED, propagated.bytes);
    }
    Ok((found == wanted).then_some(whole))
}

/// Appends a length-delimited field.
pub(crate) fn put(message: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(message, u64::from(number) << 3 | 2);
    put_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        #[allow(clippy::cast_possible_truncation, reason = "seven bits")]
        message.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    #[allow(clippy::cast_possible_truncation, reason = "seven bits")]
    message.push(value as u8);
}

/// The occurrences of one repeated message field.
struct Spans<'a> {
    reader: Reader<'a>,
    tag: u8,
    left: usize,
}

impl<'a> Iterator for Spans<'a> {
    type Item = Result<Span<'a>, Corrupt>;

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "every event passes here")]
    fn next(&mut self) -> Option<Self::Item> {
        // Stopping at the count spares the walk over what follows the last one.
        self.left = self.left.checked_sub(1)?;
        if let Some(span) = self.reader.usual_span(self.tag) {
            return Some(Ok(span));
        }
        self.next_unusual()
    }
}

impl<'a> Spans<'a> {
    #[cold]
    fn next_unusual(&mut self) -> Option<Result<Span<'a>, Corrupt>> {
        loop {
            match self.reader.key() {
                Ok(Some(key)) if key == Key::from(self.tag) => return Some(self.reader.span()),
                Ok(Some(key)) => {
                    if let Err(error) = self.reader.skip(key, &[]) {
                        return Some(Err(error));
                    }
                }
                Ok(None) => {
                    let offset = self.reader.offset();
                    return Some(Err(Corrupt { offset, problem: Problem::Truncated }));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
