//! What workers had for too long is for others.

use std::sync::Arc;

use super::needs::Need;
use super::worker::nanos;
use super::{Scheduler, serves_activity, serves_turn};
use crate::store::Key;
use crate::time::Nanos;

impl Scheduler {
    /// Lets others have the turns that were out for too long.
    pub(in crate::hub) fn expire(&mut self, now: Nanos) -> usize {
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
    pub(in crate::hub) fn next_expiry(&self) -> Option<Nanos> {
        let turn =
            self.in_time.first_key_value().map(|(_, (sent, _))| sent.saturating_add(nanos(self.limits.turn_lease)));
        turn.into_iter().chain(self.refused.front().map(|(until, _)| *until)).min()
    }

    /// The turn is for whoever can take it; until then its worker may still answer.
    pub(super) fn overdue(&mut self, key: Key) {
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
}
