//! Who works on what: what waits, which workers are connected, what they have in hand and for how long.
//!
//! Pure: it is told what has happened and what time it is, and says what to hand to whom. It knows instances and
//! activities by number and by what they need, reads nothing and sends nothing. One scheduler serves one app.

mod lines;
mod needs;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use needs::{Names, Need, Offer};

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::limits::Limits;
use crate::store::Key;
use crate::time::Nanos;
use lines::Lines;
use worker::Worker;
pub(super) use worker::nanos;

pub(crate) type StreamId = u64;

/// By how many turns the worker that holds an instance may be busier than the idlest and still be given its next turn; to
/// that comes twice of what the idlest has.
const AFFINITY_SLACK: usize = 4;

/// How much of an execution's history a worker holds.
/// Needs, and how much work has each of them.
pub(super) type Counted<N> = Vec<(N, usize)>;

#[derive(Debug, PartialEq)]
pub(super) struct Warm {
    pub(super) execution_id: Option<String>,
    pub(super) count: u32,
    pub(super) bytes: usize,
}

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

    pub(super) fn has_workers(&self) -> bool {
        !self.workers.is_empty()
    }

    /// Whether a worker is connected that has what a turn needs.
    pub(super) fn serves_turn(&self, need: &Need) -> bool {
        serves_turn(&self.workers, need)
    }

    // Workers come and go.

    pub(super) fn connect(&mut self, id: StreamId, offer: Offer, now: Nanos) {
        self.workers.insert(id, Worker::new(offer, &self.limits));
        self.ask_again();
        // Workers that keep what they can not do are not waited for when somebody comes who may be able to.
        let stuck: Vec<Key> = self
            .turns_out
            .iter()
            .filter(|(_, out)| {
                self.workers
                    .get(&out.stream)
                    .is_some_and(|worker| worker.keeps_what_it_can_not_do() && worker.is_behind(now, &self.limits))
            })
            .filter(|(_, out)| {
                self.in_time.get(&out.serial).is_some_and(|(sent, _)| now - sent >= nanos(self.limits.behind_after))
            })
            .map(|(key, _)| *key)
            .collect();
        for key in stuck {
            self.overdue(key);
        }
    }

    /// A worker has gone; what it had in hand waits again, in front of all else.
    pub(super) fn disconnect(&mut self, id: StreamId) -> Option<TakenBack> {
        self.workers.remove(&id)?;
        let mut turns: Vec<(u64, Key, Arc<Need>)> = self
            .turns_out
            .extract_if(|_, out| out.stream == id)
            .map(|(key, out)| (out.serial, key, out.need))
            .collect();
        turns.sort_unstable_by_key(|(serial, ..)| *serial);
        for (serial, key, need) in turns.iter().rev() {
            self.in_time.remove(serial);
            self.turns.push_front(need, *key, |need| serves_turn(&self.workers, need));
        }
        let mut activities: Vec<(i64, Arc<Need>)> = self
            .activities_out
            .extract_if(|_, out| out.stream == id)
            .map(|(sequence, out)| (sequence, out.need))
            .collect();
        activities.sort_unstable_by_key(|(sequence, _)| *sequence);
        for (sequence, need) in activities.iter().rev() {
            self.activities.push_front(need, *sequence, |need| serves_activity(&self.workers, need));
        }
        self.ask_again();
        Some(TakenBack {
            turns: turns.into_iter().map(|(_, key, _)| key).collect(),
            activities: activities.into_iter().map(|(sequence, _)| sequence).collect(),
        })
    }

    fn ask_again(&mut self) {
        let lost_turns = self.turns.ask_again(|need| serves_turn(&self.workers, need));
        let lost_activities = self.activities.ask_again(|need| serves_activity(&self.workers, need));
        self.news.extend(lost_turns.into_iter().chain(lost_activities));
    }

    /// What has begun to wait for a worker that has it, while others are connected, since this was asked last.
    pub(super) fn news(&mut self) -> Vec<Arc<Need>> {
        let news = std::mem::take(&mut self.news);
        // What the workers that have it have declined is no news: they have said so.
        let connected = self.has_workers();
        news.into_iter().filter(|need| connected && need.not_by.is_empty()).collect()
    }

    /// What waits for a worker that has it: turns, then activities, and how many of each.
    pub(super) fn unserved(&self) -> (Counted<&Need>, Counted<&Need>) {
        (self.turns.unserved().collect(), self.activities.unserved().collect())
    }

    // Turns.

    /// The instance has something to do. While it is out, that is noted for when it is back.
    pub(super) fn turn_is_due(&mut self, key: Key, mut need: Need) {
        if let Some(out) = self.turns_out.get_mut(&key) {
            out.more = true;
            return;
        }
        if !self.tried.is_empty()
            && let Some(tried) = self.tried.get(&key)
        {
            need.not_by.clone_from(tried);
        }
        let opened = self.turns.push(need, key, |need| serves_turn(&self.workers, need));
        self.news.extend(opened);
    }

    /// The next turn to hand out and to whom; `room` says whether a stream takes something right now.
    pub(super) fn next_turn(
        &mut self,
        now: Nanos,
        room: impl Fn(StreamId) -> bool,
    ) -> Option<(Key, Arc<Need>, StreamId)> {
        if self.turns.is_empty() {
            return None;
        }
        let open: Vec<(StreamId, bool)> = self
            .workers
            .iter()
            .filter(|(id, worker)| worker.has_room_for_turn(&self.limits) && room(**id))
            .map(|(id, worker)| (*id, worker.is_behind(now, &self.limits)))
            .collect();
        if open.is_empty() {
            return None;
        }
        let (need, stream) =
            self.turns.heads().find_map(|(key, need)| Some((Arc::clone(need), self.choose(key, need, now, &open)?)))?;
        let key = self.turns.take(&need)?;
        Some((key, need, stream))
    }

    /// The worker to send a turn to: one that holds the instance, unless it is much busier than the others; else the
    /// idlest. One that is behind only gets it if there is no other.
    fn choose(&self, key: Key, need: &Need, now: Nanos, open: &[(StreamId, bool)]) -> Option<StreamId> {
        let mut idlest: Option<(usize, StreamId)> = None;
        let mut holder: Option<(usize, StreamId)> = None;
        let mut last: Option<(usize, StreamId)> = None;
        for (id, behind) in open {
            let Some(worker) = self.workers.get(id).filter(|worker| worker.takes_turn(*id, need)) else {
                continue;
            };
            let found = Some((worker.load(), *id));
            let best = if *behind { &mut last } else { &mut idlest };
            if best.is_none_or(|(load, _)| worker.load() < load) {
                *best = found;
            }
            if !behind && worker.holds(key) {
                holder = found;
            }
        }
        let Some((load, idlest)) = idlest else {
            // Better that it waits for one that is merely busy than that it goes to one that answers nobody.
            let hope = self
                .workers
                .iter()
                .any(|(id, worker)| worker.takes_turn(*id, need) && !worker.is_behind(now, &self.limits));
            return last.filter(|_| !hope).map(|(_, id)| id);
        };
        match holder {
            Some((holders, id)) if holders <= 2 * load + AFFINITY_SLACK => Some(id),
            _ => Some(idlest),
        }
    }

    /// A turn has gone out to a worker. If another had it, that one has had its time.
    pub(super) fn turn_sent(
        &mut self,
        key: Key,
        need: Arc<Need>,
        stream: StreamId,
        bytes: usize,
        now: Nanos,
        more: bool,
    ) {
        self.next_serial += 1;
        let serial = self.next_serial;
        let out = TurnOut { stream, serial, bytes, need, more };
        if let Some(before) = self.turns_out.insert(key, out) {
            self.in_time.remove(&before.serial);
            if let Some(worker) = self.workers.get_mut(&before.stream) {
                if before.stream == stream {
                    worker.release(before.serial, before.bytes);
                } else {
                    worker.lose(before.serial, before.bytes);
                }
            }
        }
        self.in_time.insert(serial, (now, key));
        if let Some(worker) = self.workers.get_mut(&stream) {
            worker.send(serial, now, bytes);
        }
    }

    /// Who has the instance's turn in hand.
    pub(super) fn holder_of(&self, key: Key) -> Option<StreamId> {
        self.turns_out.get(&key).map(|out| out.stream)
    }

    /// A turn could not be sent after all.
    pub(super) fn turn_not_sent(&mut self, key: Key, need: &Arc<Need>) {
        self.turns.push_front(need, key, |need| serves_turn(&self.workers, need));
    }

    /// The turn is back. Returns the worker, and whether there is more for the instance to do.
    pub(super) fn turn_answered(&mut self, key: Key) -> Option<(StreamId, bool)> {
        let (stream, more) = self.turn_returned(key)?;
        self.tried.remove(&key);
        Some((stream, more))
    }

    /// The turn is back undone: its worker does not have what it takes, another may.
    pub(super) fn turn_declined(&mut self, key: Key) {
        if let Some((stream, _)) = self.turn_returned(key) {
            self.tried.entry(key).or_default().push(stream);
        }
    }

    fn turn_returned(&mut self, key: Key) -> Option<(StreamId, bool)> {
        let out = self.turns_out.remove(&key)?;
        let sent = self.in_time.remove(&out.serial).map(|(sent, _)| sent);
        // It may stand in line for another worker already.
        self.turns.remove(&self.asked_again(key, &out.need), key);
        if let Some(worker) = self.workers.get_mut(&out.stream) {
            worker.answer(out.serial, out.bytes, &self.limits);
        }
        let (stream, more) = (out.stream, out.more);
        self.returned.push(Returned::Turn(key, out, sent));
        Some((stream, more))
    }

    /// A worker answered a turn that others have now: it is alive.
    pub(super) fn answered_too_late(&mut self, stream: StreamId) {
        if let Some(worker) = self.workers.get_mut(&stream) {
            worker.answers(&self.limits);
        }
    }

    /// Any worker may be asked again.
    pub(super) fn forgive(&mut self, key: Key, need: &Need) {
        if let Some(tried) = self.tried.remove(&key) {
            let declined = Need { not_by: tried, ..need.clone() };
            self.turns.remove(&declined, key);
        }
    }

    /// The instance has no turn any more.
    pub(super) fn forget_turn(&mut self, key: Key) {
        self.tried.remove(&key);
        if let Some(out) = self.turns_out.remove(&key) {
            let sent = self.in_time.remove(&out.serial).map(|(sent, _)| sent);
            self.turns.remove(&out.need, key);
            if let Some(worker) = self.workers.get_mut(&out.stream) {
                worker.release(out.serial, out.bytes);
            }
            self.returned.push(Returned::Turn(key, out, sent));
        }
    }

    /// Lets others have the turns that were out for too long.
    pub(super) fn expire(&mut self, now: Nanos) -> usize {
        let lease = nanos(self.limits.turn_lease);
        let mut count = 0;
        while let Some((_, (sent, key))) = self.in_time.first_key_value()
            && now - sent >= lease
        {
            let key = *key;
            self.overdue(key);
            count += 1;
        }
        while let Some((until, sequence)) = self.refused.front().copied()
            && until <= now
        {
            self.refused.pop_front();
            if let Some(out) = self.activities_out.remove(&sequence) {
                self.take_from_worker(&out);
                self.activities.push_front(&out.need, sequence, |need| serves_activity(&self.workers, need));
            }
        }
        count
    }

    /// When the next turn will have been out for too long.
    pub(super) fn next_expiry(&self) -> Option<Nanos> {
        let turn =
            self.in_time.first_key_value().map(|(_, (sent, _))| sent.saturating_add(nanos(self.limits.turn_lease)));
        turn.into_iter().chain(self.refused.front().map(|(until, _)| *until)).min()
    }

    /// The turn is for whoever can take it; until then its worker may still answer.
    fn overdue(&mut self, key: Key) {
        let Some(out) = self.turns_out.get(&key) else {
            return;
        };
        self.in_time.remove(&out.serial);
        self.tried.entry(key).or_default().push(out.stream);
        let mut again = self.asked_again(key, &out.need);
        if !serves_turn(&self.workers, &again) {
            // All have had it: from the start.
            self.tried.remove(&key);
            again = Arc::new(Need { not_by: Vec::new(), ..(*again).clone() });
        }
        self.turns.push_front(&again, key, |need| serves_turn(&self.workers, need));
    }

    fn asked_again(&self, key: Key, need: &Arc<Need>) -> Arc<Need> {
        match self.tried.get(&key) {
            Some(tried) => Arc::new(Need { not_by: tried.clone(), ..(**need).clone() }),
            None => Arc::clone(need),
        }
    }

    // Histories that workers hold.

    /// How much of this execution's history the worker holds.
    pub(super) fn warm(&mut self, stream: StreamId, key: Key, execution_id: Option<&str>) -> Option<&Warm> {
        let warm = self.workers.get_mut(&stream)?.warm(key)?;
        (warm.execution_id.as_deref() == execution_id && warm.count > 0).then_some(warm)
    }

    /// The worker answered a turn, so it holds the history that the turn was sent with; or it has no more use for it.
    pub(super) fn remember(&mut self, stream: StreamId, key: Key, warm: Option<Warm>) {
        if let Some(worker) = self.workers.get_mut(&stream) {
            match warm {
                Some(warm) => worker.remember(key, warm),
                None => worker.forget(key),
            }
        }
    }

    // Activities. Nobody knows how long one takes, so they are their worker's as long as it is connected.

    pub(super) fn activity_is_due(&mut self, sequence: i64, need: Need) {
        let opened = self.activities.push(need, sequence, |need| serves_activity(&self.workers, need));
        self.news.extend(opened);
    }

    pub(super) fn next_activity(&mut self, room: impl Fn(StreamId) -> bool) -> Option<(i64, Arc<Need>, StreamId)> {
        if self.activities.is_empty() {
            return None;
        }
        let open: Vec<(StreamId, &Worker)> = self
            .workers
            .iter()
            .filter(|(id, worker)| worker.has_room_for_activity(&self.limits) && room(**id))
            .map(|(id, worker)| (*id, worker))
            .collect();
        let idlest = |need: &Need| {
            let able = open.iter().filter(|(id, worker)| worker.takes_activity(*id, need));
            able.min_by_key(|(_, worker)| worker.load()).map(|(id, _)| *id)
        };
        if open.is_empty() {
            return None;
        }
        let (need, stream) = self.activities.heads().find_map(|(_, need)| Some((Arc::clone(need), idlest(need)?)))?;
        let sequence = self.activities.take(&need)?;
        Some((sequence, need, stream))
    }

    pub(super) fn activity_sent(&mut self, sequence: i64, need: Arc<Need>, stream: StreamId, bytes: usize) {
        if let Some(worker) = self.workers.get_mut(&stream) {
            worker.activities += 1;
            worker.bytes += bytes;
        }
        self.next_serial += 1;
        let serial = self.next_serial;
        self.activities_out.insert(sequence, ActivityOut { stream, serial, bytes, need });
    }

    pub(super) fn activity_not_sent(&mut self, sequence: i64, need: &Arc<Need>) {
        self.activities.push_front(need, sequence, |need| serves_activity(&self.workers, need));
    }

    pub(super) fn is_out(&self, sequence: i64) -> bool {
        self.activities_out.contains_key(&sequence)
    }

    /// The activity has a result, or nobody needs one any more; who has it in hand, if anybody, has one less.
    pub(super) fn activity_over(&mut self, sequence: i64) {
        if let Some(out) = self.activities_out.remove(&sequence) {
            self.take_from_worker(&out);
            self.returned.push(Returned::Activity(sequence, out));
        }
    }

    fn take_from_worker(&mut self, out: &ActivityOut) {
        if let Some(worker) = self.workers.get_mut(&out.stream) {
            worker.activities = worker.activities.saturating_sub(1);
            worker.bytes = worker.bytes.saturating_sub(out.bytes);
        }
    }
}

fn serves_turn(workers: &BTreeMap<StreamId, Worker>, need: &Need) -> bool {
    workers.iter().any(|(id, worker)| worker.takes_turn(*id, need))
}

fn serves_activity(workers: &BTreeMap<StreamId, Worker>, need: &Need) -> bool {
    workers.iter().any(|(id, worker)| worker.takes_activity(*id, need))
}
