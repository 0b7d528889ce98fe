//! Points in time: nanoseconds since the Unix epoch in the store, `Timestamp` on the wire.

use durabletask_proto::prost_types::Timestamp;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Nanoseconds since the Unix epoch, good until the year 2262; anything beyond is held at the ends.
pub(crate) type Nanos = i64;

pub(crate) fn to_timestamp(nanos: Nanos) -> Timestamp {
    Timestamp {
        seconds: nanos.div_euclid(NANOS_PER_SECOND),
        nanos: i32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).unwrap_or(0),
    }
}

pub(crate) fn from_timestamp(timestamp: &Timestamp) -> Nanos {
    let nanos = i128::from(timestamp.seconds) * i128::from(NANOS_PER_SECOND) + i128::from(timestamp.nanos);
    let held = nanos.clamp(i128::from(Nanos::MIN), i128::from(Nanos::MAX));
    Nanos::try_from(held).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_the_way_there_and_back() {
        for nanos in [0, 1, -1, 1_795_360_398_931_693_861, i64::MAX, i64::MIN] {
            assert_eq!(from_timestamp(&to_timestamp(nanos)), nanos);
        }
    }

    #[test]
    fn a_timestamp_beyond_the_range_is_held_at_its_end() {
        let far = Timestamp { seconds: i64::MAX, nanos: 999_999_999 };
        assert_eq!(from_timestamp(&far), i64::MAX);
    }
}
