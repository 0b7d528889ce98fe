//! Virtual time: it stands still while anybody is at work, and passes to what happens next when nobody is.
//!
//! Answers of workers are held until all that is out has been answered, and are then taken in the order in which the work
//! was handed out. So the same orchestrations have the same histories each time, however threads take turns.

use std::collections::BTreeMap;
use std::time::Duration;

use durabletask_proto::{ActivityResponse, OrchestratorResponse};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::scheduler::nanos;
use super::{Hub, HubError, Result};
use crate::store::StoreError;
use crate::time::Nanos;

/// How long time is held, in real time, after a client has asked for something: it may be about to ask for more, as to
/// raise an event before a timeout. It is not held any longer once a client waits for an instance.
const HELD_FOR_CLIENTS: Duration = Duration::from_secs(1);
/// How long answers are held, in real time, for those that are still out: one may be waiting for what others bring about.
const HELD_FOR_OTHERS: Duration = Duration::from_secs(1);

/// An answer that is held until all that is out has been answered.
enum Answer {
    Turn(Box<OrchestratorResponse>),
    Activity(Box<ActivityResponse>),
}

/// What only virtual time needs.
#[derive(Default)]
pub(super) struct Passing {
    /// By the order in which the work was handed out.
    held: BTreeMap<u64, Answer>,
    held_since: Nanos,
    /// Until when, in real time, clients may ask for more.
    clients_until: Nanos,
    /// To when time is to pass, and who wants to know.
    skip: Option<(Nanos, oneshot::Sender<Nanos>)>,
}

/// Where ids come from.
pub(super) enum Ids {
    Random,
    /// The same ones for the same seed.
    Seeded(u64),
}

impl Ids {
    pub(super) fn next(&mut self) -> Uuid {
        match self {
            Self::Random => Uuid::new_v4(),
            Self::Seeded(state) => {
                let (high, low) = (split_mix(state), split_mix(state));
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&high.to_be_bytes());
                bytes[8..].copy_from_slice(&low.to_be_bytes());
                uuid::Builder::from_random_bytes(bytes).into_uuid()
            }
        }
    }
}

/// `SplitMix64`, by Steele, Lea and Flood: a number from the state, and the state's next.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Hub {
    pub(crate) fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Lets virtual time pass until then, with all that happens on the way; `done` is told when it has.
    pub(crate) fn skip(&mut self, by: Duration, done: oneshot::Sender<Nanos>) {
        let until = self.clock.now().saturating_add(nanos(by));
        self.passing.skip = Some((until, done));
    }

    /// A client has asked for something; there may be more to come.
    pub(super) fn expect_more(&mut self) {
        if self.clock.is_virtual() {
            self.passing.clients_until = self.clock.elapsed().saturating_add(nanos(HELD_FOR_CLIENTS));
        }
    }

    /// Lets time pass to what happens next, if nothing is to be done before.
    pub(super) fn pass_time(&mut self) {
        let due = self.next_timer.is_some_and(|next| next <= self.clock.now()) || self.retention_is_due();
        if due || self.cascading || !self.scheduler.is_idle() {
            return;
        }
        if let Some((until, done)) = self.passing.skip.take_if(|(_, done)| !done.is_closed()) {
            // What is forgotten is forgotten on the way; but nobody lets time pass for that alone.
            let next = self.next_timer.into_iter().chain(self.retaining.next).min();
            if let Some(next) = next.filter(|next| *next <= until) {
                self.clock.advance_to(next);
                self.passing.skip = Some((until, done));
            } else {
                self.clock.advance_to(until);
                // Nobody listens when the caller has gone; the time has passed all the same.
                let _ = done.send(until);
            }
        } else if let Some(next) = self.next_timer
            && (self.waiters.somebody_waits() || self.clock.elapsed() >= self.passing.clients_until)
        {
            self.clock.advance_to(next);
        }
    }

    /// How long, in real time, virtual time stands still if nothing happens.
    pub(super) fn time_stands_still_for(&self) -> Option<Nanos> {
        if self.next_timer.is_some_and(|next| next <= self.clock.now()) {
            return Some(0);
        }
        let others = (!self.passing.held.is_empty()).then(|| {
            let out = self.scheduler.out();
            if self.passing.held.len() >= out { 0 } else { self.held_until() - self.clock.elapsed() }
        });
        let clients = (self.next_timer.is_some() && self.scheduler.is_idle())
            .then(|| self.passing.clients_until - self.clock.elapsed());
        others.into_iter().chain(clients).min().map(|wait| wait.max(0))
    }

    fn held_until(&self) -> Nanos {
        self.passing.held_since.saturating_add(nanos(HELD_FOR_OTHERS))
    }

    /// Takes a worker's answer to a turn: at once, or with those that are out at the same time.
    pub(crate) fn complete_turn(&mut self, response: OrchestratorResponse) -> Result<()> {
        if self.clock.is_virtual()
            && let Some(key) = self.store.find_key(&response.instance_id)?
            && self.leases.turns.get(&key).is_some_and(|lease| lease.token == response.completion_token)
            && let Some(order) = self.scheduler.turn_order(key)
        {
            self.hold(order, Answer::Turn(Box::new(response)));
            return Ok(());
        }
        self.take_turn(response)
    }

    /// Takes a worker's answer to an activity: at once, or with those that are out at the same time.
    pub(crate) fn complete_activity(&mut self, response: ActivityResponse) -> Result<()> {
        if self.clock.is_virtual()
            && let Some(sequence) = self.read_activity_token(&response.completion_token)
            && let Some(lease) = self.leases.activities.get(&sequence)
            && lease.instance_id == response.instance_id
            && lease.task_id == response.task_id
            && let Some(order) = self.scheduler.activity_order(sequence)
        {
            self.hold(order, Answer::Activity(Box::new(response)));
            return Ok(());
        }
        self.take_activity(response)
    }

    fn hold(&mut self, order: u64, answer: Answer) {
        if self.passing.held.is_empty() {
            self.passing.held_since = self.clock.elapsed();
        }
        self.passing.held.entry(order).or_insert(answer);
    }

    pub(super) fn held_answers_are_due(&self) -> bool {
        let held = self.passing.held.len();
        held > 0 && (held >= self.scheduler.out() || self.clock.elapsed() >= self.held_until())
    }

    pub(super) fn take_held_answers(&mut self) -> std::result::Result<(), StoreError> {
        if !self.held_answers_are_due() {
            return Ok(());
        }
        for answer in std::mem::take(&mut self.passing.held).into_values() {
            let taken = match answer {
                Answer::Turn(response) => self.take_turn(*response),
                Answer::Activity(response) => self.take_activity(*response),
            };
            match taken {
                Ok(()) => {}
                Err(HubError::Database(error)) => return Err(error),
                Err(error) => tracing::debug!(%error, "an answer came too late"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_ids_are_the_same_each_time_and_differ_from_each_other() {
        let draw = |seed| {
            let mut ids = Ids::Seeded(seed);
            [ids.next(), ids.next()]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7)[0], draw(7)[1]);
        assert_ne!(draw(7), draw(8));
        assert_eq!(draw(7)[0].get_version_num(), 4);
    }
}
