//! Deterministic ids: the same on every replay, and the same as other Durable Task SDKs give.

use std::fmt::Write;
use std::hash::Hasher;
use std::num::NonZeroU64;

use rustc_hash::FxHasher;

use crate::time::Timestamp;

/// Namespace of every deterministic id, shared by the Durable Task SDKs (.NET, Python): 9e952958-5e33-4daf-827f-2fa12937b875.
const NAMESPACE: [u8; 16] =
    [0x9e, 0x95, 0x29, 0x58, 0x5e, 0x33, 0x4d, 0xaf, 0x82, 0x7f, 0x2f, 0xa1, 0x29, 0x37, 0xb8, 0x75];

/// Which deterministic id: the orchestrator's time and count when it was drawn. Turning it into text costs a SHA-1, so
/// that waits until somebody reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuidSeed {
    /// `current_utc_datetime` at the draw.
    pub at: Timestamp,
    /// How many were drawn before it in this execution.
    pub count: u32,
}

impl GuidSeed {
    /// The sixteen bytes of the id: UUID version 5 (RFC 9562, section 5.5) of `{instance_id}_{time}_{count}`.
    #[must_use]
    pub fn bytes(self, instance_id: &str) -> [u8; 16] {
        let mut hash = sha1_smol::Sha1::new();
        hash.update(&NAMESPACE);
        hash.update(format!("{instance_id}_{}_{}", self.at, self.count).as_bytes());
        let digest = hash.digest().bytes();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x50;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        bytes
    }

    /// The id as text, lower case with hyphens.
    #[must_use]
    pub fn text(self, instance_id: &str) -> String {
        let mut text = String::with_capacity(36);
        for (index, byte) in self.bytes(instance_id).into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            write!(text, "{byte:02x}").expect("a String takes every write");
        }
        text
    }
}

/// What is kept of an activity's execution id, to tell the completions of this execution's calls from those of another's.
///
/// The 64 bits are a hash of the id as the history has it, which is cheaper to keep for every call that is open than the
/// text is. Ids are made by the engine from names, times and counts, not from what users send, so two that are different
/// look alike once in 2^64 times; and then what happens is what happened before there was such a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExecutionMark(Option<NonZeroU64>);

impl ExecutionMark {
    /// Of an id's bytes; an empty id has none.
    #[inline]
    pub(crate) fn of(id: &[u8]) -> Self {
        let hash = match id {
            [] => return Self(None),
            id => id.try_into().map_or_else(|_| hash_of_any(id), hash_of_uuid),
        };
        Self(Some(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MAX)))
    }

    /// Whether the id is known.
    #[inline]
    pub(crate) fn is_known(self) -> bool {
        self.0.is_some()
    }
}

/// Of a UUID's text. Each word counts by an odd factor of its own, so that ids which differ in one word look different.
#[inline]
fn hash_of_uuid(text: &[u8; 36]) -> u64 {
    const FACTORS: [u64; 5] =
        [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63, 1];
    let (words, _) = text.as_chunks::<8>();
    let last = text.last_chunk::<8>().unwrap_or(&[0; 8]);
    let words = words.iter().chain([last]).map(|word| u64::from_le_bytes(*word));
    words.zip(FACTORS).fold(0, |hash, (word, factor)| hash ^ word.wrapping_mul(factor))
}

#[cold]
fn hash_of_any(text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish()
}

/// The instance id of a sub-orchestration that was given none.
#[must_use]
pub fn sub_orchestration_id(parent: &str, action_id: i32) -> String {
    format!("{parent}:{action_id:04x}")
}

#[cfg(test)]
mod tests {
    use super::{ExecutionMark, GuidSeed, sub_orchestration_id};
    use crate::time::Timestamp;

    #[test]
    fn task_execution_ids_are_those_of_recorded_turns() {
        let at = Timestamp::from_parts(1_795_360_446, 816_478_139);
        let seed = GuidSeed { at, count: 0 };
        assert_eq!(seed.text("ed1e6d73c25d4628829ac83e06ee64c4"), "506cdfb7-9326-54cc-ae86-2e1a38fb66ac");
    }

    #[test]
    fn execution_ids_that_differ_in_their_last_digit_are_told_apart() {
        let id = b"506cdfb7-9326-54cc-ae86-2e1a38fb66ac";
        let mut other = *id;
        other[35] = b'd';
        assert_eq!(ExecutionMark::of(id), ExecutionMark::of(&id.clone()));
        assert_ne!(ExecutionMark::of(id), ExecutionMark::of(&other));
        assert!(ExecutionMark::of(id).is_known() && !ExecutionMark::of(b"").is_known());
    }

    #[test]
    fn sub_orchestration_ids_count_in_at_least_four_hex_digits() {
        assert_eq!(sub_orchestration_id("parent", 10), "parent:000a");
        assert_eq!(sub_orchestration_id("parent", 0x12345), "parent:12345");
    }
}
