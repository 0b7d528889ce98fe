//! Handing out work, and what was handed out: a lease lasts as long as the stream it went through.

use std::collections::HashMap;

use bytes::Bytes;
use durabletask_proto::history_event::EventType;
use durabletask_proto::prost::Message;
use durabletask_proto::{
    ActivityRequest, HistoryEvent, OrchestrationInstance, TaskScheduledEvent, WorkItem, work_item,
};
use uuid::Uuid;

use super::streams::{StreamId, Work};
use super::{Hub, Result};
use crate::machine::{RawEvent, events};
use crate::store::{ActivityRow, Key};
use crate::time;
use crate::wire::{EncodedMessage, TurnParts, encode_turn};

/// How many events one turn takes at most; the rest is for the next.
const MAX_EVENTS_PER_TURN: u32 = 1_000;

/// A turn in a worker's hands.
pub(super) struct TurnLease {
    pub(super) stream: StreamId,
    pub(super) token: String,
    pub(super) started: HistoryEvent,
    pub(super) events: Vec<RawEvent>,
    /// The last inbox row that it takes.
    pub(super) last: i64,
    /// Events arrived after it was sent.
    pub(super) more: bool,
    /// The length of the history that it was sent with.
    pub(super) past_count: u32,
    pub(super) past_bytes: usize,
}

/// An activity in a worker's hands.
pub(super) struct ActivityLease {
    pub(super) stream: StreamId,
    pub(super) sequence: i64,
    pub(super) row: ActivityRow,
    pub(super) instance_id: String,
    pub(super) task_id: i32,
    pub(super) router: Option<durabletask_proto::TaskRouter>,
    pub(super) task_execution_id: String,
}

#[derive(Default)]
pub(super) struct Leases {
    turns: HashMap<Key, TurnLease>,
    activities: HashMap<String, ActivityLease>,
}

impl Leases {
    pub(super) fn clear(&mut self) {
        self.turns.clear();
        self.activities.clear();
    }

    /// The instance's turn, if it is out; notes that there is more for it to do.
    pub(super) fn note_more(&mut self, key: Key) -> bool {
        self.turns.get_mut(&key).map(|lease| lease.more = true).is_some()
    }

    /// Takes the instance's lease if the token fits. Workers that send no token are believed.
    pub(super) fn take_turn(&mut self, key: Key, token: &str) -> Option<TurnLease> {
        let fits = self.turns.get(&key).is_some_and(|lease| token.is_empty() || lease.token == token);
        if fits { self.turns.remove(&key) } else { None }
    }

    pub(super) fn take_activity(&mut self, instance_id: &str, task_id: i32, token: &str) -> Option<ActivityLease> {
        let same = |lease: &ActivityLease| lease.instance_id == instance_id && lease.task_id == task_id;
        if token.is_empty() {
            let token = self.activities.iter().find(|(_, lease)| same(lease)).map(|(token, _)| token.clone())?;
            return self.activities.remove(&token);
        }
        if self.activities.get(token).is_some_and(same) { self.activities.remove(token) } else { None }
    }

    /// Removes all leases of a stream; what they were for is returned in the order of its arrival.
    pub(super) fn take_back(&mut self, stream: StreamId) -> (Vec<Key>, Vec<(i64, ActivityRow)>) {
        let mut turns: Vec<(i64, Key)> =
            self.turns.extract_if(|_, lease| lease.stream == stream).map(|(key, lease)| (lease.last, key)).collect();
        turns.sort_unstable();
        let mut activities: Vec<(i64, ActivityRow)> = self
            .activities
            .extract_if(|_, lease| lease.stream == stream)
            .map(|(_, lease)| (lease.sequence, lease.row))
            .collect();
        activities.sort_unstable_by_key(|(sequence, _)| *sequence);
        (turns.into_iter().map(|(_, key)| key).collect(), activities)
    }

    /// Forgets what is out for an instance that is no more; returns the streams, for their accounts.
    pub(super) fn revoke(&mut self, key: Key) -> (Option<StreamId>, Vec<StreamId>) {
        let turn = self.turns.remove(&key).map(|lease| lease.stream);
        let activities =
            self.activities.extract_if(|_, lease| lease.row.key == key).map(|(_, lease)| lease.stream).collect();
        (turn, activities)
    }
}

impl Hub {
    /// Hands out all that workers have room for.
    pub(super) fn pump(&mut self) {
        // Instances whose last hope is busy step aside, so that others are not held up.
        let mut aside = Vec::new();
        loop {
            let sent = self.dispatch_turn(&mut aside).and_then(|turn| Ok(self.dispatch_activity()? || turn));
            match sent {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "work could not be read from the database; trying again");
                    self.health.stale = true;
                    return;
                }
            }
        }
        for key in aside.into_iter().rev() {
            self.queue.return_turn(key);
        }
    }

    fn dispatch_turn(&mut self, aside: &mut Vec<Key>) -> Result<bool> {
        let Some(key) = self.queue.pop_turn() else {
            return Ok(false);
        };
        let declined = self.stalled.get(&key).map_or(&[][..], Vec::as_slice);
        let Some(id) = self.streams.choose(Work::Turn(key), declined) else {
            if declined.is_empty() || self.streams.is_empty() {
                self.queue.return_turn(key);
                return Ok(false);
            }
            // When all have declined, the next worker that connects brings it back.
            if self.streams.ids().any(|id| !declined.contains(&id)) {
                aside.push(key);
            }
            return Ok(true);
        };
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(true);
        };
        let (events, last) = self.store.waiting(key, live.row.instance.execution_id(), MAX_EVENTS_PER_TURN)?;
        if events.is_empty() || live.row.instance.is_finished() {
            return Ok(true);
        }
        let instance_id = live.row.instance.id.clone();
        let execution_id = live.row.instance.execution_id().map(str::to_owned);
        let past_count = live.count;
        let Some(frames) = self.cache.history(&self.store, key)? else {
            return Ok(true);
        };
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(true);
        };

        let started = events::orchestrator_started(time::to_timestamp(time::now()));
        let started_bytes = started.encode_to_vec();
        let mut new_events: Vec<&[u8]> = vec![&started_bytes];
        new_events.extend(events.iter().map(|event| event.bytes.as_ref()));
        let token = Uuid::new_v4().to_string();
        let past_bytes = frames.len();
        let (offset, cached_events) = match stream.warm(key, execution_id.as_deref()) {
            Some(warm) => (warm.bytes, i32::try_from(warm.count).ok()),
            None => (0, None),
        };
        let item = encode_turn(TurnParts {
            instance_id: &instance_id,
            execution_id: execution_id.as_deref(),
            cached_events,
            past: frames.starting_at(if cached_events.is_some() { offset } else { 0 }),
            new_events: &new_events,
            completion_token: &token,
        });
        if !stream.send(item) {
            self.queue.return_turn(key);
            self.disconnect(id);
            return Ok(true);
        }
        stream.turns += 1;
        let more = events.len() >= MAX_EVENTS_PER_TURN as usize;
        let lease = TurnLease { stream: id, token, started, events, last, more, past_count, past_bytes };
        self.leases.turns.insert(key, lease);
        self.cache.settle(key);
        Ok(true)
    }

    fn dispatch_activity(&mut self) -> Result<bool> {
        let Some(activity) = self.queue.pop_activity() else {
            return Ok(false);
        };
        let sequence = activity.sequence;
        let Some(id) = self.streams.choose(Work::Activity, &[]) else {
            self.queue.return_activity(sequence, activity.row);
            return Ok(false);
        };
        let row = match activity.row {
            Some(row) => row,
            None => match self.store.activity(sequence)? {
                Some(row) => row,
                None => return Ok(true),
            },
        };
        let Some(live) = self.cache.load(&self.store, row.key)? else {
            return Ok(true);
        };
        let instance_id = live.row.instance.id.clone();
        let Some((event, task)) = read_task(&row.event) else {
            tracing::error!(%instance_id, sequence, "an activity in the database is damaged and is passed over");
            return Ok(true);
        };
        let token = Uuid::new_v4().to_string();
        let task_execution_id = task.task_execution_id.clone();
        let request = ActivityRequest {
            name: task.name,
            version: task.version,
            input: task.input,
            orchestration_instance: Some(OrchestrationInstance {
                instance_id: instance_id.clone(),
                execution_id: None,
            }),
            task_id: event.event_id,
            parent_trace_context: task.parent_trace_context,
            task_execution_id: task.task_execution_id,
            propagated_history: None,
        };
        let item = EncodedMessage::of_message(&WorkItem {
            request: Some(work_item::Request::ActivityRequest(request)),
            completion_token: token.clone(),
        });
        let Some(stream) = self.streams.get_mut(id).filter(|stream| stream.send(item)) else {
            self.queue.return_activity(sequence, Some(row));
            self.disconnect(id);
            return Ok(true);
        };
        stream.activities += 1;
        let (task_id, router) = (event.event_id, event.router);
        let lease = ActivityLease { stream: id, sequence, row, instance_id, task_id, router, task_execution_id };
        self.leases.activities.insert(token, lease);
        Ok(true)
    }
}

fn read_task(bytes: &Bytes) -> Option<(HistoryEvent, TaskScheduledEvent)> {
    let mut event = HistoryEvent::decode(bytes.clone()).ok()?;
    match event.event_type.take() {
        Some(EventType::TaskScheduled(task)) => Some((event, task)),
        _ => None,
    }
}
