//! Activities that were scheduled and have no result yet.

use bytes::Bytes;
use durabletask_proto::HistoryEvent;
use durabletask_proto::history_event::EventType;
use durabletask_proto::prost::Message;
use rusqlite::{OptionalExtension, params};

use super::{Key, Result, Store};

/// An activity to run.
#[derive(Debug, Clone)]
pub(crate) struct ActivityRow {
    pub(crate) key: Key,
    /// The execution that asked for it.
    pub(crate) execution_id: Option<String>,
    /// Its encoded `taskScheduled`.
    pub(crate) event: Bytes,
}

impl Store {
    pub(crate) fn add_activity(
        &mut self,
        key: Key,
        execution_id: Option<&str>,
        name: &str,
        event: &[u8],
    ) -> Result<i64> {
        let sequence = self.sequence();
        self.connection
            .prepare_cached(
                "INSERT INTO activities (sequence, instance, execution, name, event) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![sequence, key, execution_id, name, event])?;
        Ok(sequence)
    }

    pub(crate) fn activity(&self, sequence: i64) -> Result<Option<ActivityRow>> {
        Ok(self
            .connection
            .prepare_cached("SELECT instance, execution, event FROM activities WHERE sequence = ?1")?
            .query_row([sequence], |row| {
                let event: Vec<u8> = row.get(2)?;
                Ok(ActivityRow { key: row.get(0)?, execution_id: row.get(1)?, event: event.into() })
            })
            .optional()?)
    }

    /// Whether it was there.
    pub(crate) fn remove_activity(&self, sequence: i64) -> Result<bool> {
        let removed =
            self.connection.prepare_cached("DELETE FROM activities WHERE sequence = ?1")?.execute([sequence])?;
        Ok(removed > 0)
    }

    /// Those of an instance, which it has no more use for; returns which they were.
    pub(crate) fn remove_activities(&self, key: Key) -> Result<Vec<i64>> {
        Ok(self
            .connection
            .prepare_cached("DELETE FROM activities WHERE instance = ?1 RETURNING sequence")?
            .query_map([key], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?)
    }

    /// All of them and their names, in the order of their scheduling.
    pub(crate) fn pending_activities(&self) -> Result<Vec<(i64, String)>> {
        Ok(self
            .connection
            .prepare("SELECT sequence, name, CASE WHEN name IS NULL THEN event END FROM activities ORDER BY sequence")?
            .query_map([], |row| {
                let name: Option<String> = row.get(1)?;
                let event: Option<Vec<u8>> = row.get(2)?;
                Ok((row.get(0)?, name.or_else(|| task_name(&event?)).unwrap_or_default()))
            })?
            .collect::<rusqlite::Result<_>>()?)
    }
}

fn task_name(event: &[u8]) -> Option<String> {
    match HistoryEvent::decode(event).ok()?.event_type? {
        EventType::TaskScheduled(task) => Some(task.name),
        _ => None,
    }
}
