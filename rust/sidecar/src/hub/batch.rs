//! Jobs to transactions: changes that arrive together share a commit, and none of them pays for another's failure.

use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::handle::{Job, Terms, Write};
use super::{FAILURE_PAUSE, Hub};
use crate::store::StoreError;

/// How many jobs share a transaction at most: enough to make flushes cheap, few enough to answer soon.
const MAX_BATCH: usize = 512;
/// After how many failures in a row the rest of a batch is refused untried.
const ENOUGH_FAILURES: u32 = 3;

type Committed = std::result::Result<(), StoreError>;

/// How things stand with the database.
#[derive(Default)]
pub(super) struct Health {
    /// Memory may be ahead of the database and has to be built again from it.
    pub(super) stale: bool,
    /// It had no room the last time that something was to be stored.
    full: bool,
    /// Timers and terminations could not be seen to; not before then are they tried again.
    pub(super) pause: Option<Instant>,
    /// The failure that was told of last.
    told: Option<StoreError>,
}

/// What has failed in a batch.
#[derive(Default)]
struct Misses {
    in_a_row: u32,
    last: Option<StoreError>,
}

impl Misses {
    fn note(&mut self, error: &StoreError) {
        self.in_a_row += 1;
        self.last = Some(error.clone());
    }

    /// The database takes nothing: a disk that is full is not asked a thousand times.
    fn are_enough(&self) -> Option<StoreError> {
        self.last.clone().filter(|_| self.in_a_row >= ENOUGH_FAILURES)
    }
}

impl Hub {
    /// Does the jobs that are there, and what is due. Changes come first: what is read is never older than what was there
    /// when it was asked for.
    pub(super) fn run_batch(&mut self, first: Option<Job>, jobs: &Receiver<Job>) {
        let (mut shared, mut alone, mut looks) = (Vec::new(), Vec::new(), Vec::new());
        for job in first.into_iter().chain(jobs.try_iter()).take(MAX_BATCH) {
            match job {
                Job::Write(job) if matches!(job.terms(), Terms::Shared(_)) => shared.push(job),
                Job::Write(job) => alone.push(job),
                Job::Look(look) => looks.push(look),
            }
        }
        if self.health.stale
            && let Err(error) = self.reload()
        {
            self.tell_of(&error);
        }
        let mut misses = Misses::default();
        self.run_shared(shared, &mut misses);
        for job in alone {
            self.run_alone(job, &mut misses);
        }
        self.retain();
        for look in looks {
            look(self);
        }
        self.waiters.announce();
        if !self.health.stale {
            self.stats.overdue += self.scheduler.expire(self.clock.elapsed()) as u64;
            if !self.draining {
                self.pump();
            }
        }
        self.notice_being_alone();
    }

    fn run_shared(&mut self, mut jobs: Vec<Box<dyn Write>>, misses: &mut Misses) {
        let chores = self.chores_are_due();
        if jobs.is_empty() && !chores {
            return;
        }
        let committed = self.transact(|hub| {
            if chores {
                hub.do_chores()?;
            }
            jobs.iter_mut().try_for_each(|job| job.run(hub))
        });
        let error = match committed {
            Ok(()) => {
                self.health.full = false;
                return jobs.into_iter().for_each(|job| self.answer(job, Ok(())));
            }
            Err(error) => error,
        };
        if jobs.len() == 1 && !chores {
            misses.note(&error);
            return jobs.into_iter().for_each(|job| self.answer(job, Err(error.clone())));
        }
        // One of them is to blame, or all. Each is on its own now, the smallest first, since they may still fit.
        if chores && self.transact(Self::do_chores).is_err() {
            self.health.pause = Some(Instant::now() + FAILURE_PAUSE);
        }
        jobs.sort_by_key(|job| job.terms());
        for job in jobs {
            self.run_alone(job, misses);
        }
    }

    fn run_alone(&mut self, mut job: Box<dyn Write>, misses: &mut Misses) {
        let freeing = job.terms() == Terms::Freeing;
        if let Some(error) = misses.are_enough()
            && !freeing
        {
            return self.answer(job, Err(error));
        }
        let committed =
            if freeing { self.transact_freeing(|hub| job.run(hub)) } else { self.transact(|hub| job.run(hub)) };
        match &committed {
            Ok(()) => misses.in_a_row = 0,
            Err(error) => misses.note(error),
        }
        self.answer(job, committed);
    }

    fn answer(&mut self, job: Box<dyn Write>, outcome: Committed) {
        self.stats.refused += u64::from(outcome.is_err());
        self.stats.write_time.note(job.since().elapsed());
        job.answer(outcome);
    }

    /// Does something that makes room, also when there is none.
    pub(super) fn transact_freeing(&mut self, work: impl FnOnce(&mut Self) -> Committed) -> Committed {
        let needs_room = self.health.full;
        if needs_room {
            self.store.make_room();
        }
        let committed = self.transact(work);
        if needs_room {
            self.store.keep_reserve();
        }
        committed
    }

    /// Does something in a transaction: all of it or, with everything in memory that it touched, nothing.
    fn transact(&mut self, work: impl FnOnce(&mut Self) -> Committed) -> Committed {
        let committed = self.try_to_transact(work);
        match &committed {
            Ok(()) => {
                self.health.told = None;
                self.leases.settle();
                self.scheduler.settle();
                self.waiters.announce();
            }
            Err(error) => self.undo(error),
        }
        committed
    }

    fn try_to_transact(&mut self, work: impl FnOnce(&mut Self) -> Committed) -> Committed {
        if self.health.stale {
            self.reload()?;
        }
        self.store.begin()?;
        work(self)?;
        let began = Instant::now();
        self.store.commit()?;
        self.stats.commit_time.note(began.elapsed());
        Ok(())
    }

    fn undo(&mut self, error: &StoreError) {
        self.tell_of(error);
        self.health.full = matches!(error, StoreError::Full | StoreError::Io(_));
        self.health.stale = true;
        self.waiters.unsettle();
        self.leases.undo();
        self.scheduler.undo(self.clock.elapsed());
        if let Err(error) = self.store.roll_back() {
            tracing::error!(%error, "the transaction could not be rolled back");
        }
        if let Err(error) = self.reload() {
            self.tell_of(&error);
        }
    }

    /// Once for each failure, not once for each that suffers from it.
    fn tell_of(&mut self, error: &StoreError) {
        if self.health.told.as_ref() != Some(error) {
            tracing::error!(%error, "the database failed; what was asked for is undone and refused");
            self.health.told = Some(error.clone());
        }
    }
}
