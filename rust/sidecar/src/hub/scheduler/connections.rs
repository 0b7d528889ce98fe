//! Workers come and go, and with them what waits is served or is not.

use std::sync::Arc;

use super::needs::{Need, Offer, StreamId};
use super::worker::{Worker, nanos};
use super::{Counted, Scheduler, TakenBack, serves_activity, serves_turn};
use crate::store::Key;
use crate::time::Nanos;

impl Scheduler {
    pub(in crate::hub) fn connect(&mut self, id: StreamId, offer: Offer, now: Nanos) {
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
    pub(in crate::hub) fn disconnect(&mut self, id: StreamId) -> Option<TakenBack> {
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
    pub(in crate::hub) fn news(&mut self) -> Vec<Arc<Need>> {
        let news = std::mem::take(&mut self.news);
        // What the workers that have it have declined is no news: they have said so.
        let connected = self.has_workers();
        news.into_iter().filter(|need| connected && need.not_by.is_empty()).collect()
    }

    /// What waits for a worker that has it: turns, then activities, and how many of each.
    pub(in crate::hub) fn unserved(&self) -> (Counted<&Need>, Counted<&Need>) {
        (self.turns.unserved().collect(), self.activities.unserved().collect())
    }
}
