//! What time it is: on the wall, or in a test that lets it pass as it likes.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::Nanos;

/// The hub's clock. Nothing else in the sidecar asks what time it is.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// Set if time stands still until it is told to go on.
    virtual_now: Option<Nanos>,
}

impl Clock {
    /// Timers are compared with the wall clock, not with a monotonic one: they have to outlive the process.
    pub(crate) fn wall() -> Self {
        Self { started: Instant::now(), virtual_now: None }
    }

    /// A clock that stands still at `start`.
    pub(crate) fn standing_at(start: Nanos) -> Self {
        Self { started: Instant::now(), virtual_now: Some(start) }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.virtual_now.is_some()
    }

    /// Since the Unix epoch: what histories say and what timers are set by.
    pub(crate) fn now(&self) -> Nanos {
        self.virtual_now.unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX))
        })
    }

    /// Since the clock was made, whatever is done to the time of day: how long workers take is always real.
    pub(crate) fn elapsed(&self) -> Nanos {
        i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Lets virtual time pass until then; it never goes back, and a wall clock is left alone.
    pub(crate) fn advance_to(&mut self, then: Nanos) {
        if let Some(now) = &mut self.virtual_now {
            *now = (*now).max(then);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_time_stands_still_and_never_goes_back() {
        let mut clock = Clock::standing_at(100);
        assert_eq!((clock.now(), clock.now()), (100, 100));
        clock.advance_to(250);
        clock.advance_to(200);
        assert_eq!(clock.now(), 250);
    }

    #[test]
    fn the_wall_clock_is_not_moved() {
        let mut clock = Clock::wall();
        clock.advance_to(i64::MAX);
        assert!(clock.now() < i64::MAX);
    }
}
