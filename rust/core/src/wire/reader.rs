//! Reads protobuf fields one after the other from borrowed bytes, and says where they stop making sense.

use std::fmt;

/// Bytes of one length-delimited field, with their place in the whole request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span<'a> {
    /// The bytes themselves.
    pub bytes: &'a [u8],
    /// Where they begin, counted from the start of the outermost message.
    pub offset: usize,
}

impl<'a> Span<'a> {
    /// The whole of `bytes`, counted from zero.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// The bytes as text.
    #[inline]
    pub fn text(self) -> Result<&'a str, Corrupt> {
        str::from_utf8(self.bytes)
            .map_err(|error| Corrupt { offset: self.offset + error.valid_up_to(), problem: Problem::NotUtf8 })
    }

    /// The text inside a `google.protobuf.StringValue`; empty text counts as none, as it does for every payload.
    #[inline]
    pub fn string_value(self) -> Result<Option<&'a str>, Corrupt> {
        let mut value = None;
        let mut reader = Reader::new(self);
        while let Some((number, field)) = reader.next()? {
            if number == 1 {
                value = Some(field.span(number)?);
            }
        }
        match value {
            Some(span) if !span.bytes.is_empty() => span.text().map(Some),
            _ => Ok(None),
        }
    }
}

/// What makes bytes unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The message ends in the middle of a field.
    Truncated,
    /// A number has more bytes than any number can have.
    VarintTooLong,
    /// A wire type that protobuf 3 does not use.
    WireType(u8),
    /// Field number zero, or one above protobuf's limit.
    FieldNumber,
    /// A field has another wire type than its declaration gives it.
    Mismatch(u32),
    /// A string is not UTF-8.
    NotUtf8,
}

/// Bytes that are no message of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Corrupt {
    /// Where reading stopped, counted from the start of the request.
    pub offset: usize,
    /// Why.
    pub problem: Problem,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.offset;
        match self.problem {
            Problem::Truncated => write!(f, "the message ends inside a field at byte {at}"),
            Problem::VarintTooLong => write!(f, "a number at byte {at} is longer than ten bytes"),
            Problem::WireType(t) => write!(f, "unknown wire type {t} at byte {at}"),
            Problem::FieldNumber => write!(f, "impossible field number at byte {at}"),
            Problem::Mismatch(n) => {
                write!(f, "field {n} at byte {at} has a wire type that does not fit its declaration")
            }
            Problem::NotUtf8 => write!(f, "text at byte {at} is not UTF-8"),
        }
    }
}

/// One field's value.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// A varint, every integer, enum and bool of this protocol, and where it begins.
    Varint(u64, usize),
    /// Text, bytes or a message.
    Span(Span<'a>),
    /// Eight or four bytes of fixed width; the protocol has none, so they are only skipped.
    Fixed(usize),
}

impl<'a> Field<'a> {
    /// The field as a number.
    #[inline]
    pub fn varint(self, number: u32) -> Result<u64, Corrupt> {
        match self {
            Field::Varint(value, _) => Ok(value),
            Field::Span(Span { offset, .. }) | Field::Fixed(offset) => Err(mismatch(offset, number)),
        }
    }

    /// The field as an `int32`, which the wire carries sign-extended to 64 bits.
    #[inline]
    pub fn int32(self, number: u32) -> Result<i32, Corrupt> {
        #[allow(clippy::cast_possible_truncation, reason = "protobuf defines int32 as the low 32 bits")]
        self.varint(number).map(|value| value as i32)
    }

    /// The field as an `int64`.
    #[inline]
    pub fn int64(self, number: u32) -> Result<i64, Corrupt> {
        #[allow(clippy::cast_possible_wrap, reason = "protobuf defines int64 as these bits")]
        self.varint(number).map(|value| value as i64)
    }

    /// The field as text, bytes or a message.
    #[inline]
    pub fn span(self, number: u32) -> Result<Span<'a>, Corrupt> {
        match self {
            Field::Span(span) => Ok(span),
            Field::Varint(_, offset) | Field::Fixed(offset) => Err(mismatch(offset, number)),
        }
    }
}

fn mismatch(offset: usize, number: u32) -> Corrupt {
    Corrupt { offset, problem: Problem::Mismatch(number) }
}

/// Walks over the fields of one message.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    base: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `span`.
    #[inline]
    #[must_use]
    pub fn new(span: Span<'a>) -> Self {
        Self { bytes: span.bytes, position: 0, base: span.offset }
    }

    /// Where the next field begins, counted from the start of this message.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Goes on at another place of this message; past its end, there is nothing left.
    pub(crate) fn move_to(&mut self, position: usize) {
        self.position = position;
    }

    /// The next field and its number, or `None` at the end of the message.
    #[inline(always)]
    #[allow(clippy::should_implement_trait, reason = "an iterator would wrap the error in an option in a result")]
    #[allow(
        clippy::inline_always,
        reason = "every field of every event passes here; out of line it costs a tenth more"
    )]
    pub fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, Corrupt> {
        let Some(rest) = self.bytes.get(self.position..) else { return Ok(None) };
        // Most fields are short text or messages, with a key and a length of one byte each.
        if let [key @ 0x08..=0x7f, length @ 0x00..=0x7f, rest @ ..] = rest
            && key & 7 == 2
            && let Some(bytes) = rest.get(..usize::from(*length))
        {
            let start = self.position + 2;
            self.position = start + bytes.len();
            return Ok(Some((u32::from(key >> 3), Field::Span(Span { bytes, offset: self.base + start }))));
        }
        if rest.is_empty() { Ok(None) } else { self.any_next().map(Some) }
    }

    fn any_next(&mut self) -> Result<(u32, Field<'a>), Corrupt> {
        let key = self.varint()?;
        let Ok(number @ 1..=0x1fff_ffff) = u32::try_from(key >> 3) else {
            return Err(self.corrupt(Problem::FieldNumber));
        };
        let field = match key & 7 {
            0 => {
                let offset = self.base + self.position;
                Field::Varint(self.varint()?, offset)
            }
            2 => {
                let length = self.varint()?;
                Field::Span(self.take(length)?)
            }
            1 => Field::Fixed(self.take(8)?.offset),
            5 => Field::Fixed(self.take(4)?.offset),
            #[allow(clippy::cast_possible_truncation, reason = "three bits")]
            other => return Err(self.corrupt(Problem::WireType(other as u8))),
        };
        Ok((number, field))
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "part of `next`")]
    fn take(&mut self, length: u64) -> Result<Span<'a>, Corrupt> {
        let start = self.position;
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        match end.and_then(|end| self.bytes.get(start..end)) {
            Some(bytes) => {
                self.position = start + bytes.len();
                Ok(Span { bytes, offset: self.base + start })
            }
            None => Err(self.corrupt(Problem::Truncated)),
        }
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "part of `next`")]
    fn varint(&mut self) -> Result<u64, Corrupt> {
        // Most numbers and all keys below field 16 have one byte.
        match self.bytes.get(self.position) {
            Some(&byte) if byte < 0x80 => {
                self.position += 1;
                Ok(u64::from(byte))
            }
            Some(_) => self.long_varint(),
            None => Err(self.corrupt(Problem::Truncated)),
        }
    }

    /// A number of more than one byte. Those of up to eight bytes are read at once, and so is -1, which has ten and stands
    /// in most events.
    #[inline]
    fn long_varint(&mut self) -> Result<u64, Corrupt> {
        const CONTINUES: u64 = 0x8080_8080_8080_8080;
        let Some(&bytes) = self.bytes.get(self.position..).and_then(<[u8]>::first_chunk::<10>) else {
            return self.any_varint();
        };
        let [first @ .., ninth, tenth] = bytes;
        let word = u64::from_le_bytes(first);
        let ends = !word & CONTINUES;
        if ends == 0 {
            if word == u64::MAX && ninth == 0xff && tenth == 0x01 {
                self.position += 10;
                return Ok(u64::MAX);
            }
            return self.any_varint();
        }
        self.position += ends.trailing_zeros() as usize / 8 + 1;
        // Bits of the last byte and those before it, then the seven of each byte moved together, by pairs, by fours, by eights.
        let bits = word & (ends ^ (ends - 1)) & !CONTINUES;
        let bits = (bits & 0x007f_007f_007f_007f) | (bits & 0x7f00_7f00_7f00_7f00) >> 1;
        let bits = (bits & 0x0000_3fff_0000_3fff) | (bits & 0x3fff_0000_3fff_0000) >> 2;
        Ok((bits & 0x0000_0000_0fff_ffff) | (bits & 0x0fff_ffff_0000_0000) >> 4)
    }

    fn any_varint(&mut self) -> Result<u64, Corrupt> {
        let mut value = 0_u64;
        for shift in 0..10 {
            let Some(&byte) = self.bytes.get(self.position) else {
                return Err(self.corrupt(Problem::Truncated));
            };
            self.position += 1;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.corrupt(Problem::VarintTooLong))
    }

    #[cold]
    fn corrupt(&self, problem: Problem) -> Corrupt {
        Corrupt { offset: self.base + self.position, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Span};

    #[test]
    fn numbers_of_every_length_are_read_alike_with_and_without_bytes_after_them() {
        let numbers =
            (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1, u64::MAX << bit, 0x9e37_79b9_7f4a_7c15 >> bit]);
        for number in numbers {
            let mut encoded = Vec::new();
            let mut left = number;
            while left > 0x7f {
                encoded.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
                left >>= 7;
            }
            encoded.push(u8::try_from(left).unwrap());
            for padding in [0, 16] {
                let mut bytes = encoded.clone();
                bytes.resize(encoded.len() + padding, 0xff);
                let mut reader = Reader::new(Span::whole(&bytes));
                assert_eq!(reader.varint(), Ok(number));
                assert_eq!(reader.position(), encoded.len(), "{number} with {padding} bytes after it");
            }
        }
    }
}
