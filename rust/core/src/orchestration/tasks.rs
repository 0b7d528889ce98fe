//! The tasks that the history will complete, by the ids of their actions.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::room::Roomy;

/// Ids are given out one after the other, and most tasks complete before many more are called. So those of the latest ids
/// stand in a window, one place an id; those that are left behind, a timer of months beside a thousand calls, in a table.
#[derive(Debug)]
pub(crate) struct PendingTasks<T> {
    /// The id of the window's first place.
    first_id: i32,
    window: VecDeque<Option<T>>,
    in_window: usize,
    left_behind: FxHashMap<i32, T>,
}

/// A window of so many places is kept however few are taken.
const SMALL: usize = 64;
/// One place in so many is taken in a larger one, or it is given up.
const SPARSE: usize = 4;

impl<T> PendingTasks<T> {
    pub(crate) fn new() -> Self {
        Self { first_id: 1, window: VecDeque::new(), in_window: 0, left_behind: FxHashMap::default() }
    }

    /// Adds a task under an id that has none.
    #[inline]
    pub(crate) fn insert(&mut self, id: i32, pending: T) {
        if self.window.is_empty() {
            self.first_id = id;
            self.in_window = 1;
            self.window.push_back(Some(pending));
            return;
        }
        self.insert_among_others(id, pending);
    }

    #[inline]
    fn insert_among_others(&mut self, id: i32, pending: T) {
        if self.place(id).is_some_and(|place| place > self.window.len() + SMALL) {
            self.leave_behind();
            self.first_id = id;
        }
        let Some(place) = self.place(id) else {
            self.left_behind.insert(id, pending);
            return;
        };
        self.in_window += 1;
        if place < self.window.len() {
            self.window[place] = Some(pending);
            return;
        }
        // The ids between were given to what is no task.
        while self.window.len() < place {
            self.window.push_back(None);
        }
        self.window.push_back(Some(pending));
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: i32) -> Option<T> {
        // Mostly the oldest is the one.
        let pending = if id == self.first_id && !self.window.is_empty() {
            self.first_id += 1;
            self.window.pop_front().flatten()
        } else {
            self.place(id).and_then(|place| self.window.get_mut(place)).and_then(Option::take)
        };
        let Some(pending) = pending else {
            return if self.left_behind.is_empty() { None } else { self.left_behind.remove(&id) };
        };
        self.in_window -= 1;
        while let Some(None) = self.window.front() {
            self.window.pop_front();
            self.first_id += 1;
        }
        if self.window.len() > SMALL && self.in_window < self.window.len() / SPARSE {
            self.leave_behind();
        }
        Some(pending)
    }

    #[cold]
    fn leave_behind(&mut self) {
        let pending = (self.first_id..).zip(self.window.drain(..)).filter_map(|(id, pending)| Some((id, pending?)));
        self.left_behind.extend(pending);
        self.in_window = 0;
    }

    pub(crate) fn get(&self, id: i32) -> Option<&T> {
        let in_window = self.place(id).and_then(|place| self.window.get(place)?.as_ref());
        in_window.or_else(|| self.left_behind.get(&id))
    }

    pub(crate) fn get_mut(&mut self, id: i32) -> Option<&mut T> {
        let in_window = self.place(id).and_then(|place| self.window.get_mut(place)?.as_mut());
        in_window.or_else(|| self.left_behind.get_mut(&id))
    }

    /// Takes a task out, and gives each task after it the id before its own.
    #[cold]
    pub(crate) fn close_gap(&mut self, id: i32) {
        self.leave_behind();
        let kept = self.left_behind.drain().filter(|(each, _)| *each != id);
        let moved: Vec<_> = kept.map(|(each, pending)| (each - i32::from(each > id), pending)).collect();
        self.left_behind.extend(moved);
    }

    pub(crate) fn len(&self) -> usize {
        self.in_window + self.left_behind.len()
    }

    /// All of them, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.window.iter().flatten().chain(self.left_behind.values())
    }

    #[inline]
    fn place(&self, id: i32) -> Option<usize> {
        usize::try_from(id.checked_sub(self.first_id)?).ok()
    }
}

impl<T> Roomy for PendingTasks<T> {
    fn shrink(&mut self) {
        self.window.shrink();
        self.left_behind.shrink();
    }

    fn bytes(&self) -> usize {
        self.window.bytes() + self.left_behind.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{PendingTasks, SMALL};

    proptest! {
        /// Each step gives out some ids, one of them to a task, then asks for the task of some earlier id, and puts it
        /// back or not.
        #[test]
        fn tasks_are_found_as_in_a_plain_map(
            steps in prop::collection::vec((1..100_i32, any::<prop::sample::Index>(), any::<bool>()), 1..400)
        ) {
            let mut tasks = PendingTasks::<i32>::new();
            let mut plain = BTreeMap::new();
            let mut id = 0;
            for (ids, asked, back) in steps {
                id += ids;
                tasks.insert(id, id);
                plain.insert(id, id);
                let asked = i32::try_from(asked.index(usize::try_from(id).unwrap() + 2)).unwrap();
                prop_assert_eq!(tasks.get(asked).copied(), plain.get(&asked).copied());
                let removed = tasks.remove(asked);
                prop_assert_eq!(removed, plain.remove(&asked));
                if let (Some(pending), true) = (removed, back) {
                    tasks.insert(asked, pending);
                    plain.insert(asked, asked);
                    prop_assert_eq!(tasks.get_mut(asked).copied(), Some(asked));
                }
                prop_assert_eq!(tasks.len(), plain.len());
            }
            let mut left: Vec<_> = tasks.values().copied().collect();
            left.sort_unstable();
            prop_assert_eq!(left, plain.into_keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_tasks_after_one_that_is_taken_out_move_up() {
        let mut tasks = PendingTasks::<i32>::new();
        for id in [1, 2, 3, 5] {
            tasks.insert(id, id);
        }
        tasks.close_gap(2);
        let found: Vec<_> = (1..6).map(|id| tasks.get(id).copied()).collect();
        assert_eq!(found, [Some(1), Some(3), None, Some(5), None]);
        tasks.insert(6, 6);
        assert_eq!(tasks.remove(6), Some(6));
        assert_eq!(tasks.len(), 3);
    }

    #[test]
    fn a_task_that_never_completes_does_not_keep_the_places_of_those_that_do() {
        let mut tasks = PendingTasks::<i32>::new();
        tasks.insert(1, 1);
        for id in 2..10_000 {
            tasks.insert(id, id);
            assert_eq!(tasks.remove(id), Some(id));
            assert!(tasks.window.len() <= SMALL + 1, "{} places for one task", tasks.window.len());
        }
        assert_eq!(tasks.remove(1), Some(1));
    }
}
