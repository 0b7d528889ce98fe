//! A borrowed view of a message's top-level fields, for messages too large to be decoded only to be looked at.

use durabletask_proto::prost::DecodeError;
use durabletask_proto::prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// The fields of an encoded message, in the order in which they stand there; ends after the first error.
pub(super) struct Fields<'a> {
    message: &'a [u8],
    rest: &'a [u8],
}

pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Value<'a>,
}

pub(super) enum Value<'a> {
    Varint(u64),
    /// A string, bytes, or an embedded message.
    Bytes(&'a [u8]),
    /// Fixed-width numbers and groups: nothing in this protocol has them.
    Other,
}

/// What is wrong, and how many bytes into the message.
#[derive(Debug)]
pub(super) struct WireError {
    pub(super) offset: usize,
    pub(super) problem: String,
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { message, rest: message }
    }

    fn read(&mut self) -> Result<Field<'a>, DecodeError> {
        let (number, wire_type) = decode_key(&mut self.rest)?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(decode_varint(&mut self.rest)?),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut self.rest)?;
                let (bytes, rest) = usize::try_from(length)
                    .ok()
                    .and_then(|length| self.rest.split_at_checked(length))
                    .ok_or_else(|| truncated(number, length, self.rest.len()))?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            other => {
                skip_field(other, number, &mut self.rest, DecodeContext::default())?;
                Value::Other
            }
        };
        Ok(Field { number, value })
    }
}

#[allow(deprecated, reason = "the only way to make a DecodeError, whose text is what the others look like")]
fn truncated(number: u32, length: u64, left: usize) -> DecodeError {
    DecodeError::new(format!("field {number} announces {length} bytes, {left} are left"))
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.message.len() - self.rest.len();
        Some(self.read().map_err(|error| {
            self.rest = &[];
            WireError { offset, problem: error.to_string() }
        }))
    }
}

impl<'a> Value<'a> {
    pub(super) fn bytes(&self) -> Result<&'a [u8], String> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint(_) | Value::Other => Err("expected bytes, found a number".to_owned()),
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|error| error.to_string())
    }

    /// The text of an embedded `google.protobuf.StringValue`.
    pub(super) fn wrapped_text(&self) -> Result<&'a str, String> {
        let mut text = "";
        for field in Fields::of(self.bytes()?) {
            let field = field.map_err(|error| error.problem)?;
            if field.number == 1 {
                text = field.value.text()?;
            }
        }
        Ok(text)
    }

    pub(super) fn int32(&self) -> Result<i32, String> {
        match self {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "protobuf's rule for int32: the low 32 bits of the varint"
            )]
            Value::Varint(value) => Ok(*value as i32),
            Value::Bytes(_) | Value::Other => Err("expected a number, found bytes".to_owned()),
        }
    }
}
