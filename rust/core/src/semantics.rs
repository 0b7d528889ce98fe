//! What releases decide differently, and which of them an execution follows.

/// The release whose decisions an execution follows. Its history was begun under them and has to be finished under them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Semantics {
    /// durabletask-dapr 0.17.
    #[default]
    V0_17,
    /// The engine inside Dapr's SDK 1.18.
    Dapr1_18,
    /// The engine inside Dapr's SDK 1.19.
    Dapr1_19,
}

impl Semantics {
    const NAMES: [(&'static str, Self); 3] =
        [("0.17", Self::V0_17), ("dapr-1.18", Self::Dapr1_18), ("dapr-1.19", Self::Dapr1_19)];

    /// The semantics of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find_map(|(known, semantics)| (known == name).then_some(semantics))
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().map(|(name, _)| name)
    }

    /// Whether `when_all` fails when all its tasks have ended, not as soon as one has failed.
    #[must_use]
    pub fn when_all_waits_for_all(self) -> bool {
        self == Self::Dapr1_19
    }

    /// Whether a wait for an external event takes an id however long it is: one without an end has a timer that never
    /// fires, and an end that has passed already has a timer too.
    #[must_use]
    pub fn every_wait_has_a_timer(self) -> bool {
        self != Self::V0_17
    }

    /// Whether `retry_timeout` bounds the sum of the pauses between the attempts, not the time that has passed.
    #[must_use]
    pub fn retry_timeout_counts_pauses(self) -> bool {
        self != Self::V0_17
    }
}

#[cfg(test)]
mod tests {
    use super::Semantics;

    #[test]
    fn every_name_is_found_again() {
        for name in Semantics::names() {
            assert!(Semantics::named(name).is_some());
        }
        assert_eq!(Semantics::named("0.16"), None);
        assert_eq!(Semantics::named("0.17"), Some(Semantics::default()));
    }
}
