//! What people keep of histories, read back: a `GetInstanceHistoryResponse`, an `OrchestratorRequest`, or the `WorkItem`
//! around one.

use durabletask_proto::history_event;
use durabletask_proto::prost::Message;

use crate::wire::{Corrupt, Event, EventType, ExecutionStarted, Problem, Reader, Request, Span, WorkItem};

/// A history.
#[derive(Debug)]
pub struct Recorded<'a> {
    /// Its events, oldest first.
    pub events: Vec<Event<'a>>,
    /// How many of them had been answered when the history was taken. A stored history has no others.
    pub past: usize,
    /// The instance.
    pub instance_id: String,
    /// Its orchestrator.
    pub name: String,
}

/// Why bytes are no history, and where that shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// How many bytes into them.
    pub offset: usize,
    /// What is wrong, as people are told.
    pub problem: String,
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
    /// Reads a history in whichever form it is.
    ///
    /// # Errors
    /// The bytes are none of the forms, or leave out what a replay needs.
    pub fn decode(data: &'a [u8]) -> Result<Self, Unreadable> {
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

#[cfg(test)]
mod tests {
    use durabletask_proto as pb;
    use pb::history_event::EventType;
    use pb::prost::Message;

    use super::{Recorded, Unreadable};

    fn event(event_type: Option<EventType>) -> pb::HistoryEvent {
        pb::HistoryEvent { event_id: -1, event_type, ..Default::default() }
    }

    fn started(orchestrator: &str, instance_id: &str) -> pb::HistoryEvent {
        let instance = pb::OrchestrationInstance { instance_id: instance_id.to_owned(), ..Default::default() };
        event(Some(EventType::ExecutionStarted(pb::ExecutionStartedEvent {
            name: orchestrator.to_owned(),
            orchestration_instance: Some(instance),
            ..Default::default()
        })))
    }

    fn raised() -> pb::HistoryEvent {
        event(Some(EventType::EventRaised(pb::EventRaisedEvent::default())))
    }

    fn request() -> pb::OrchestratorRequest {
        pb::OrchestratorRequest {
            instance_id: "abc".to_owned(),
            past_events: vec![started("o", "abc"), raised()],
            new_events: vec![raised()],
            ..Default::default()
        }
    }

    fn read(bytes: &[u8]) -> (String, String, usize, usize) {
        let history = Recorded::decode(bytes).unwrap();
        (history.instance_id, history.name, history.events.len(), history.past)
    }

    fn problem(bytes: &[u8]) -> Unreadable {
        Recorded::decode(bytes).unwrap_err()
    }

    #[test]
    fn a_stored_history_is_all_past() {
        let stored = pb::GetInstanceHistoryResponse { events: vec![started("o", "abc"), raised(), raised()] };
        assert_eq!(read(&stored.encode_to_vec()), ("abc".into(), "o".into(), 3, 3));
    }

    #[test]
    fn a_request_and_the_work_item_around_it_are_the_same_history() {
        let expected = ("abc".into(), "o".into(), 3, 2);
        assert_eq!(read(&request().encode_to_vec()), expected);
        let item = pb::WorkItem {
            completion_token: "token".to_owned(),
            request: Some(pb::work_item::Request::OrchestratorRequest(request())),
        };
        assert_eq!(read(&item.encode_to_vec()), expected);
    }

    #[test]
    fn a_request_that_leaves_events_out_is_refused() {
        let turn = pb::OrchestratorRequest { cached_history: Some(pb::CachedHistory { event_count: 12 }), ..request() };
        assert!(problem(&turn.encode_to_vec()).problem.contains("leaves out 12 past events"));
    }

    #[test]
    fn an_event_without_a_type_is_told_with_its_place() {
        let stored = pb::GetInstanceHistoryResponse { events: vec![started("o", "abc"), event(None)] };
        let first = pb::GetInstanceHistoryResponse { events: vec![started("o", "abc")] }.encoded_len();
        let found = problem(&stored.encode_to_vec());
        assert_eq!((found.offset, found.problem.as_str()), (first + 2, "event 1 has no type"));
    }

    #[test]
    fn what_is_no_history_is_refused_in_words() {
        assert_eq!(problem(b"").problem, "it is empty");
        assert_eq!(problem(&[0x50, 1]).problem, "it holds no history event");
        let without_start = pb::GetInstanceHistoryResponse { events: vec![raised(), raised()] };
        assert!(problem(&without_start.encode_to_vec()).problem.starts_with("none of the 2 events"));
        let activity = pb::WorkItem {
            request: Some(pb::work_item::Request::ActivityRequest(pb::ActivityRequest::default())),
            ..Default::default()
        };
        assert!(problem(&activity.encode_to_vec()).problem.contains("asks for no orchestrator's turn"));
    }

    #[test]
    fn every_beginning_of_a_history_is_read_or_refused() {
        let bytes = request().encode_to_vec();
        for end in 0..bytes.len() {
            if let Err(found) = Recorded::decode(&bytes[..end]) {
                assert!(found.offset <= end, "{found:?}");
            }
        }
    }
}
