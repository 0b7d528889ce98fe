//! What waits for a worker, first come first served: instances with events, and activities.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;

use crate::store::{ActivityRow, Key};

/// How many bytes of activities are kept in memory while they wait; others are read again when their turn comes.
const ACTIVITY_BYTES: usize = 32 * 1024 * 1024;

/// An activity in line.
#[derive(Debug)]
pub(super) struct QueuedActivity {
    pub(super) sequence: i64,
    pub(super) row: Option<ActivityRow>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    turns: VecDeque<Key>,
    queued: HashSet<Key>,
    activities: VecDeque<QueuedActivity>,
    activity_bytes: usize,
}

impl Queue {
    /// An instance stands in line once, however many events it has.
    pub(super) fn push_turn(&mut self, key: Key) {
        if self.queued.insert(key) {
            self.turns.push_back(key);
        }
    }

    pub(super) fn return_turn(&mut self, key: Key) {
        if self.queued.insert(key) {
            self.turns.push_front(key);
        }
    }

    pub(super) fn pop_turn(&mut self) -> Option<Key> {
        let key = self.turns.pop_front()?;
        self.queued.remove(&key);
        Some(key)
    }

    pub(super) fn push_activity(&mut self, sequence: i64, row: Option<ActivityRow>) {
        let activity = self.admit(sequence, row);
        self.activities.push_back(activity);
    }

    pub(super) fn return_activity(&mut self, sequence: i64, row: Option<ActivityRow>) {
        let activity = self.admit(sequence, row);
        self.activities.push_front(activity);
    }

    pub(super) fn pop_activity(&mut self) -> Option<QueuedActivity> {
        let activity = self.activities.pop_front()?;
        self.activity_bytes -= size(activity.row.as_ref());
        Some(activity)
    }

    fn admit(&mut self, sequence: i64, row: Option<ActivityRow>) -> QueuedActivity {
        let row = row.filter(|row| self.activity_bytes + row.event.len() <= ACTIVITY_BYTES);
        self.activity_bytes += size(row.as_ref());
        QueuedActivity { sequence, row }
    }
}

fn size(row: Option<&ActivityRow>) -> usize {
    row.map_or(0, |row| Bytes::len(&row.event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(len: usize) -> ActivityRow {
        ActivityRow { key: 1, execution_id: None, event: Bytes::from(vec![0; len]) }
    }

    #[test]
    fn an_instance_stands_in_line_once() {
        let mut queue = Queue::default();
        for key in [1, 2, 1] {
            queue.push_turn(key);
        }
        assert_eq!((queue.pop_turn(), queue.pop_turn(), queue.pop_turn()), (Some(1), Some(2), None));
        queue.push_turn(1);
        assert_eq!(queue.pop_turn(), Some(1), "and again once it has left the line");
    }

    #[test]
    fn activities_beyond_the_memory_they_may_take_are_left_in_the_database() {
        let mut queue = Queue::default();
        queue.push_activity(1, Some(row(ACTIVITY_BYTES)));
        queue.push_activity(2, Some(row(1)));
        assert!(queue.pop_activity().is_some_and(|it| it.row.is_some()));
        assert!(queue.pop_activity().is_some_and(|it| it.row.is_none()));
        queue.push_activity(3, Some(row(1)));
        assert!(queue.pop_activity().is_some_and(|it| it.row.is_some()), "memory is free again");
    }
}
