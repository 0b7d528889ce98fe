//! Who works on what: what waits, which workers are connected, what they have in hand and for how long.
//!
//! Pure: it is told what has happened and what time it is, and says what to hand to whom. It knows instances and
//! activities by number and by what they need, reads nothing and sends nothing. One scheduler serves one app.

mod activities;
mod connections;
mod deadlines;
mod lines;
mod needs;
#[cfg(test)]
mod tests;
mod turns;
mod worker;

pub(crate) use needs::{Names, Need, Offer, StreamId};
pub(super) use worker::{Warm, nanos};

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use crate::store::Key;
use crate::time::Nanos;
use lines::Lines;
use worker::Worker;

/// By how many turns the worker that holds an instance may be busier than the idlest and still be given its next turn; to
/// that comes twice of what the idlest has.
const AFFINITY_SLACK: usize = 4;

/// Needs, and how much work has each of them.
pub(super) type Counted<N> = Vec<(N, usize)>;

/// A turn in a worker's hands.
struct TurnOut {
    stream: StreamId,
    serial: u64,
    bytes: usize,
    need: Arc<Need>,
    /// Events arrived after it was sent.
    more: bool,
}

/// An activity in a worker's hands.
struct ActivityOut {
    stream: StreamId,
    serial: u64,
    bytes: usize,
    need: Arc<Need>,
}

/// Something that came back from a worker and is not committed yet.
enum Returned {
    /// With when it was sent, if it was in time.
    Turn(Key, TurnOut, Option<Nanos>),
    Activity(i64, ActivityOut),
}

/// How long a worker whose answer could not be stored has to give it again, before its activity is given to another.
const SECOND_TRY: Duration = Duration::from_secs(60);

/// What a worker that is gone had in hand.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TakenBack {
    pub(super) turns: Vec<Key>,
    pub(super) activities: Vec<i64>,
}

pub(super) struct Scheduler {
    limits: Limits,
    workers: BTreeMap<StreamId, Worker>,
    turns: Lines<Key>,
    activities: Lines<i64>,
    turns_out: HashMap<Key, TurnOut>,
    /// Turns that are out and in time, oldest first, and when they were sent.
    in_time: BTreeMap<u64, (Nanos, Key)>,
    activities_out: HashMap<i64, ActivityOut>,
    /// Workers that could not do an instance's turn, or did not in time; forgotten when another does.
    tried: HashMap<Key, Vec<StreamId>>,
    /// Needs that nobody serves, not told of yet.
    news: Vec<Arc<Need>>,
    next_serial: u64,
    /// What came back since the last commit.
    returned: Vec<Returned>,
    /// Activities whose answers could not be stored, and until when they are waited for.
    refused: VecDeque<(Nanos, i64)>,
}

impl Scheduler {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            workers: BTreeMap::new(),
            turns: Lines::default(),
            activities: Lines::default(),
            turns_out: HashMap::new(),
            in_time: BTreeMap::new(),
            activities_out: HashMap::new(),
            tried: HashMap::new(),
            news: Vec::new(),
            next_serial: 0,
            returned: Vec::new(),
            refused: VecDeque::new(),
        }
    }

    /// What has come back from workers is stored.
    pub(super) fn settle(&mut self) {
        self.returned.clear();
    }

    /// What has come back since the last commit could not be stored: its workers still have it, and may try again. What
    /// waits is forgotten, and is to be told anew.
    pub(super) fn undo(&mut self, now: Nanos) {
        for returned in std::mem::take(&mut self.returned).into_iter().rev() {
            match returned {
                Returned::Turn(key, out, sent) => {
                    if let Some(worker) = self.workers.get_mut(&out.stream) {
                        worker.send(out.serial, sent.unwrap_or(now), out.bytes);
                    }
                    if let Some(sent) = sent {
                        self.in_time.insert(out.serial, (sent, key));
                    }
                    self.turns_out.insert(key, out);
                }
                Returned::Activity(sequence, out) => {
                    if let Some(worker) = self.workers.get_mut(&out.stream) {
                        worker.activities += 1;
                        worker.bytes += out.bytes;
                    }
                    self.activities_out.insert(sequence, out);
                    self.refused.push_back((now.saturating_add(nanos(SECOND_TRY)), sequence));
                }
            }
        }
        self.turns = Lines::default();
        self.activities = Lines::default();
        let overdue: Vec<(Key, Arc<Need>)> = self
            .turns_out
            .iter()
            .filter(|(_, out)| !self.in_time.contains_key(&out.serial))
            .map(|(key, out)| (*key, Arc::clone(&out.need)))
            .collect();
        for (key, need) in overdue {
            let need = self.asked_again(key, &need);
            self.turns.push_front(&need, key, |need| serves_turn(&self.workers, need));
        }
    }

    /// Nothing waits for a worker and nobody is at work.
    pub(super) fn is_idle(&self) -> bool {
        self.turns.is_empty()
            && self.activities.is_empty()
            && self.turns_out.is_empty()
            && self.activities_out.is_empty()
    }

    /// How much workers have in hand.
    pub(super) fn out(&self) -> usize {
        self.turns_out.len() + self.activities_out.len()
    }

    /// When, among all that went out, the instance's turn did.
    pub(super) fn turn_order(&self, key: Key) -> Option<u64> {
        self.turns_out.get(&key).map(|out| out.serial)
    }

    pub(super) fn activity_order(&self, sequence: i64) -> Option<u64> {
        self.activities_out.get(&sequence).map(|out| out.serial)
    }

    /// How many turns and activities wait for a worker.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.turns.len(), self.activities.len())
    }

    /// How many turns and activities workers have in hand.
    pub(super) fn in_hand(&self) -> usize {
        self.turns_out.len() + self.activities_out.len()
    }

    pub(super) fn in_hand_by_kind(&self) -> (usize, usize) {
        (self.turns_out.len(), self.activities_out.len())
    }

    /// When the turn was sent that is out for the longest time.
    pub(super) fn oldest_turn(&self) -> Option<Nanos> {
        self.in_time.first_key_value().map(|(_, (sent, _))| *sent)
    }

    /// When the instance's turn was sent, if its time is not up.
    pub(super) fn turn_sent_at(&self, key: Key) -> Option<Nanos> {
        let out = self.turns_out.get(&key)?;
        self.in_time.get(&out.serial).map(|(sent, _)| *sent)
    }

    pub(super) fn worker_count(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn has_workers(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Whether a worker is connected that has what a turn needs.
    pub(super) fn serves_turn(&self, need: &Need) -> bool {
        serves_turn(&self.workers, need)
    }
}

fn serves_turn(workers: &BTreeMap<StreamId, Worker>, need: &Need) -> bool {
    workers.iter().any(|(id, worker)| worker.takes_turn(*id, need))
}

fn serves_activity(workers: &BTreeMap<StreamId, Worker>, need: &Need) -> bool {
    workers.iter().any(|(id, worker)| worker.takes_activity(*id, need))
}
