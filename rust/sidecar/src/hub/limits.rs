//! How much of everything there may be, in one place.

use std::time::Duration;

/// What keeps one worker or client from taking what all need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long a worker may have a turn in hand before it is given to another.
    pub(crate) turn_lease: Duration,
    /// From when on a worker that has not answered a turn is behind: others are asked first.
    pub(crate) behind_after: Duration,
    /// How many turns a worker that has just connected has in hand at most: it has yet to show that it answers.
    pub(crate) first_turns: usize,
    /// How many turns it may come to; each answer allows it one more.
    pub(crate) turns_per_stream: usize,
    pub(crate) activities_per_stream: usize,
    /// How many bytes of work items that it has not answered a worker gets.
    pub(crate) bytes_per_stream: usize,
    /// How many callers may wait for instances at once.
    pub(crate) waiters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            turn_lease: Duration::from_secs(120),
            behind_after: Duration::from_secs(2),
            first_turns: 32,
            turns_per_stream: 256,
            activities_per_stream: 10_000,
            bytes_per_stream: 64 * 1024 * 1024,
            waiters: 100_000,
        }
    }
}
