//! Handing out work: what the scheduler decides is read, put together and sent.

use std::collections::HashMap;

use bytes::Bytes;
use durabletask_proto::history_event::EventType;
use durabletask_proto::prost::Message;
use durabletask_proto::{ActivityRequest, HistoryEvent, OrchestrationInstance, TaskRouter, TaskScheduledEvent};
use uuid::Uuid;

use super::scheduler::{Need, StreamId};
use super::{Hub, Result};
use crate::machine::{RawEvent, events};
use crate::store::{ActivityRow, Holder, InstanceRow, Key};
use crate::time;
use crate::wire::{TurnParts, encode_activity, encode_turn};

/// How many events one turn takes at most; the rest is for the next.
const MAX_EVENTS_PER_TURN: u32 = 1_000;
/// Up to how many bytes the events of a turn that is out are kept in memory; larger ones are read again.
const KEPT_EVENTS: usize = 64 * 1024;
/// How many bytes of activities are kept in memory while they wait; others are read again when their turn comes.
const KEPT_ACTIVITIES: usize = 32 * 1024 * 1024;

/// A turn in a worker's hands.
#[derive(Clone)]
pub(super) struct TurnLease {
    pub(super) token: String,
    pub(super) started: HistoryEvent,
    /// None if they are to be read again.
    pub(super) events: Option<Vec<RawEvent>>,
    pub(super) event_count: u32,
    /// The last inbox row that it takes.
    pub(super) last: i64,
    /// The length of the history that it was sent with.
    pub(super) past_count: u32,
    pub(super) past_bytes: usize,
}

/// What is known of an activity that is out, or whose result has come.
#[derive(Clone)]
pub(super) struct ActivityLease {
    pub(super) key: Key,
    pub(super) execution_id: Option<String>,
    pub(super) instance_id: String,
    pub(super) task_id: i32,
    pub(super) router: Option<TaskRouter>,
    pub(super) task_execution_id: String,
}

/// What workers have in hand, as far as it takes to understand their answers.
#[derive(Default)]
pub(super) struct Leases {
    pub(super) turns: HashMap<Key, TurnLease>,
    pub(super) activities: HashMap<i64, ActivityLease>,
    /// Tokens of turns that others have by now, and who had them: an answer says that a worker is alive.
    pub(super) revoked: HashMap<String, StreamId>,
    /// What was taken out since the last commit.
    taken: Vec<Taken>,
}

enum Taken {
    Turn(Key, Box<TurnLease>),
    Activity(i64, ActivityLease),
}

impl Leases {
    /// Takes the instance's lease if the token is the one that it was handed out with.
    pub(super) fn take_turn(&mut self, key: Key, token: &str) -> Option<TurnLease> {
        let fits = self.turns.get(&key).is_some_and(|lease| lease.token == token);
        if fits { self.drop_turn(key) } else { None }
    }

    /// Takes the instance's lease, whoever has it.
    pub(super) fn drop_turn(&mut self, key: Key) -> Option<TurnLease> {
        let lease = self.turns.remove(&key)?;
        self.taken.push(Taken::Turn(key, Box::new(lease.clone())));
        Some(lease)
    }

    pub(super) fn take_activity(&mut self, sequence: i64) -> Option<ActivityLease> {
        let lease = self.activities.remove(&sequence)?;
        self.taken.push(Taken::Activity(sequence, lease.clone()));
        Some(lease)
    }

    /// What became of what was taken is stored.
    pub(super) fn settle(&mut self) {
        self.taken.clear();
    }

    /// It could not be stored: its workers may answer again.
    pub(super) fn undo(&mut self) {
        for taken in std::mem::take(&mut self.taken).into_iter().rev() {
            match taken {
                Taken::Turn(key, lease) => drop(self.turns.insert(key, *lease)),
                Taken::Activity(sequence, lease) => drop(self.activities.insert(sequence, lease)),
            }
        }
    }
}

/// Activities that wait, as far as memory goes.
#[derive(Default)]
pub(super) struct Waiting {
    rows: HashMap<i64, ActivityRow>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn keep(&mut self, sequence: i64, row: ActivityRow) {
        if self.bytes + row.event.len() <= KEPT_ACTIVITIES {
            self.bytes += row.event.len();
            self.rows.insert(sequence, row);
        }
    }

    pub(super) fn take(&mut self, sequence: i64) -> Option<ActivityRow> {
        let row = self.rows.remove(&sequence)?;
        self.bytes -= row.event.len();
        Some(row)
    }
}

/// What a worker needs to have for the instance's next turn.
pub(super) fn need_of(row: &InstanceRow) -> Need {
    Need::of(&row.instance.start.name, row.pinned.as_deref())
}

impl Hub {
    /// Hands out all that workers have room for.
    pub(super) fn pump(&mut self) {
        loop {
            let sent = self.dispatch_turn().and_then(|turn| Ok(self.dispatch_activity()? || turn));
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
        for need in self.scheduler.news() {
            let Need { name, version, .. } = &*need;
            let version = version.as_deref().unwrap_or_default();
            if self.missed.insert(name.clone()) {
                tracing::warn!(name = ?name, version = ?version, "work waits for a worker that has it; none that is connected does");
            }
        }
    }

    fn dispatch_turn(&mut self) -> Result<bool> {
        let now = self.clock.elapsed();
        let outlets = &self.outlets;
        let mut found = self.scheduler.next_turn(now, |id| outlets.has_room(id));
        if found.is_none() && self.scheduler.waiting().0 > 0 {
            outlets.ask_to_be_told();
            found = self.scheduler.next_turn(now, |id| outlets.has_room(id));
        }
        let Some((key, need, stream)) = found else {
            return Ok(false);
        };
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(true);
        };
        let execution_id = live.row.instance.execution_id().map(str::to_owned);
        let (events, last) = self.store.waiting(key, execution_id.as_deref(), MAX_EVENTS_PER_TURN)?;
        if events.is_empty() || live.row.instance.is_finished() {
            return Ok(true);
        }
        let instance_id = live.row.instance.id.clone();
        let (past_count, shown) = (live.count, live.row.shown);
        let propagated = self.shown_to(Holder::Instance(key), shown)?;
        let Some(frames) = self.cache.history(&self.store, key)? else {
            return Ok(true);
        };
        let started = events::orchestrator_started(time::to_timestamp(self.clock.now()));
        let started_bytes = started.encode_to_vec();
        let mut new_events: Vec<&[u8]> = vec![&started_bytes];
        new_events.extend(events.iter().map(|event| event.bytes.as_ref()));
        let token = Uuid::new_v4().to_string();
        let past_bytes = frames.len();
        let (offset, cached_events) = match self.scheduler.warm(stream, key, execution_id.as_deref()) {
            Some(warm) => (warm.bytes, i32::try_from(warm.count).ok()),
            None => (0, None),
        };
        let item = encode_turn(TurnParts {
            instance_id: &instance_id,
            execution_id: execution_id.as_deref(),
            cached_events,
            past: frames.starting_at(if cached_events.is_some() { offset } else { 0 }),
            new_events: &new_events,
            propagated,
            completion_token: &token,
        });
        let bytes = item.len();
        if !self.outlets.send(stream, item) {
            self.scheduler.turn_not_sent(key, &need);
            self.disconnect(stream);
            return Ok(true);
        }
        let event_count = u32::try_from(events.len()).unwrap_or(MAX_EVENTS_PER_TURN);
        let size: usize = events.iter().map(|event| event.bytes.len()).sum();
        let events = (size <= KEPT_EVENTS).then_some(events);
        let lease = TurnLease { token, started, events, event_count, last, past_count, past_bytes };
        let more = event_count >= MAX_EVENTS_PER_TURN;
        if let Some(before) = self.leases.turns.insert(key, lease)
            && let Some(worker) = self.scheduler.holder_of(key)
        {
            tracing::warn!(?instance_id, stream = worker, "a turn was not answered in time and is handed out again");
            self.leases.revoked.insert(before.token, worker);
        }
        self.scheduler.turn_sent(key, need, stream, bytes, now, more);
        self.cache.settle(key);
        Ok(true)
    }

    fn dispatch_activity(&mut self) -> Result<bool> {
        let outlets = &self.outlets;
        let mut found = self.scheduler.next_activity(|id| outlets.has_room(id));
        if found.is_none() && self.scheduler.waiting().1 > 0 {
            outlets.ask_to_be_told();
            found = self.scheduler.next_activity(|id| outlets.has_room(id));
        }
        let Some((sequence, need, stream)) = found else {
            return Ok(false);
        };
        let row = match self.waiting.take(sequence) {
            Some(row) => row,
            None => match self.store.activity(sequence)? {
                Some(row) => row,
                None => return Ok(true),
            },
        };
        let Some((lease, task)) = self.read_activity(sequence, &row)? else {
            return Ok(true);
        };
        let request = ActivityRequest {
            name: task.name,
            version: task.version,
            input: task.input,
            orchestration_instance: Some(OrchestrationInstance {
                instance_id: lease.instance_id.clone(),
                execution_id: None,
            }),
            task_id: lease.task_id,
            parent_trace_context: task.parent_trace_context,
            task_execution_id: task.task_execution_id,
            propagated_history: None,
        };
        let propagated = self.shown_to(Holder::Activity(sequence), row.shown)?;
        let item = encode_activity(&request, propagated, &self.activity_token(sequence));
        let bytes = item.len();
        if !self.outlets.send(stream, item) {
            self.waiting.keep(sequence, row);
            self.scheduler.activity_not_sent(sequence, &need);
            self.disconnect(stream);
            return Ok(true);
        }
        self.scheduler.activity_sent(sequence, need, stream, bytes);
        self.leases.activities.insert(sequence, lease);
        Ok(true)
    }

    /// What an activity's row says; None if the instance is no more, or the row is damaged.
    pub(super) fn read_activity(
        &mut self,
        sequence: i64,
        row: &ActivityRow,
    ) -> Result<Option<(ActivityLease, TaskScheduledEvent)>> {
        let key = row.key;
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(None);
        };
        let instance_id = live.row.instance.id.clone();
        let Some((event, task)) = read_task(&row.event) else {
            tracing::error!(?instance_id, sequence, "an activity in the database is damaged and is passed over");
            return Ok(None);
        };
        let lease = ActivityLease {
            key,
            execution_id: row.execution_id.clone(),
            instance_id,
            task_id: event.event_id,
            router: event.router,
            task_execution_id: task.task_execution_id.clone(),
        };
        Ok(Some((lease, task)))
    }

    /// What an answer to an activity is recognized by, for as long as the activity has none: through whichever stream it
    /// comes, and whichever process of the sidecar it had been handed out by.
    pub(super) fn activity_token(&self, sequence: i64) -> String {
        format!("{:016x}-{sequence:016x}", self.store.salt())
    }

    /// The activity that a token names; it may have had its answer.
    pub(super) fn read_activity_token(&self, token: &str) -> Option<i64> {
        let (salt, sequence) = token.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok().map(u64::cast_signed);
        (number(salt)? == self.store.salt()).then(|| number(sequence))?
    }
}

fn read_task(bytes: &Bytes) -> Option<(HistoryEvent, TaskScheduledEvent)> {
    let mut event = HistoryEvent::decode(bytes.clone()).ok()?;
    match event.event_type.take() {
        Some(EventType::TaskScheduled(task)) => Some((event, task)),
        _ => None,
    }
}
