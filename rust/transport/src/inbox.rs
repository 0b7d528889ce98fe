//! Where the network's thread puts what the threads of the program take: messages, and what became of reports.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use slab::Slab;
use tokio::sync::Notify;

use crate::status::Status;

/// Messages that wait to be taken, in bytes; with more, the stream is not read on.
const FULL: usize = 4 * 1024 * 1024;

/// What a message counts beside its bytes.
const OVERHEAD: usize = 256;

/// What became of a report.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sidecar has it.
    Delivered,
    /// The sidecar does not want it.
    Refused(Status),
    /// The connection was closed before the sidecar had said that it has it.
    Gone,
}

/// What there was to take.
#[derive(Debug)]
pub struct Taken<T> {
    /// What became of reports, by what was handed over with them.
    pub outcomes: Vec<(T, Outcome)>,
    /// Messages of the stream, in order.
    pub messages: Vec<Bytes>,
    /// How the stream has ended, behind the messages; None if it goes on.
    pub ended: Option<Result<(), Status>>,
}

#[allow(clippy::struct_excessive_bools, reason = "each holds or not, whatever the others do")]
struct State<T> {
    messages: VecDeque<Bytes>,
    bytes: usize,
    /// Reports on their way.
    reports: Slab<T>,
    outcomes: Vec<(T, Outcome)>,
    ended: Option<Result<(), Status>>,
    closed: bool,
    /// Somebody waits who has not been woken.
    waits: bool,
    /// Outcomes are taken at once, not with the next messages or after a while.
    hastened: bool,
    /// Those that are there now do not wait any longer.
    flushed: bool,
}

/// One for each connection.
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    room: Notify,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> Self {
        let state = State {
            messages: VecDeque::new(),
            bytes: 0,
            reports: Slab::new(),
            outcomes: Vec::new(),
            ended: None,
            closed: false,
            waits: false,
            hastened: false,
            flushed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), room: Notify::new() }
    }

    // For the program

    /// Waits for messages, for the end of the stream, or for outcomes that are worth it; takes all there is.
    ///
    /// `hastened`: outcomes are worth it as soon as they come, and not only with the next messages or after a while.
    pub(crate) fn take(&self, hastened: bool) -> Taken<T> {
        let mut state = self.lock();
        state.hastened = hastened;
        while state.messages.is_empty() && state.ended.is_none() && !state.closed && !state.outcomes_are_due() {
            state.waits = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waits = false;
        }
        let was_full = state.bytes >= FULL;
        state.bytes = 0;
        state.flushed = false;
        let taken = Taken {
            outcomes: std::mem::take(&mut state.outcomes),
            messages: std::mem::take(&mut state.messages).into(),
            ended: if state.closed { Some(Err(Status::closed())) } else { state.ended.clone() },
        };
        drop(state);
        if was_full {
            self.room.notify_one();
        }
        taken
    }

    /// Waits for outcomes alone, so long at most.
    pub(crate) fn take_outcomes(&self, patience: Duration) -> Vec<(T, Outcome)> {
        let deadline = Instant::now().checked_add(patience);
        let mut state = self.lock();
        state.hastened = true;
        while state.outcomes.is_empty() && !state.closed {
            let left = deadline.map_or(patience, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            state.waits = true;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waits = false;
        }
        state.flushed = false;
        std::mem::take(&mut state.outcomes)
    }

    /// Notes a report that is to go out; gives it back if the connection is closed.
    pub(crate) fn expect(&self, report: T) -> Result<usize, T> {
        let mut state = self.lock();
        if state.closed { Err(report) } else { Ok(state.reports.insert(report)) }
    }

    /// Has whoever waits take outcomes as soon as they come.
    pub(crate) fn hasten(&self) {
        let mut state = self.lock();
        state.hastened = true;
        if state.outcomes_are_due() {
            self.wake(&mut state);
        }
    }

    /// Nothing more comes in, and what is on its way is given up.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        state.closed = true;
        let reports = std::mem::replace(&mut state.reports, Slab::new());
        let gone = reports.into_iter().map(|(_, report)| (report, Outcome::Gone));
        state.outcomes.extend(gone);
        // Everybody: nobody would be woken any more.
        state.waits = false;
        self.changed.notify_all();
    }

    // For the network

    /// Waits until there is room for another message.
    pub(crate) async fn room(&self) {
        while self.lock().bytes >= FULL {
            self.room.notified().await;
        }
    }

    pub(crate) fn put(&self, message: Bytes) {
        let mut state = self.lock();
        state.bytes += message.len() + OVERHEAD;
        state.messages.push_back(message);
        self.wake(&mut state);
    }

    /// The stream has ended.
    pub(crate) fn end(&self, ended: Result<(), Status>) {
        let mut state = self.lock();
        state.ended.get_or_insert(ended);
        self.wake(&mut state);
    }

    /// A report has come to its end. True: it is the first of some that are taken later, by `flush` at the latest.
    pub(crate) fn settle(&self, report: usize, outcome: Outcome) -> bool {
        let mut state = self.lock();
        // Closed meanwhile, it is among those that are gone.
        let Some(report) = state.reports.try_remove(report) else { return false };
        // Whoever reported has to do something about it, or is not sure of anything any more.
        state.flushed |= outcome != Outcome::Delivered;
        state.outcomes.push((report, outcome));
        if state.outcomes_are_due() {
            self.wake(&mut state);
            return false;
        }
        state.outcomes.len() == 1
    }

    /// Has the outcomes taken that are there.
    pub(crate) fn flush(&self) {
        let mut state = self.lock();
        if !state.outcomes.is_empty() {
            state.flushed = true;
            self.wake(&mut state);
        }
    }

    fn wake(&self, state: &mut MutexGuard<'_, State<T>>) {
        if std::mem::take(&mut state.waits) {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Whoever panicked with the lock held has not left anything half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many outcomes are not kept waiting for messages to come along.
const MANY: usize = 64;

impl<T> State<T> {
    fn outcomes_are_due(&self) -> bool {
        !self.outcomes.is_empty() && (self.hastened || self.flushed || self.outcomes.len() >= MANY)
    }
}
