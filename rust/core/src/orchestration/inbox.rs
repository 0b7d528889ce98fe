//! External events that arrived before anybody waited for them.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::room::Roomy;

/// The JSON of an external event that arrived before somebody waited for it.
pub type Payload = Option<Box<str>>;

/// Such events by name, first in, first out. What they take is counted as they come and go: the question is asked after
/// every turn, and there may be a hundred thousand of them, or as many names.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    names: FxHashMap<Box<str>, Buffered>,
    ever: u64,
    bytes: usize,
}

/// Events of one name.
#[derive(Debug)]
struct Buffered {
    /// How many events were buffered before the first of these: the order in which names are carried over.
    since: u64,
    payloads: VecDeque<Payload>,
}

/// What an event takes beside its payload's text: its place in the queue, and the room that a queue keeps for more.
const EVENT_BYTES: usize = 2 * size_of::<Payload>();

fn bytes_of(payload: &Payload) -> usize {
    EVENT_BYTES + payload.as_ref().map_or(0, |payload| payload.len())
}

impl Inbox {
    /// Keeps an event under a folded name.
    pub(crate) fn push(&mut self, name: &str, payload: Payload) {
        self.bytes += bytes_of(&payload);
        let since = self.ever;
        self.ever += 1;
        if let Some(buffered) = self.names.get_mut(name) {
            buffered.payloads.push_back(payload);
        } else {
            self.bytes += name.len();
            let buffered = Buffered { since, payloads: VecDeque::from([payload]) };
            self.names.insert(name.into(), buffered);
        }
    }

    /// Takes the oldest event of a folded name.
    #[inline]
    pub(crate) fn take(&mut self, name: &str) -> Option<Payload> {
        if self.names.is_empty() {
            return None;
        }
        let buffered = self.names.get_mut(name)?;
        let payload = buffered.payloads.pop_front()?;
        self.bytes -= bytes_of(&payload);
        if buffered.payloads.is_empty() {
            self.names.remove(name);
            self.bytes -= name.len();
        }
        Some(payload)
    }

    /// All events, grouped by name, the names in the order of their oldest event.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&str, &Payload)> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(_, buffered)| buffered.since);
        names.into_iter().flat_map(|(name, buffered)| buffered.payloads.iter().map(|payload| (&**name, payload)))
    }
}

impl Roomy for Inbox {
    fn shrink(&mut self) {
        self.names.shrink();
    }

    fn bytes(&self) -> usize {
        self.names.bytes() + self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Inbox;
    use crate::room::Roomy;

    #[test]
    fn what_is_counted_for_events_is_gone_when_they_are() {
        let mut inbox = Inbox::default();
        for number in 0..1_000 {
            inbox.push(&format!("name-{}", number % 100), Some("x".repeat(number).into()));
        }
        assert!(inbox.bytes() > 999 * 500);
        for number in 0..1_000 {
            let payload = inbox.take(&format!("name-{}", number % 100)).unwrap().unwrap();
            assert_eq!(payload.len(), number);
        }
        assert_eq!(inbox.take("name-0"), None);
        assert_eq!(inbox.bytes, 0);
    }

    #[test]
    fn names_are_told_in_the_order_of_their_oldest_event() {
        let mut inbox = Inbox::default();
        for (name, payload) in [("b", "1"), ("a", "2"), ("b", "3"), ("c", "4")] {
            inbox.push(name, Some(payload.into()));
        }
        inbox.take("b");
        inbox.push("a", None);
        let told: Vec<_> = inbox.events().map(|(name, payload)| (name, payload.as_deref())).collect();
        assert_eq!(told, [("b", Some("3")), ("a", Some("2")), ("a", None), ("c", Some("4"))]);
    }
}
