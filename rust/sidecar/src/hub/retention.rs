//! Forgetting by itself what has ended long enough ago: a few instances at a time, in transactions of their own, with
//! what clients and workers ask for in between.

use std::time::{Duration, Instant};

use durabletask_proto::OrchestrationStatus;

use super::scheduler::nanos;
use super::{Hub, HubError};
use crate::retention::Retention;
use crate::store::StoreError;
use crate::time::Nanos;

/// How many instances are forgotten in one transaction at most, and for how long that may hold others up.
const STEP: u32 = 200;
const STEP_TIME: Duration = Duration::from_millis(10);
/// How long those wait for each other that end one by one: each transaction is a flush of the disk.
const GATHER: Duration = Duration::from_secs(1);
/// The pause after a failure.
const FAILURE_PAUSE: Duration = Duration::from_secs(60);

/// What is to be forgotten, and when there is something to forget next.
#[derive(Default)]
pub(super) struct Retaining {
    rules: Vec<(OrchestrationStatus, Nanos)>,
    pub(super) next: Option<Nanos>,
    /// Not before then, whatever there is.
    pause: Option<Instant>,
}

impl Retaining {
    pub(super) fn new(retention: &Retention) -> Self {
        let rules = retention.rules().iter().map(|(status, time)| (*status, nanos(*time))).collect();
        Self { rules, next: None, pause: None }
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.rules.is_empty()
    }

    /// An instance has ended.
    pub(super) fn note_end(&mut self, status: OrchestrationStatus, now: Nanos) {
        if let Some((_, time)) = self.rules.iter().find(|(known, _)| *known == status) {
            let due = now.saturating_add(*time);
            self.next = Some(self.next.map_or(due, |next| next.min(due)));
        }
    }
}

impl Hub {
    /// Looks up when there is something to forget next.
    pub(super) fn find_next_end(&mut self) -> std::result::Result<(), StoreError> {
        let mut next: Option<Nanos> = None;
        for (status, time) in &self.retaining.rules {
            if let Some(end) = self.store.first_end(*status)? {
                let due = end.saturating_add(*time);
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        self.retaining.next = next;
        Ok(())
    }

    pub(super) fn retention_is_due(&self) -> bool {
        self.retaining.next.is_some_and(|next| next <= self.clock.now())
            && self.retaining.pause.is_none_or(|until| until <= Instant::now())
    }

    /// In how much real time there will be something to forget, unless time stands still.
    pub(super) fn time_to_retention(&self) -> Option<Duration> {
        let due = self.retaining.next?.saturating_sub(self.clock.now());
        if due > 0 && self.clock.is_virtual() {
            return None;
        }
        let pause =
            self.retaining.pause.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        Some(Duration::from_nanos(u64::try_from(due).unwrap_or(0)).max(pause))
    }

    /// Forgets some of what is due.
    pub(super) fn retain(&mut self) {
        if !self.retention_is_due() {
            return;
        }
        let mut forgotten = 0;
        let mut all = false;
        let done = self.transact_freeing(|hub| {
            (forgotten, all) = hub.forget_ended()?;
            Ok(())
        });
        self.retaining.pause = match done {
            Err(_) => Some(FAILURE_PAUSE),
            Ok(()) if all && !self.clock.is_virtual() => Some(GATHER),
            Ok(()) => None,
        }
        .map(|pause| Instant::now() + pause);
        if done.is_ok() && forgotten > 0 {
            tracing::info!(instances = forgotten, "instances that ended long enough ago are forgotten");
        }
    }

    /// How many are forgotten, and whether that is all there are for now.
    fn forget_ended(&mut self) -> std::result::Result<(usize, bool), StoreError> {
        let (began, now) = (Instant::now(), self.clock.now());
        let mut forgotten = 0;
        for (status, time) in self.retaining.rules.clone() {
            for key in self.store.ended_by(status, now.saturating_sub(time), STEP)? {
                match self.remove(key) {
                    Ok(()) => {}
                    Err(HubError::Database(error)) => return Err(error),
                    Err(error) => tracing::warn!(%error, "an instance could not be forgotten"),
                }
                forgotten += 1;
                if began.elapsed() >= STEP_TIME {
                    break;
                }
            }
        }
        self.find_next_end()?;
        Ok((forgotten, self.retaining.next.is_none_or(|next| next > now)))
    }
}
