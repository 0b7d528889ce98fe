//! What people keep of histories, read back: a `GetInstanceHistoryResponse`, an `OrchestratorRequest`, or the `WorkItem`
//! around one.

use durabletask_core::wire::{Corrupt, Event, EventType, ExecutionStarted, Problem, Reader, Request, Span, WorkItem};
use durabletask_proto::history_event;
use durabletask_proto::prost::Message;

/// A history, oldest event first.
pub(super) struct Recorded<'a> {
    pub(super) events: Vec<Event<'a>>,
    /// How many of them had been answered when the history was taken. A stored history has no others.
    pub(super) past: usize,
    pub(super) instance_id: String,
    pub(super) name: String,
}

/// Why bytes are no history, and where that shows.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) offset: usize,
    pub(super) problem: String,
}

impl From<Corrupt> for Unreadable {
    fn from(corrupt: Corrupt) -> Self {
        let problem = match corrupt.problem {
            Problem::Truncated => "it ends inside a field".to_owned(),
            Problem::VarintTooLong => "a number is longer than ten bytes".to_owned(),
            Problem::WireType(wire_type) => format!("unknown wire type {wire_type}"),
            Problem::FieldNumber => "impossible field number".to_owned(),
            Problem::Mismatch(field) => format!("field {field} has a wire type that does not fit its declaration"),
            Problem::NotUtf8 => "text is not UTF-8".to_owned(),
        };
        Self { offset: corrupt.offset, problem }
    }
}

impl<'a> Recorded<'a> {
    pub(super) fn decode(data: &'a [u8]) -> Result<Self, Unreadable> {
        let span = Span::whole(data);
        let mut this = match Kind::of(span)? {
            Kind::History => Self::of_history(span)?,
            Kind::Request => Self::of_request(&Request::decode(span)?)?,
            Kind::WorkItem => Self::of_request(&Request::decode(WorkItem::decode(span)?.request)?)?,
        };
        for (index, event) in this.events.iter().enumerate() {
            if event.event_type.name().is_none() {
                let problem = match event.event_type {
                    EventType::Unknown(field) if field != 0 => format!(
                        "event {index} has a type that this version does not know (field {field} of HistoryEvent)"
                    ),
                    _ => format!("event {index} has no type"),
                };
                return Err(Unreadable { offset: event.raw().offset, problem });
            }
        }
        let Some(started) = this.events.iter().find(|event| event.event_type == EventType::ExecutionStarted) else {
            let problem = format!("none of the {} events is the executionStarted of an execution", this.events.len());
            return Err(Unreadable { offset: 0, problem });
        };
        ExecutionStarted::decode(started.body())?.name.clone_into(&mut this.name);
        if this.instance_id.is_empty() {
            this.instance_id = instance_id(started).unwrap_or_default();
        }
        Ok(this)
    }

    fn of_history(span: Span<'a>) -> Result<Self, Corrupt> {
        let mut events = Vec::new();
        let mut reader = Reader::new(span);
        while let Some((number, field)) = reader.next()? {
            if number == 1 {
                events.push(Event::decode(field.span(number)?)?);
            }
        }
        Ok(Self { past: events.len(), events, instance_id: String::new(), name: String::new() })
    }

    fn of_request(request: &Request<'a>) -> Result<Self, Unreadable> {
        if let Some(count) = request.cached_count {
            let problem =
                format!("the turn leaves out {count} past events; record turns that carry their whole history");
            return Err(Unreadable { offset: 0, problem });
        }
        let mut events = Vec::with_capacity(request.past_count + request.new_count);
        for event in request.past_events().chain(request.new_events()) {
            events.push(Event::decode(event?)?);
        }
        Ok(Self { events, past: request.past_count, instance_id: request.instance_id.to_owned(), name: String::new() })
    }
}

fn instance_id(started: &Event<'_>) -> Option<String> {
    let event = durabletask_proto::HistoryEvent::decode(started.raw().bytes).ok()?;
    match event.event_type {
        Some(history_event::EventType::ExecutionStarted(started)) => Some(started.orchestration_instance?.instance_id),
        _ => None,
    }
}

enum Kind {
    History,
    Request,
    WorkItem,
}

impl Kind {
    /// The messages tell themselves apart by their fields: a history has field 1 alone, many times, each an event that
    /// begins with a number; a request has events in fields 3 and 4; a work item has a request in field 1, which begins
    /// with the text of an instance id.
    fn of(span: Span<'_>) -> Result<Self, Unreadable> {
        if span.bytes.is_empty() {
            return Err(Unreadable { offset: 0, problem: "it is empty".to_owned() });
        }
        let mut first = None;
        let mut kind = Self::History;
        let mut reader = Reader::new(span);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => first = first.or(Some(field.span(number)?)),
                2 if first.is_none() => {
                    let problem = "it is a work item that asks for no orchestrator's turn".to_owned();
                    return Err(Unreadable { offset: 0, problem });
                }
                3 | 4 => kind = Self::Request,
                _ => {}
            }
        }
        let Some(first) = first else {
            return Err(Unreadable { offset: 0, problem: "it holds no history event".to_owned() });
        };
        if matches!(kind, Self::History)
            && let Some((1, field)) = Reader::new(first).next()?
            && field.span(1).is_ok()
        {
            kind = Self::WorkItem;
        }
        Ok(kind)
    }
}
