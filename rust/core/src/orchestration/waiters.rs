//! Who waits for external events, by name.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::room::Roomy;

/// How many names without a waiter are kept.
const NAMES_KEPT: usize = 16;

/// Somebody who waits for an external event.
#[derive(Debug)]
pub(crate) struct Waiter<T> {
    pub(crate) task: T,
    /// The id of the timer that ends the wait.
    pub(crate) timer: Option<i32>,
}

/// All who wait: those of one name in the order in which they began to.
#[derive(Debug)]
pub(crate) struct Waiters<T> {
    names: FxHashMap<Box<str>, VecDeque<Waiter<T>>>,
    /// How many of the names are waited for.
    awaited: usize,
}

impl<T> Waiters<T> {
    pub(crate) fn new() -> Self {
        Self { names: FxHashMap::default(), awaited: 0 }
    }

    /// Adds somebody who waits for an event of a folded name.
    pub(crate) fn add(&mut self, name: &str, waiter: Waiter<T>) {
        if let Some(waiters) = self.names.get_mut(name) {
            self.awaited += usize::from(waiters.is_empty());
            waiters.push_back(waiter);
        } else {
            self.awaited += 1;
            self.names.insert(name.into(), VecDeque::from([waiter]));
        }
    }

    /// Whoever has waited longest for an event of a folded name.
    #[inline]
    pub(crate) fn next(&mut self, name: &str) -> Option<Waiter<T>> {
        self.take(name, VecDeque::pop_front)
    }

    /// Who waits until this timer of theirs fires.
    pub(crate) fn timed_by(&mut self, name: &str, timer: i32) -> Option<Waiter<T>> {
        self.take(name, |waiters| {
            let place = waiters.iter().position(|waiter| waiter.timer == Some(timer))?;
            waiters.remove(place)
        })
    }

    /// The timers after this one have moved up, as `take_back_wait_timer` says; this one is no more.
    #[cold]
    pub(crate) fn close_gap(&mut self, id: i32) {
        for waiter in self.names.values_mut().flatten() {
            waiter.timer = waiter.timer.filter(|timer| *timer != id).map(|timer| timer - i32::from(timer > id));
        }
    }

    /// A name that was waited for will mostly be waited for again, so a few are kept.
    #[inline]
    fn take(
        &mut self,
        name: &str,
        choose: impl FnOnce(&mut VecDeque<Waiter<T>>) -> Option<Waiter<T>>,
    ) -> Option<Waiter<T>> {
        let waiters = self.names.get_mut(name)?;
        let waiter = choose(waiters)?;
        if waiters.is_empty() {
            self.awaited -= 1;
            if self.names.len() > NAMES_KEPT {
                self.names.remove(name);
            }
        }
        Some(waiter)
    }

    /// The tasks of all who wait, in no order.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &T> {
        self.names.values().flatten().map(|waiter| &waiter.task)
    }

    /// How many names are waited for.
    pub(crate) fn names_awaited(&self) -> usize {
        self.awaited
    }
}

impl<T> Roomy for Waiters<T> {
    fn shrink(&mut self) {
        self.names.shrink();
    }

    fn bytes(&self) -> usize {
        self.names.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::{NAMES_KEPT, Waiter, Waiters};

    #[test]
    fn names_count_as_long_as_somebody_waits_for_them() {
        let mut waiters = Waiters::new();
        let names: Vec<_> = (0..3 * NAMES_KEPT).map(|number| format!("name-{number}")).collect();
        for (number, name) in (0..).zip(&names) {
            waiters.add(name, Waiter { task: number, timer: None });
            waiters.add(name, Waiter { task: -number, timer: Some(number) });
        }
        assert_eq!(waiters.names_awaited(), names.len());
        for (number, name) in (0..).zip(&names) {
            assert_eq!(waiters.timed_by(name, number).map(|waiter| waiter.task), Some(-number));
            assert!(waiters.timed_by(name, number).is_none());
            assert_eq!(waiters.next(name).map(|waiter| waiter.task), Some(number));
            assert!(waiters.next(name).is_none());
        }
        assert_eq!(waiters.names_awaited(), 0);
        assert_eq!(waiters.names.len(), NAMES_KEPT);
        waiters.add("name-40", Waiter { task: 0, timer: None });
        assert_eq!(waiters.names_awaited(), 1);
    }
}
