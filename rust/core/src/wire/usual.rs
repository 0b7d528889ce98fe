//! Fields as sidecars nearly always write them: in the order of their numbers, with keys of one byte and small lengths.
//!
//! What is read for every event is tried this way first. `None` says that the bytes look otherwise, which is no error:
//! then [`Reader`](super::Reader) reads them, in whatever order and size protobuf allows.

/// Takes the text, bytes or message under a key, shorter than 16 KiB, and moves on.
#[inline(always)]
#[allow(clippy::inline_always, reason = "every field of every event passes here")]
pub(super) fn bytes<'a>(rest: &mut &'a [u8], key: u8) -> Option<&'a [u8]> {
    let (length, after) = match *rest {
        [first, length @ 0x00..=0x7f, after @ ..] if *first == key => (usize::from(*length), after),
        [first, low, high @ 0x01..=0x7f, after @ ..] if *first == key => {
            (usize::from(low & 0x7f) | usize::from(*high) << 7, after)
        }
        _ => return None,
    };
    let (bytes, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

/// Takes the id of an event, the first field, and moves on. Most have none, which is -1.
#[inline(always)]
#[allow(clippy::inline_always, reason = "every event passes here")]
pub(super) fn event_id(rest: &mut &[u8]) -> Option<i32> {
    const NONE: [u8; 11] = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    if let Some((&first, after)) = rest.split_first_chunk::<11>()
        && first == NONE
    {
        *rest = after;
        return Some(-1);
    }
    number(rest, 0x08)
}

/// Takes the number under a key, if it is of up to three bytes, and moves on.
#[inline(always)]
#[allow(clippy::inline_always, reason = "every event passes here")]
pub(super) fn number(rest: &mut &[u8], key: u8) -> Option<i32> {
    let [first, after @ ..] = *rest else { return None };
    if *first != key {
        return None;
    }
    let (value, after) = match after {
        [low @ 0x00..=0x7f, after @ ..] => (i32::from(*low), after),
        [low, high @ 0x00..=0x7f, after @ ..] => (i32::from(low & 0x7f) | i32::from(*high) << 7, after),
        [low, middle, high @ 0x00..=0x7f, after @ ..] => {
            (i32::from(low & 0x7f) | i32::from(middle & 0x7f) << 7 | i32::from(*high) << 14, after)
        }
        _ => return None,
    };
    *rest = after;
    Some(value)
}

/// Takes any field of text, bytes or a message, with its number, and moves on.
#[inline(always)]
#[allow(clippy::inline_always, reason = "every event passes here")]
pub(super) fn any<'a>(rest: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let (key, value) = match *rest {
        [key @ 0x00..=0x7f, ..] => (u32::from(*key), *rest),
        [low, high @ 0x01..=0x7f, ..] => (u32::from(low & 0x7f) | u32::from(*high) << 7, &rest[1..]),
        _ => return None,
    };
    if key & 7 != 2 {
        return None;
    }
    // What is left begins with the last byte of the key.
    let mut after = value;
    let bytes = bytes(&mut after, *value.first()?)?;
    *rest = after;
    Some((key >> 3, bytes))
}

/// The only field of a message that wraps a value.
#[inline(always)]
#[allow(clippy::inline_always, reason = "every payload passes here")]
pub(super) fn only(message: &[u8], key: u8) -> Option<&[u8]> {
    let mut rest = message;
    bytes(&mut rest, key).filter(|_| rest.is_empty())
}

/// Microseconds since 1970 of a `google.protobuf.Timestamp` of the years 1978 to 3058.
#[inline]
pub(super) fn timestamp(message: &[u8]) -> Option<i64> {
    const MICROS: i64 = 1_000_000;
    let (&[0x08, seconds @ ..], rest) = message.split_first_chunk::<6>()? else { return None };
    let nanos = match rest.split_first() {
        None => 0,
        Some((0x10, nanos)) => match (nanos.first_chunk::<4>(), nanos.len()) {
            (Some(&nanos @ [.., 0x00..=0x7f]), 4) => {
                // As if a fifth byte said zero.
                five_bytes(u32::from_le_bytes(nanos) | 0x8000_0000, 0)?
            }
            (Some(&low), 5) => five_bytes(u32::from_le_bytes(low), nanos[4])?,
            _ => return None,
        },
        Some(_) => return None,
    };
    let [low @ .., last] = seconds;
    (nanos < 1_000 * MICROS).then_some(five_bytes(u32::from_le_bytes(low), last)? * MICROS + nanos / 1_000)
}

/// A number of exactly five bytes, the seven bits of each moved together by pairs, by fours, and the last to the four before.
#[inline]
fn five_bytes(low: u32, last: u8) -> Option<i64> {
    if low & 0x8080_8080 != 0x8080_8080 || last >= 0x80 {
        return None;
    }
    let bits = (low & 0x007f_007f) | (low & 0x7f00_7f00) >> 1;
    let bits = (bits & 0x0000_3fff) | (bits & 0x3fff_0000) >> 2;
    Some(i64::from(bits) | i64::from(last) << 28)
}

/// Passes over all fields of a key that follow one another, and counts them.
#[inline]
pub(super) fn run(rest: &mut &[u8], key: u8) -> usize {
    let mut count = 0;
    while bytes(rest, key).is_some() {
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::{bytes, event_id, number, run, timestamp};

    fn varint(mut value: u64) -> Vec<u8> {
        let mut encoded = Vec::new();
        while value > 0x7f {
            encoded.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        encoded.push(u8::try_from(value).unwrap());
        encoded
    }

    #[test]
    fn numbers_are_read_or_left_as_they_are() {
        for value in [-1_i64, 0, 1, 127, 128, 16_383, 16_384, 2_097_151] {
            let mut field = vec![0x08];
            field.extend(varint(value.cast_unsigned()));
            field.extend([7, 7]);
            let mut rest = field.as_slice();
            assert_eq!(event_id(&mut rest).map(i64::from), Some(value));
            assert_eq!(rest, [7, 7]);
            let mut rest = field.as_slice();
            assert_eq!(number(&mut rest, 0x08).map(i64::from), (value >= 0).then_some(value));
        }
        for value in [2_097_152_i64, -2, i64::MAX] {
            let mut field = vec![0x08];
            field.extend(varint(value.cast_unsigned()));
            let mut rest = field.as_slice();
            assert_eq!(event_id(&mut rest), None);
            assert_eq!(rest, field);
        }
    }

    #[test]
    fn fields_are_taken_up_to_sixteen_kibibytes() {
        for length in [0_usize, 1, 127, 128, 16_383] {
            let mut field = vec![0x12];
            field.extend(varint(length as u64));
            field.extend(vec![b'a'; length]);
            field.push(7);
            let mut rest = field.as_slice();
            assert_eq!(bytes(&mut rest, 0x12).map(<[u8]>::len), Some(length));
            assert_eq!(rest, [7]);
            let short = &field[..field.len() - 2];
            let mut rest = short;
            assert!(length == 0 || bytes(&mut rest, 0x12).is_none(), "{length} bytes, one of them missing");
        }
        let mut other = [0x1a, 1, b'a'].as_slice();
        assert_eq!(bytes(&mut other, 0x12), None);
        assert_eq!(other.len(), 3);
    }

    #[test]
    fn points_in_time_are_read_or_left_as_they_are() {
        let message = |seconds: u64, nanos: u64| {
            let mut message = vec![0x08];
            message.extend(varint(seconds));
            if nanos > 0 {
                message.push(0x10);
                message.extend(varint(nanos));
            }
            message
        };
        for seconds in [1 << 28, 1_767_225_600, 0x1_2345_6789, (1 << 35) - 1] {
            for nanos in [0, 2_097_152, 1 << 27, 123_456_789, (1 << 28) - 1, 1 << 28, 999_999_999] {
                let micros = i64::try_from(seconds * 1_000_000 + nanos / 1_000).unwrap();
                assert_eq!(timestamp(&message(seconds, nanos)), Some(micros), "{seconds} s, {nanos} ns");
            }
        }
        for (seconds, nanos) in
            [(1 << 27, 0), (1 << 35, 0), (1 << 30, 5), (1 << 30, 1_000_000_000), (1 << 30, u64::MAX)]
        {
            assert_eq!(timestamp(&message(seconds, nanos)), None, "{seconds} s, {nanos} ns");
        }
        let mut followed = message(1 << 30, 0);
        followed.push(0x18);
        assert_eq!(timestamp(&followed), None);
    }

    #[test]
    fn a_run_ends_where_another_field_begins() {
        let mut rest = [0x1a, 1, b'a', 0x1a, 0, 0x22, 0].as_slice();
        assert_eq!(run(&mut rest, 0x1a), 2);
        assert_eq!(rest, [0x22, 0]);
    }
}
