//! Activities that were scheduled and have no result yet.

use bytes::Bytes;
use durabletask_proto::HistoryEvent;
use durabletask_proto::history_event::EventType;
use durabletask_proto::prost::Message;
use rusqlite::{OptionalExtension, params};

use super::{Handed, Holder, Key, Result, Store};

/// An activity to run.
#[derive(Debug, Clone)]
pub(crate) struct ActivityRow {
    pub(crate) key: Key,
    /// The execution that asked for it.
    pub(crate) execution_id: Option<String>,
    /// Its encoded `taskScheduled`.
    pub(crate) event: Bytes,
    /// With which scope it is shown histories, if it is.
    pub(crate) shown: Option<i32>,
}

impl Store {
    pub(crate) fn add_activity(
        &mut self,
        key: Key,
        execution_id: Option<&str>,
        name: &str,
        event: &[u8],
        handed: Option<&Handed>,
    ) -> Result<i64> {
        let sequence = self.sequence();
        self.connection
            .prepare_cached(
                "INSERT INTO activities (sequence, instance, execution, name, event, shown)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![sequence, key, execution_id, name, event, handed.map(|handed| handed.scope)])?;
        if let Some(handed) = handed {
            self.show(Holder::Activity(sequence), &handed.parts)?;
        }
        Ok(sequence)
    }

    pub(crate) fn activity(&self, sequence: i64) -> Result<Option<ActivityRow>> {
        Ok(self
            .connection
            .prepare_cached("SELECT instance, execution, event, shown FROM activities WHERE sequence = ?1")?
            .query_row([sequence], |row| {
                let event: Vec<u8> = row.get(2)?;
                let (key, execution_id, shown) = (row.get(0)?, row.get(1)?, row.get(3)?);
                Ok(ActivityRow { key, execution_id, event: event.into(), shown })
            })
            .optional()?)
    }

    /// Whether it was there.
    pub(crate) fn remove_activity(&self, sequence: i64) -> Result<bool> {
        let removed: Option<Option<i32>> = self
            .connection
            .prepare_cached("DELETE FROM activities WHERE sequence = ?1 RETURNING shown")?
            .query_row([sequence], |row| row.get(0))
            .optional()?;
        if let Some(Some(_)) = removed {
            self.stop_showing(Holder::Activity(sequence))?;
        }
        Ok(removed.is_some())
    }

    /// Those of an instance, which it has no more use for; returns which they were.
    pub(crate) fn remove_activities(&self, key: Key) -> Result<Vec<i64>> {
        let removed: Vec<(i64, Option<i32>)> = self
            .connection
            .prepare_cached("DELETE FROM activities WHERE instance = ?1 RETURNING sequence, shown")?
            .query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (sequence, _) in removed.iter().filter(|(_, shown)| shown.is_some()) {
            self.stop_showing(Holder::Activity(*sequence))?;
        }
        Ok(removed.into_iter().map(|(sequence, _)| sequence).collect())
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
