//! The hub: one thread that owns the database and everything in memory, and does one thing after the other.
//!
//! Requests arrive as jobs. All that wait are run in one transaction, which is committed once; only then are they
//! answered, are waiters told and is work handed out. So nothing is ever visible that could still be lost, there are no
//! locks, and a slow disk makes batches larger instead of queues longer.

mod activities;
mod batch;
mod cache;
mod cascade;
mod clients;
mod describing;
mod dispatch;
mod failures;
mod handle;
mod limits;
mod listing;
mod passing;
mod propagation;
mod purge;
mod rerun;
mod retention;
mod scheduler;
mod stats;
mod streams;
#[cfg(test)]
mod tests;
mod turns;
mod waiters;
mod watching;

pub(crate) use clients::NewInstance;
pub(crate) use handle::{Handle, HubError, Result};
pub(crate) use limits::Limits;
pub(crate) use listing::Listing;
pub(crate) use purge::Purge;
pub(crate) use scheduler::{Names, Need, Offer, StreamId};
pub(crate) use streams::{Connected, STREAM_BOUND};
pub(crate) use waiters::{Until, Waiter, WaiterId};
pub(crate) use watching::{Change, Seen};

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::machine::Environment;
use crate::retention::Retention;
use crate::store::{Key, Store, StoreError};
use crate::time::{self, Nanos};
use batch::Health;
use cache::Cache;
use describing::Descriptions;
use dispatch::{Leases, Waiting, need_of};
use handle::Job;
use passing::{Ids, Passing};
use propagation::Chunks;
use retention::Retaining;
use scheduler::Scheduler;
use stats::Stats;
use streams::Outlets;
use waiters::Waiters;
use watching::Watchers;

/// How many timers are fired in one transaction.
const TIMER_BATCH: u32 = 1_000;
/// How long a wait for a timer may be, since the wall clock can be set and a machine can sleep.
const MAX_TIMER_WAIT: Duration = Duration::from_secs(10);
/// The pause after a failure of the database, before anything is tried again.
const FAILURE_PAUSE: Duration = Duration::from_millis(200);

/// What the hub is made with.
pub(crate) struct HubOptions {
    pub(crate) app_id: String,
    /// How much memory the histories of running instances may take before the least recently used are dropped.
    pub(crate) cache_bytes: usize,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    /// What is forgotten by itself.
    pub(crate) retention: Retention,
    /// Makes ids the same each time; none makes them random.
    pub(crate) seed: Option<u64>,
}

/// All state of the sidecar.
pub(crate) struct Hub {
    store: Store,
    app_id: String,
    clock: Clock,
    ids: Ids,
    passing: Passing,
    limits: Limits,
    cache: Cache,
    scheduler: Scheduler,
    outlets: Outlets,
    leases: Leases,
    /// Activities that wait for a worker, as far as they are in memory.
    waiting: Waiting,
    chunks: Chunks,
    /// Names that no connected worker has, told of once.
    missed: HashSet<String>,
    waiters: Waiters,
    watchers: Watchers,
    descriptions: Descriptions,
    stats: Stats,
    next_timer: Option<Nanos>,
    /// Terminations are on their way down.
    cascading: bool,
    retaining: Retaining,
    health: Health,
    /// Since when work waits while no worker is connected, until that is told of.
    alone: Alone,
    /// Nothing is handed out any more.
    draining: bool,
    stopping: bool,
}

/// How long work waits for the first worker before that is worth a line in the log.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether work waits and no worker is connected.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Alone {
    No,
    Since(Instant),
    Told,
}

impl Hub {
    pub(crate) fn new(store: Store, options: HubOptions) -> std::result::Result<Self, StoreError> {
        let retaining = Retaining::new(&options.retention);
        store.index_ends(retaining.is_wanted())?;
        let mut hub = Self {
            store,
            app_id: options.app_id,
            clock: options.clock,
            ids: options.seed.map_or(Ids::Random, Ids::Seeded),
            passing: Passing::default(),
            limits: options.limits,
            cache: Cache::new(options.cache_bytes),
            scheduler: Scheduler::new(options.limits),
            outlets: Outlets::default(),
            leases: Leases::default(),
            waiting: Waiting::default(),
            chunks: Chunks::default(),
            missed: HashSet::new(),
            waiters: Waiters::default(),
            watchers: Watchers::default(),
            descriptions: Descriptions::default(),
            stats: Stats::default(),
            next_timer: None,
            cascading: false,
            retaining,
            health: Health::default(),
            alone: Alone::No,
            draining: false,
            stopping: false,
        };
        hub.reload()?;
        Ok(hub)
    }

    /// Serves jobs until told to stop, or until nobody is left who could send one.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        while !self.stopping {
            if self.clock.is_virtual() {
                // What clients have asked for already is done before time passes.
                if let Ok(job) = jobs.try_recv() {
                    self.run_batch(Some(job), jobs);
                    continue;
                }
                self.pass_time();
            }
            let first = match self.time_to_rest() {
                None => match jobs.recv() {
                    Ok(job) => Some(job),
                    Err(_) => break,
                },
                Some(wait) => match jobs.recv_timeout(wait) {
                    Ok(job) => Some(job),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                },
            };
            self.run_batch(first, jobs);
        }
    }

    /// Builds everything in memory from the database. What workers have in hand they keep.
    fn reload(&mut self) -> std::result::Result<(), StoreError> {
        self.cache.clear();
        self.waiting = Waiting::default();
        self.scheduler.undo(self.clock.elapsed());
        for key in self.store.instances_with_work()? {
            if let Some(row) = self.store.instance(key)? {
                self.scheduler.turn_is_due(key, need_of(&row));
            }
        }
        for (sequence, name) in self.store.pending_activities()? {
            if !self.scheduler.is_out(sequence) {
                self.scheduler.activity_is_due(sequence, Need::of(&name, None));
            }
        }
        self.next_timer = self.store.next_timer()?;
        self.cascading = self.store.next_cascade()?.is_some();
        self.find_next_end()?;
        self.health.stale = false;
        Ok(())
    }

    /// How long nothing has to be done unless a job arrives.
    fn time_to_rest(&self) -> Option<Duration> {
        if self.health.stale {
            return Some(FAILURE_PAUSE);
        }
        if let Some(pause) = self.health.pause {
            return Some(pause.saturating_duration_since(Instant::now()));
        }
        if self.cascading {
            return Some(Duration::ZERO);
        }
        let timer = if self.clock.is_virtual() {
            self.time_stands_still_for()
        } else {
            self.next_timer.map(|due| due.saturating_sub(self.clock.now()))
        };
        let lease = self.scheduler.next_expiry().map(|due| due.saturating_sub(self.clock.elapsed()));
        let wait = timer.into_iter().chain(lease).min().map(|wait| u64::try_from(wait).unwrap_or(0));
        let alone = match self.alone {
            Alone::Since(since) => Some((since + PATIENCE).saturating_duration_since(Instant::now())),
            Alone::No | Alone::Told => None,
        };
        let wait = wait.map(Duration::from_nanos).into_iter().chain(alone).chain(self.time_to_retention());
        Some(wait.min()?.min(MAX_TIMER_WAIT))
    }

    fn add_timer(&mut self, key: Key, fire_at: Nanos, event: Option<&[u8]>) -> Result<()> {
        self.store.add_timer(key, fire_at, event)?;
        self.next_timer = Some(self.next_timer.map_or(fire_at, |next| next.min(fire_at)));
        Ok(())
    }

    /// Whether there is something to do that nobody asks for.
    fn chores_are_due(&mut self) -> bool {
        if self.health.pause.is_some_and(|until| until > Instant::now()) {
            return false;
        }
        self.health.pause = None;
        self.cascading || self.held_answers_are_due() || self.next_timer.is_some_and(|next| next <= self.clock.now())
    }

    fn do_chores(&mut self) -> std::result::Result<(), StoreError> {
        self.fire_timers()?;
        self.run_cascades()?;
        self.take_held_answers()
    }

    fn fire_timers(&mut self) -> std::result::Result<(), StoreError> {
        let now = self.clock.now();
        if self.next_timer.is_none_or(|next| next > now) {
            return Ok(());
        }
        for timer in self.store.take_due_timers(now, TIMER_BATCH)? {
            match self.fire(timer) {
                Ok(()) => {}
                Err(HubError::Database(error)) => return Err(error),
                Err(error) => tracing::warn!(%error, "a timer could not be fired"),
            }
        }
        self.next_timer = self.store.next_timer()?;
        Ok(())
    }

    /// Says so, once, when work waits that nobody has come for.
    fn notice_being_alone(&mut self) {
        let (turns, activities) = self.scheduler.waiting();
        if self.scheduler.has_workers() || turns + activities == 0 {
            self.alone = Alone::No;
            return;
        }
        match self.alone {
            Alone::No => self.alone = Alone::Since(Instant::now()),
            Alone::Since(since) if since.elapsed() >= PATIENCE => {
                tracing::warn!(turns, activities, "work waits, and no worker is connected");
                self.alone = Alone::Told;
            }
            Alone::Since(_) | Alone::Told => {}
        }
    }

    /// Hands out nothing more; answers are still taken. Returns how much workers still have in hand.
    pub(crate) fn drain(&mut self) -> usize {
        self.draining = true;
        self.scheduler.in_hand()
    }

    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Calls a function that needs the state machine's environment.
    fn with_environment<T>(app_id: &str, ids: &mut Ids, now: Nanos, call: impl FnOnce(&mut Environment<'_>) -> T) -> T {
        let mut new_id = || ids.next();
        let mut environment = Environment { now: time::to_timestamp(now), app_id, new_id: &mut new_id };
        call(&mut environment)
    }
}
