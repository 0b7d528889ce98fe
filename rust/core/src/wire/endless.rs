//! The timer that stands for a wait without an end, as the engines of Dapr's SDK since 1.18 create it.

use super::event::read_parts;
use super::reader::{Corrupt, Reader, Span};

/// When a timer fires that stands for a wait without an end, as seconds and nanoseconds: the last moment that there is.
pub(crate) const NEVER: (i64, i32) = (253_402_300_799, 999_999_999);

/// Whether a `TimerCreatedEvent` is about such a timer. The sidecars before Dapr 1.18 left out what a timer is for.
pub(crate) fn is_endless_wait(body: Span<'_>) -> Result<bool, Corrupt> {
    const ORIGINS: std::ops::RangeInclusive<u32> = 4..=7;
    const EXTERNAL_EVENT: u32 = 5;
    let (mut never, mut origin) = (false, None);
    let mut reader = Reader::new(body);
    while let Some((number, field)) = reader.next()? {
        if number == 1 {
            never = read_parts(field.span(number)?)? == NEVER;
        } else if ORIGINS.contains(&number) {
            origin = Some(number);
        }
    }
    Ok(never && origin.is_none_or(|origin| origin == EXTERNAL_EVENT))
}
