//! Reads protobuf fields one after the other from borrowed bytes, and says where they stop making sense.

use std::fmt;

use super::usual;

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

    /// The place of a part of these bytes. Nothing at all may lie elsewhere, and be anywhere: nobody asks where nothing is.
    #[inline]
    pub(super) fn part(self, part: &'a [u8]) -> Self {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        Self { bytes: part, offset: self.offset.wrapping_add(offset) }
    }

    /// The bytes as text.
    #[inline]
    pub fn text(self) -> Result<&'a str, Corrupt> {
        str::from_utf8(self.bytes)
            .map_err(|error| Corrupt { offset: self.offset + error.valid_up_to(), problem: Problem::NotUtf8 })
    }

    /// The text inside a `google.protobuf.StringValue`, not yet checked to be text; empty text counts as none, as it does
    /// for every payload.
    #[inline]
    pub fn string_value(self) -> Result<Option<Span<'a>>, Corrupt> {
        const VALUE: Key = bytes_key(1);
        if let Some(value) = usual::only(self.bytes, 0x0a) {
            return Ok(if value.is_empty() { None } else { Some(self.part(value)) });
        }
        let mut value = Span::default();
        let mut reader = Reader::new(self);
        while let Some(key) = reader.key()? {
            match key {
                VALUE => value = reader.span()?,
                other => reader.skip(other, &[1])?,
            }
        }
        Ok(if value.bytes.is_empty() { None } else { Some(value) })
    }

    /// The same, checked.
    pub fn string_value_text(self) -> Result<Option<&'a str>, Corrupt> {
        self.string_value()?.map(Span::text).transpose()
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
///
/// What is read for every event matches on [`key`](Self::key) and takes the value that the key announces; all else goes
/// from field to field with [`next`](Self::next).
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Where the message ends, counted from the start of the request.
    end: usize,
}

/// The key of a field: its number and its wire type, as they stand on the wire.
pub(super) type Key = u32;

/// The key of a number, an enum or a bool.
pub(super) const fn varint_key(number: u32) -> Key {
    number << 3
}

/// The key of text, bytes or a message.
pub(super) const fn bytes_key(number: u32) -> Key {
    number << 3 | 2
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `span`.
    #[inline]
    #[must_use]
    pub fn new(span: Span<'a>) -> Self {
        Self { rest: span.bytes, end: span.offset + span.bytes.len() }
    }

    /// Where the next field begins, counted from the start of the request.
    #[inline]
    #[must_use]
    pub fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    /// What is left of the message.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes over some bytes; past the end, there is nothing left.
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Passes over the fields under a key of one byte that follow one another, as far as they are short; returns how many.
    #[inline]
    pub(super) fn pass_run(&mut self, key: u8) -> usize {
        usual::run(&mut self.rest, key)
    }

    /// The next field, if it is short and under this key of one byte.
    #[inline]
    pub(super) fn usual_span(&mut self, key: u8) -> Option<Span<'a>> {
        let bytes = usual::bytes(&mut self.rest, key)?;
        Some(Span { bytes, offset: self.offset() - bytes.len() })
    }

    /// The next field and its number, or `None` at the end of the message.
    #[inline]
    #[allow(clippy::should_implement_trait, reason = "an iterator would wrap the error in an option in a result")]
    pub fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, Corrupt> {
        let Some(key) = self.key()? else { return Ok(None) };
        let field = match key & 7 {
            0 => {
                let offset = self.offset();
                Field::Varint(self.varint()?, offset)
            }
            2 => Field::Span(self.span()?),
            1 => Field::Fixed(self.take(8)?.offset),
            5 => Field::Fixed(self.take(4)?.offset),
            #[allow(clippy::cast_possible_truncation, reason = "three bits")]
            other => return Err(self.corrupt(Problem::WireType(other as u8))),
        };
        Ok(Some((key >> 3, field)))
    }

    /// The next field's key, or `None` at the end of the message. Its value has to be taken next.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "every field of every event passes here")]
    pub(super) fn key(&mut self) -> Result<Option<Key>, Corrupt> {
        match self.rest {
            [] => Ok(None),
            [key @ 0x08..=0x7f, rest @ ..] => {
                self.rest = rest;
                Ok(Some(Key::from(*key)))
            }
            [low @ 0x80..=0xff, high @ 0x01..=0x7f, rest @ ..] => {
                self.rest = rest;
                Ok(Some(Key::from(low & 0x7f) | Key::from(*high) << 7))
            }
            _ => self.any_key().map(Some),
        }
    }

    #[cold]
    fn any_key(&mut self) -> Result<Key, Corrupt> {
        let key = self.any_varint()?;
        match u32::try_from(key) {
            Ok(key) if key >> 3 != 0 => Ok(key),
            _ => Err(self.corrupt(Problem::FieldNumber)),
        }
    }

    /// Passes over the value under a key that the caller does not read. A field that it does read, `numbers`, has another
    /// wire type then.
    #[cold]
    pub(super) fn skip(&mut self, key: Key, numbers: &[u32]) -> Result<(), Corrupt> {
        let number = key >> 3;
        if matches!(key & 7, 0 | 1 | 2 | 5) && numbers.contains(&number) {
            return Err(mismatch(self.offset(), number));
        }
        match key & 7 {
            0 => self.varint().map(drop),
            2 => self.span().map(drop),
            1 => self.take(8).map(drop),
            5 => self.take(4).map(drop),
            #[allow(clippy::cast_possible_truncation, reason = "three bits")]
            other => Err(self.corrupt(Problem::WireType(other as u8))),
        }
    }

    /// Text, bytes or a message.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "every field of every event passes here")]
    pub fn span(&mut self) -> Result<Span<'a>, Corrupt> {
        // Most are short.
        if let [length @ 0x00..=0x7f, rest @ ..] = self.rest
            && let Some((bytes, rest)) = rest.split_at_checked(usize::from(*length))
        {
            let offset = self.end - rest.len() - bytes.len();
            self.rest = rest;
            return Ok(Span { bytes, offset });
        }
        self.long_span()
    }

    fn long_span(&mut self) -> Result<Span<'a>, Corrupt> {
        let length = self.varint()?;
        self.take(length)
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<Span<'a>, Corrupt> {
        let offset = self.offset();
        match usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(Span { bytes, offset })
            }
            None => Err(self.corrupt(Problem::Truncated)),
        }
    }

    /// A number as an `int32`, which the wire carries sign-extended to 64 bits.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "every event passes here")]
    pub fn int32(&mut self) -> Result<i32, Corrupt> {
        #[allow(clippy::cast_possible_truncation, reason = "protobuf defines int32 as the low 32 bits")]
        self.varint().map(|value| value as i32)
    }

    /// A number.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "every event passes here")]
    pub fn varint(&mut self) -> Result<u64, Corrupt> {
        if let [byte @ 0x00..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    /// A number of more than one byte. Those of up to eight bytes are read at once, and so is -1, which has ten and stands
    /// in most events.
    #[inline]
    fn long_varint(&mut self) -> Result<u64, Corrupt> {
        const CONTINUES: u64 = 0x8080_8080_8080_8080;
        let Some((&bytes, rest)) = self.rest.split_first_chunk::<10>() else {
            return self.any_varint();
        };
        let [first @ .., ninth, tenth] = bytes;
        let word = u64::from_le_bytes(first);
        if word == u64::MAX && ninth == 0xff && tenth == 0x01 {
            self.rest = rest;
            return Ok(u64::MAX);
        }
        let ends = !word & CONTINUES;
        if ends == 0 {
            return self.any_varint();
        }
        self.pass(ends.trailing_zeros() as usize / 8 + 1);
        // Bits of the last byte and those before it, then the seven of each byte moved together, by pairs, by fours, by eights.
        let bits = word & (ends ^ (ends - 1)) & !CONTINUES;
        let bits = (bits & 0x007f_007f_007f_007f) | (bits & 0x7f00_7f00_7f00_7f00) >> 1;
        let bits = (bits & 0x0000_3fff_0000_3fff) | (bits & 0x3fff_0000_3fff_0000) >> 2;
        Ok((bits & 0x0000_0000_0fff_ffff) | (bits & 0x0fff_ffff_0000_0000) >> 4)
    }

    #[cold]
    fn any_varint(&mut self) -> Result<u64, Corrupt> {
        let mut value = 0_u64;
        for shift in 0..10 {
            let [byte, rest @ ..] = self.rest else {
                return Err(self.corrupt(Problem::Truncated));
            };
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.corrupt(Problem::VarintTooLong))
    }

    #[cold]
    fn corrupt(&self, problem: Problem) -> Corrupt {
        Corrupt { offset: self.offset(), problem }
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
                assert_eq!(reader.offset(), encoded.len(), "{number} with {padding} bytes after it");
            }
        }
    }
}
