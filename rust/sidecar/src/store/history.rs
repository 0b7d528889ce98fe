//! Committed histories: one row for each turn, appended and never rewritten.

use durabletask_proto::history_event::EventType;
use durabletask_proto::{ExecutionStartedEvent, HistoryEvent};
use rusqlite::{OptionalExtension, params};

use super::{Key, Result, Store};
use crate::wire::{Frames, decode_history};

impl Store {
    /// Appends `count` encoded events behind the `first` ones.
    pub(crate) fn append_history(&self, key: Key, first: u32, count: u32, events: &[u8]) -> Result<()> {
        self.connection
            .prepare_cached("INSERT INTO history (instance, first, count, events) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![key, first, count, events])?;
        Ok(())
    }

    pub(crate) fn delete_history(&self, key: Key) -> Result<()> {
        self.connection.prepare_cached("DELETE FROM history WHERE instance = ?1")?.execute([key])?;
        Ok(())
    }

    pub(crate) fn history(&self, key: Key) -> Result<Frames> {
        let mut frames = Frames::default();
        let mut statement =
            self.connection.prepare_cached("SELECT events FROM history WHERE instance = ?1 ORDER BY first")?;
        let mut rows = statement.query([key])?;
        while let Some(row) = rows.next()? {
            frames.append(row.get_ref(0)?.as_blob()?);
        }
        Ok(frames)
    }

    /// The events behind the first `seen` ones, or the next so many bytes of them, and how many have been seen then. They
    /// come by whole turns.
    pub(crate) fn history_after(&self, key: Key, seen: u32, bytes: usize) -> Result<(Vec<u8>, u32)> {
        let mut statement = self.connection.prepare_cached(
            "SELECT events, first + count FROM history WHERE instance = ?1 AND first >= ?2 ORDER BY first",
        )?;
        let mut rows = statement.query(params![key, seen])?;
        let (mut frames, mut next) = (Vec::new(), seen);
        while let Some(row) = rows.next()?
            && frames.len() < bytes
        {
            frames.extend_from_slice(row.get_ref(0)?.as_blob()?);
            next = row.get(1)?;
        }
        Ok((frames, next))
    }

    /// How many events are committed.
    pub(crate) fn history_count(&self, key: Key) -> Result<u32> {
        let count = self
            .connection
            .prepare_cached("SELECT first + count FROM history WHERE instance = ?1 ORDER BY first DESC LIMIT 1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        Ok(count.unwrap_or(0))
    }

    /// How the current execution was started, with its input: from its history, or from the inbox if it has yet to run.
    pub(crate) fn execution_started(&self, key: Key) -> Result<Option<ExecutionStartedEvent>> {
        let mut statement =
            self.connection.prepare_cached("SELECT events FROM history WHERE instance = ?1 ORDER BY first")?;
        let mut rows = statement.query([key])?;
        while let Some(row) = rows.next()? {
            let events = decode_history(row.get_ref(0)?.as_blob()?).unwrap_or_default();
            if let Some(start) = events.into_iter().find_map(as_start) {
                return Ok(Some(start));
            }
        }
        Ok(self.first_event(key)?.and_then(as_start))
    }
}

fn as_start(event: HistoryEvent) -> Option<ExecutionStartedEvent> {
    match event.event_type {
        Some(EventType::ExecutionStarted(start)) => Some(start),
        _ => None,
    }
}
