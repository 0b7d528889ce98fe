//! Activities. Nobody knows how long one takes, so they are their worker's as long as it is connected.

use std::sync::Arc;

use super::needs::Need;
use super::worker::Worker;
use super::{ActivityOut, Returned, Scheduler, StreamId, serves_activity};

impl Scheduler {
    pub(in crate::hub) fn activity_is_due(&mut self, sequence: i64, need: Need) {
        let opened = self.activities.push(need, sequence, |need| serves_activity(&self.workers, need));
        self.news.extend(opened);
    }

    pub(in crate::hub) fn next_activity(
        &mut self,
        room: impl Fn(StreamId) -> bool,
    ) -> Option<(i64, Arc<Need>, StreamId)> {
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

    pub(in crate::hub) fn activity_sent(&mut self, sequence: i64, need: Arc<Need>, stream: StreamId, bytes: usize) {
        if let Some(worker) = self.workers.get_mut(&stream) {
            worker.activities += 1;
            worker.bytes += bytes;
        }
        self.next_serial += 1;
        let serial = self.next_serial;
        self.activities_out.insert(sequence, ActivityOut { stream, serial, bytes, need });
    }

    pub(in crate::hub) fn activity_not_sent(&mut self, sequence: i64, need: &Arc<Need>) {
        self.activities.push_front(need, sequence, |need| serves_activity(&self.workers, need));
    }

    pub(in crate::hub) fn is_out(&self, sequence: i64) -> bool {
        self.activities_out.contains_key(&sequence)
    }

    /// The activity has a result, or nobody needs one any more; who has it in hand, if anybody, has one less.
    pub(in crate::hub) fn activity_over(&mut self, sequence: i64) {
        if let Some(out) = self.activities_out.remove(&sequence) {
            self.take_from_worker(&out);
            self.returned.push(Returned::Activity(sequence, out));
        }
    }

    pub(super) fn take_from_worker(&mut self, out: &ActivityOut) {
        if let Some(worker) = self.workers.get_mut(&out.stream) {
            worker.activities = worker.activities.saturating_sub(1);
            worker.bytes = worker.bytes.saturating_sub(out.bytes);
        }
    }
}
