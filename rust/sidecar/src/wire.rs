//! Histories as bytes: events stay encoded from the moment they are stored until a worker reads them.
//!
//! Decoding and encoding a history of 30,000 events for every turn would cost more than everything else that the sidecar
//! does. So a history is kept as the `pastEvents` fields of an `OrchestratorRequest`, one after the other, and a work
//! item is put together by concatenation, which is what protobuf defines messages to be closed under.

use bytes::Bytes;
use durabletask_proto::prost::encoding::{WireType, decode_varint, encode_key, encode_varint};
use durabletask_proto::prost::{DecodeError, Message};
use durabletask_proto::{ActivityRequest, CachedHistory, HistoryEvent, OrchestratorRequest, PropagatedHistory};

const PAST_EVENTS: u32 = 3;
const NEW_EVENTS: u32 = 4;
const CACHED_HISTORY: u32 = 9;
/// Of a work item's request, whichever it is.
const PROPAGATED_HISTORY: u32 = 8;
const WORK_ITEM_ORCHESTRATOR_REQUEST: u32 = 1;
const WORK_ITEM_ACTIVITY_REQUEST: u32 = 2;
const WORK_ITEM_COMPLETION_TOKEN: u32 = 10;

/// From this size on the end of a history is sealed, so that work items share it instead of copying it.
const SEAL_AT: usize = 64 * 1024;

fn put_field(buffer: &mut Vec<u8>, number: u32, value: &[u8]) {
    encode_key(number, WireType::LengthDelimited, buffer);
    encode_varint(value.len() as u64, buffer);
    buffer.extend_from_slice(value);
}

/// Appends one encoded event to what is to be stored as history.
pub(crate) fn put_past_event(buffer: &mut Vec<u8>, event: &[u8]) {
    put_field(buffer, PAST_EVENTS, event);
}

/// The committed history of one execution, encoded.
#[derive(Debug, Default, Clone)]
pub(crate) struct Frames {
    sealed: Vec<Bytes>,
    tail: Vec<u8>,
    len: usize,
}

impl Frames {
    /// Appends what [`put_past_event`] built.
    pub(crate) fn append(&mut self, frames: &[u8]) {
        self.tail.extend_from_slice(frames);
        self.len += frames.len();
        if self.tail.len() >= SEAL_AT {
            self.sealed.push(Bytes::from(std::mem::take(&mut self.tail)));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What is stored from byte `offset` on; all of it but the unsealed end is shared.
    pub(crate) fn starting_at(&self, offset: usize) -> Vec<Bytes> {
        let mut skip = offset;
        let mut chunks = Vec::with_capacity(self.sealed.len() + 1);
        for chunk in &self.sealed {
            if skip < chunk.len() {
                chunks.push(chunk.slice(skip..));
                skip = 0;
            } else {
                skip -= chunk.len();
            }
        }
        if skip < self.tail.len() {
            chunks.push(Bytes::copy_from_slice(&self.tail[skip..]));
        }
        chunks
    }
}

/// What a `GetInstanceHistoryResponse` calls its events.
const HISTORY_EVENTS: u32 = 1;

/// A committed history as a serialized `GetInstanceHistoryResponse`: the same events under another number, unread.
/// `None` if it is not what [`put_past_event`] built.
pub(crate) fn encode_history(frames: &Frames) -> Option<EncodedMessage> {
    Some(EncodedMessage { chunks: vec![as_first_field(frames)?] })
}

/// A committed history as the `rawEvents` of a `PropagatedHistoryChunk`, which have the same number.
pub(crate) fn encode_raw_events(frames: &Frames) -> Option<Bytes> {
    as_first_field(frames)
}

fn as_first_field(frames: &Frames) -> Option<Bytes> {
    let (mut from, mut to) = (Vec::new(), Vec::new());
    encode_key(PAST_EVENTS, WireType::LengthDelimited, &mut from);
    encode_key(HISTORY_EVENTS, WireType::LengthDelimited, &mut to);
    debug_assert_eq!(from.len(), to.len(), "one is written over the other");

    let mut bytes = frames.starting_at(0).concat();
    let mut rest = bytes.as_mut_slice();
    while !rest.is_empty() {
        let (key, value) = rest.split_at_mut_checked(from.len())?;
        if key != from {
            return None;
        }
        key.copy_from_slice(&to);
        let mut after = &*value;
        let event = usize::try_from(decode_varint(&mut after).ok()?).ok()?;
        let prefix = value.len() - after.len();
        rest = value.get_mut(prefix.checked_add(event)?..)?;
    }
    Some(bytes.into())
}

/// The histories that a work item's request shows, as the field of that request; each as its events and what else is
/// said of it.
pub(crate) fn encode_propagated(scope: i32, histories: &[(Bytes, Bytes)]) -> Vec<Bytes> {
    const CHUNKS: u32 = 2;
    let mut inner = PropagatedHistory { scope, chunks: Vec::new() }.encode_to_vec();
    let mut chunks = Vec::with_capacity(2 * histories.len() + 1);
    for (events, head) in histories {
        encode_key(CHUNKS, WireType::LengthDelimited, &mut inner);
        encode_varint((events.len() + head.len()) as u64, &mut inner);
        inner.extend_from_slice(head);
        chunks.push(Bytes::from(std::mem::take(&mut inner)));
        chunks.push(events.clone());
    }
    let len: usize = chunks.iter().map(Bytes::len).sum();
    let mut front = Vec::new();
    encode_key(PROPAGATED_HISTORY, WireType::LengthDelimited, &mut front);
    encode_varint((len + inner.len()) as u64, &mut front);
    front.extend_from_slice(&inner);
    chunks.insert(0, front.into());
    chunks
}

/// Decodes stored history, wherever it was cut between events.
pub(crate) fn decode_history(frames: &[u8]) -> Result<Vec<HistoryEvent>, DecodeError> {
    Ok(OrchestratorRequest::decode(frames)?.past_events)
}

/// A message ready for the wire.
#[derive(Debug, Clone)]
pub(crate) struct EncodedMessage {
    pub(crate) chunks: Vec<Bytes>,
}

impl EncodedMessage {
    pub(crate) fn len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }
}

/// What a turn's work item is made of.
pub(crate) struct TurnParts<'a> {
    pub(crate) instance_id: &'a str,
    pub(crate) execution_id: Option<&'a str>,
    /// How many committed events were left out of `past`, if the worker is to take them from its cache.
    pub(crate) cached_events: Option<i32>,
    pub(crate) past: Vec<Bytes>,
    pub(crate) new_events: &'a [&'a [u8]],
    /// From [`encode_propagated`]; none if nothing is shown.
    pub(crate) propagated: Vec<Bytes>,
    pub(crate) completion_token: &'a str,
}

/// Puts the work item of a turn together without decoding an event.
pub(crate) fn encode_turn(parts: TurnParts<'_>) -> EncodedMessage {
    let head = OrchestratorRequest {
        instance_id: parts.instance_id.to_owned(),
        execution_id: parts.execution_id.map(str::to_owned),
        ..OrchestratorRequest::default()
    }
    .encode_to_vec();

    let mut end = Vec::new();
    for event in parts.new_events {
        put_field(&mut end, NEW_EVENTS, event);
    }
    if let Some(event_count) = parts.cached_events {
        put_field(&mut end, CACHED_HISTORY, &CachedHistory { event_count }.encode_to_vec());
    }

    let past_len: usize = parts.past.iter().chain(&parts.propagated).map(Bytes::len).sum();
    let mut front = Vec::with_capacity(head.len() + 16);
    encode_key(WORK_ITEM_ORCHESTRATOR_REQUEST, WireType::LengthDelimited, &mut front);
    encode_varint((head.len() + past_len + end.len()) as u64, &mut front);
    front.extend_from_slice(&head);
    put_field(&mut end, WORK_ITEM_COMPLETION_TOKEN, parts.completion_token.as_bytes());

    let mut chunks = Vec::with_capacity(parts.past.len() + parts.propagated.len() + 2);
    chunks.push(front.into());
    chunks.extend(parts.past);
    chunks.extend(parts.propagated);
    chunks.push(end.into());
    EncodedMessage { chunks }
}

/// Puts the work item of an activity together; what it is shown comes from [`encode_propagated`].
pub(crate) fn encode_activity(
    request: &ActivityRequest,
    propagated: Vec<Bytes>,
    completion_token: &str,
) -> EncodedMessage {
    let shown: usize = propagated.iter().map(Bytes::len).sum();
    let mut front = Vec::new();
    encode_key(WORK_ITEM_ACTIVITY_REQUEST, WireType::LengthDelimited, &mut front);
    encode_varint((request.encoded_len() + shown) as u64, &mut front);
    front.extend_from_slice(&request.encode_to_vec());
    let mut end = Vec::new();
    put_field(&mut end, WORK_ITEM_COMPLETION_TOKEN, completion_token.as_bytes());
    if propagated.is_empty() {
        front.extend_from_slice(&end);
        return EncodedMessage { chunks: vec![front.into()] };
    }
    let mut chunks = vec![front.into()];
    chunks.extend(propagated);
    chunks.push(end.into());
    EncodedMessage { chunks }
}

#[cfg(test)]
mod tests {
    use durabletask_proto::history_event::EventType;
    use durabletask_proto::{
        EventRaisedEvent, GetInstanceHistoryResponse, PropagatedHistoryChunk, WorkItem, work_item,
    };

    use super::*;

    fn raised(name: &str) -> HistoryEvent {
        let event = EventRaisedEvent { name: name.to_owned(), input: None };
        HistoryEvent { event_id: -1, event_type: Some(EventType::EventRaised(event)), ..HistoryEvent::default() }
    }

    fn frame(event: &HistoryEvent) -> Vec<u8> {
        let mut buffer = Vec::new();
        put_past_event(&mut buffer, &event.encode_to_vec());
        buffer
    }

    #[test]
    fn a_turn_decodes_as_the_work_item_that_it_stands_for() {
        let mut frames = Frames::default();
        frames.append(&frame(&raised("past")));
        let new = raised("new").encode_to_vec();
        let item = encode_turn(TurnParts {
            instance_id: "abc",
            execution_id: Some("run"),
            cached_events: Some(7),
            past: frames.starting_at(0),
            new_events: &[&new],
            propagated: shown(),
            completion_token: "token",
        });

        let decoded = WorkItem::decode(item.chunks.concat().as_slice()).expect("what we encode decodes");

        assert_eq!(decoded.completion_token, "token");
        let Some(work_item::Request::OrchestratorRequest(request)) = decoded.request else {
            panic!("expected an orchestrator request, found {:?}", decoded.request);
        };
        assert_eq!(request.instance_id, "abc");
        assert_eq!(request.execution_id.as_deref(), Some("run"));
        assert_eq!(request.past_events, vec![raised("past")]);
        assert_eq!(request.new_events, vec![raised("new")]);
        assert_eq!(request.cached_history, Some(CachedHistory { event_count: 7 }));
        assert_eq!(request.propagated_history, Some(all_that_is_shown()));
    }

    /// The histories of two instances, of which the first has nothing to tell.
    fn all_that_is_shown() -> PropagatedHistory {
        let chunk = |raw_events, id: &str| PropagatedHistoryChunk {
            raw_events,
            app_id: "app".to_owned(),
            instance_id: id.to_owned(),
            workflow_name: "order".to_owned(),
            ..PropagatedHistoryChunk::default()
        };
        let events = ["one", "two"].map(|name| raised(name).encode_to_vec()).to_vec();
        PropagatedHistory { scope: 2, chunks: vec![chunk(Vec::new(), "first"), chunk(events, "second")] }
    }

    fn shown() -> Vec<Bytes> {
        let mut frames = Frames::default();
        frames.append(&frame(&raised("one")));
        frames.append(&frame(&raised("two")));
        let events = encode_raw_events(&frames).expect("it is what we stored");
        let history = all_that_is_shown();
        let heads = history.chunks.into_iter().map(|chunk| PropagatedHistoryChunk { raw_events: Vec::new(), ..chunk });
        let heads: Vec<Bytes> = heads.map(|head| head.encode_to_vec().into()).collect();
        encode_propagated(2, &[(Bytes::new(), heads[0].clone()), (events, heads[1].clone())])
    }

    #[test]
    fn an_activity_decodes_as_the_work_item_that_it_stands_for() {
        for (propagated, expected) in [(Vec::new(), None), (shown(), Some(all_that_is_shown()))] {
            let request = ActivityRequest { name: "charge".to_owned(), task_id: 3, ..ActivityRequest::default() };

            let item = encode_activity(&request, propagated, "token");

            let decoded = WorkItem::decode(item.chunks.concat().as_slice()).expect("what we encode decodes");
            assert_eq!(decoded.completion_token, "token");
            let request = ActivityRequest { propagated_history: expected, ..request };
            assert_eq!(decoded.request, Some(work_item::Request::ActivityRequest(request)));
        }
    }

    #[test]
    fn a_history_can_be_read_from_the_end_of_any_event() {
        let mut frames = Frames::default();
        let mut offsets = Vec::new();
        let names: Vec<String> = (0..50).map(|n| format!("{n}-{}", "x".repeat(5_000))).collect();
        for name in &names {
            offsets.push(frames.len());
            frames.append(&frame(&raised(name)));
        }
        assert!(frames.sealed.len() > 1, "the test is to cross sealed chunks");

        for (index, offset) in offsets.into_iter().enumerate() {
            let events = decode_history(&frames.starting_at(offset).concat()).expect("whole events");
            assert_eq!(events.len(), names.len() - index);
            assert_eq!(events[0], raised(&names[index]));
        }
        assert!(frames.starting_at(frames.len()).is_empty());
    }

    #[test]
    fn a_history_is_answered_with_the_events_that_were_stored() {
        let events: Vec<HistoryEvent> = ["", "short", &"x".repeat(2 * SEAL_AT), "last"].map(raised).to_vec();
        let mut frames = Frames::default();
        for event in &events {
            frames.append(&frame(event));
        }

        let message = encode_history(&frames).expect("it is what we stored");

        let decoded = GetInstanceHistoryResponse::decode(message.chunks.concat().as_slice()).expect("a response");
        assert_eq!(decoded.events, events);
        assert_eq!(encode_history(&Frames::default()).map(|message| message.chunks.concat()), Some(Vec::new()));
    }

    #[test]
    fn a_damaged_history_is_not_answered() {
        let sound = frame(&raised("event"));
        let cut = &sound[..sound.len() - 1];
        for damaged in [cut, &[0x1a], &[0x1a, 0xff], &[0x22, 0x00], &[0x1a, 0x7f, 0x00]] {
            let mut frames = Frames::default();
            frames.append(&sound);
            frames.append(damaged);
            assert!(encode_history(&frames).is_none(), "{damaged:?} passed for an event");
        }
    }
}
