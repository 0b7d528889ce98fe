//! Turns: whose is the next one, who has which in hand, and what workers hold of histories.

use std::sync::Arc;

use super::needs::Need;
use super::{AFFINITY_SLACK, Returned, Scheduler, StreamId, TurnOut, Warm, serves_turn};
use crate::store::Key;
use crate::time::Nanos;

impl Scheduler {
    /// The instance has something to do. While it is out, that is noted for when it is back.
    pub(in crate::hub) fn turn_is_due(&mut self, key: Key, mut need: Need) {
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
    pub(in crate::hub) fn next_turn(
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
    pub(in crate::hub) fn turn_sent(
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
    pub(in crate::hub) fn holder_of(&self, key: Key) -> Option<StreamId> {
        self.turns_out.get(&key).map(|out| out.stream)
    }

    /// A turn could not be sent after all.
    pub(in crate::hub) fn turn_not_sent(&mut self, key: Key, need: &Arc<Need>) {
        self.turns.push_front(need, key, |need| serves_turn(&self.workers, need));
    }

    /// The turn is back. Returns the worker, and whether there is more for the instance to do.
    pub(in crate::hub) fn turn_answered(&mut self, key: Key) -> Option<(StreamId, bool)> {
        let (stream, more) = self.turn_returned(key)?;
        self.tried.remove(&key);
        Some((stream, more))
    }

    /// The turn is back undone: its worker does not have what it takes, another may.
    pub(in crate::hub) fn turn_declined(&mut self, key: Key) {
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
    pub(in crate::hub) fn answered_too_late(&mut self, stream: StreamId) {
        if let Some(worker) = self.workers.get_mut(&stream) {
            worker.answers(&self.limits);
        }
    }

    /// Any worker may be asked again.
    pub(in crate::hub) fn forgive(&mut self, key: Key, need: &Need) {
        if let Some(tried) = self.tried.remove(&key) {
            let declined = Need { not_by: tried, ..need.clone() };
            self.turns.remove(&declined, key);
        }
    }

    /// The instance has no turn any more.
    pub(in crate::hub) fn forget_turn(&mut self, key: Key) {
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

    pub(super) fn asked_again(&self, key: Key, need: &Arc<Need>) -> Arc<Need> {
        match self.tried.get(&key) {
            Some(tried) => Arc::new(Need { not_by: tried.clone(), ..(**need).clone() }),
            None => Arc::clone(need),
        }
    }

    // Histories that workers hold.

    /// How much of this execution's history the worker holds.
    pub(in crate::hub) fn warm(&mut self, stream: StreamId, key: Key, execution_id: Option<&str>) -> Option<&Warm> {
        let warm = self.workers.get_mut(&stream)?.warm(key)?;
        (warm.execution_id.as_deref() == execution_id && warm.count > 0).then_some(warm)
    }

    /// The worker answered a turn, so it holds the history that the turn was sent with; or it has no more use for it.
    pub(in crate::hub) fn remember(&mut self, stream: StreamId, key: Key, warm: Option<Warm>) {
        if let Some(worker) = self.workers.get_mut(&stream) {
            match warm {
                Some(warm) => worker.remember(key, warm),
                None => worker.forget(key),
            }
        }
    }
}
