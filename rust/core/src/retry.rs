//! Retry policies: whether a failed call is tried again, and when.

use std::collections::BTreeSet;

use crate::semantics::Semantics;
use crate::time::Timestamp;

/// The error type that is never retried, whatever the policy says.
pub const NON_RETRYABLE: &str = "NonRetryableError";

/// How a call is retried. Durations are microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Pause before the second attempt.
    pub first_interval: i64,
    /// Attempts in all, the first included.
    pub max_attempts: u32,
    /// What each pause is multiplied by to give the next.
    pub backoff_coefficient: f64,
    /// Longest pause.
    pub max_interval: Option<i64>,
    /// No attempt starts this long after the first was scheduled.
    pub timeout: Option<i64>,
    /// Error types that are not retried, compared exactly.
    pub non_retryable_error_types: BTreeSet<Box<str>>,
}

impl RetryPolicy {
    /// The pause after attempt number `attempt` (from 1) failed with `error_type` at `now`, or `None` if that was the last.
    /// `first_scheduled` is the orchestrator's time when the first attempt was scheduled, so the answer is the same on
    /// every replay.
    #[must_use]
    pub fn next_delay(
        &self,
        semantics: Semantics,
        attempt: u32,
        error_type: &str,
        first_scheduled: Timestamp,
        now: Timestamp,
    ) -> Option<Delay> {
        if error_type == NON_RETRYABLE || self.non_retryable_error_types.contains(error_type) {
            return None;
        }
        if attempt >= self.max_attempts {
            return None;
        }
        let expired = if semantics.retry_timeout_counts_pauses() {
            self.timeout.is_some_and(|timeout| self.pauses_reach(attempt, timeout))
        } else {
            self.is_expired(first_scheduled, now)
        };
        if expired {
            return None;
        }
        Some(to_micros(self.pause(attempt)).map_or(Delay::BeyondTime, Delay::Micros))
    }

    /// The pause after an attempt, in seconds.
    fn pause(&self, attempt: u32) -> f64 {
        if self.first_interval == 0 {
            // The power grows beyond all numbers in the end, and infinity times nothing is no number.
            return 0.0;
        }
        let seconds = self.backoff_coefficient.powf(f64::from(attempt - 1)) * to_seconds(self.first_interval);
        self.max_interval.map_or(seconds, |longest| seconds.min(to_seconds(longest)))
    }

    /// Whether the pauses up to the one after `attempt` are `timeout` long together, or longer.
    fn pauses_reach(&self, attempt: u32, timeout: i64) -> bool {
        // Added up in this order, which floats remember.
        let sum = (1..=attempt).map(|attempt| self.pause(attempt)).fold(0.0, |sum, pause| sum + pause);
        to_micros(sum).is_none_or(|sum| sum >= timeout)
    }

    /// Whether it is too late for another attempt: asked when one has failed, and again when the pause after it is over.
    #[must_use]
    pub fn is_expired(&self, first_scheduled: Timestamp, now: Timestamp) -> bool {
        let ends = |timeout| first_scheduled.checked_add(timeout);
        self.timeout.and_then(ends).is_some_and(|expiration| now >= expiration)
    }
}

/// A pause before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// So many microseconds.
    Micros(i64),
    /// Longer than time can be written.
    BeyondTime,
}

/// The double nearest to a number of microseconds in seconds, as `timedelta.total_seconds()` gives it.
fn to_seconds(micros: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "durations in use are far below 2^53 microseconds")]
    let micros = micros as f64;
    micros / 1e6
}

/// Rounds to microseconds as `timedelta(seconds=…)` does: the fraction apart from the whole seconds, ties to even.
fn to_micros(seconds: f64) -> Option<i64> {
    let (whole, fraction) = (seconds.trunc(), seconds.fract());
    let micros = whole * 1e6;
    // A double holds whole microseconds up to 2^53 exactly, which is 285 years; `timedelta` ends at 999,999,999 days.
    if !micros.is_finite() || micros.abs() > 8.64e19 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "range checked, and `as` saturates")]
    let whole = (whole as i64).checked_mul(1_000_000)?;
    #[allow(clippy::cast_possible_truncation, reason = "a rounded fraction is at most a million")]
    whole.checked_add((fraction * 1e6).round_ties_even() as i64)
}

#[cfg(test)]
mod tests {
    use super::{Delay, RetryPolicy, to_micros};
    use crate::semantics::Semantics;
    use crate::time::Timestamp;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            first_interval: 1_000_000,
            max_attempts: 5,
            backoff_coefficient: 2.0,
            max_interval: Some(3_000_000),
            timeout: None,
            non_retryable_error_types: ["Fatal".into()].into(),
        }
    }

    fn delay(policy: &RetryPolicy, attempt: u32, error_type: &str, now: i64) -> Option<Delay> {
        let now = Timestamp::from_micros(now);
        policy.next_delay(Semantics::V0_17, attempt, error_type, Timestamp::EPOCH, now)
    }

    #[test]
    fn pauses_grow_by_the_coefficient_up_to_the_longest() {
        let pauses: Vec<_> = (1..=5).map(|attempt| delay(&policy(), attempt, "ValueError", 0)).collect();
        let micros = |n| Some(Delay::Micros(n));
        assert_eq!(pauses, [micros(1_000_000), micros(2_000_000), micros(3_000_000), micros(3_000_000), None]);
    }

    #[test]
    fn error_types_are_compared_exactly() {
        assert_eq!(delay(&policy(), 1, "Fatal", 0), None);
        assert_eq!(delay(&policy(), 1, "NonRetryableError", 0), None);
        assert!(delay(&policy(), 1, "module.Fatal", 0).is_some());
        assert!(delay(&policy(), 1, "fatal", 0).is_some());
    }

    #[test]
    fn the_timeout_counts_orchestrator_time_from_the_first_attempt() {
        let policy = RetryPolicy { timeout: Some(10), ..policy() };
        assert!(delay(&policy, 1, "ValueError", 9).is_some());
        assert_eq!(delay(&policy, 1, "ValueError", 10), None);
    }

    #[test]
    fn for_dapr_the_timeout_bounds_the_pauses_and_not_the_clock() {
        let policy = RetryPolicy { timeout: Some(6_000_000), ..policy() };
        let delay = |attempt| {
            let late = Timestamp::from_micros(1_000_000_000);
            policy.next_delay(Semantics::Dapr1_18, attempt, "ValueError", Timestamp::EPOCH, late)
        };
        // 1 s, 2 s, and 3 s that would end when six seconds are over.
        assert_eq!(
            [delay(1), delay(2), delay(3)],
            [Some(Delay::Micros(1_000_000)), Some(Delay::Micros(2_000_000)), None]
        );
    }

    #[test]
    fn a_pause_longer_than_time_is_not_a_number_of_microseconds() {
        let policy = RetryPolicy { backoff_coefficient: f64::MAX, max_interval: None, ..policy() };
        assert_eq!(delay(&policy, 4, "ValueError", 0), Some(Delay::BeyondTime));
    }

    #[test]
    fn microseconds_round_half_to_even() {
        assert_eq!(to_micros(0.000_000_5), Some(0));
        assert_eq!(to_micros(0.000_001_5), Some(2));
        assert_eq!(to_micros(1.05), Some(1_050_000));
    }
}
