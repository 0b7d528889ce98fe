//! Durable timers and scheduled starts, ordered by when they are due. They live in the database alone: a million of
//! them that fire next month cost no memory.

use bytes::Bytes;
use rusqlite::params;

use super::{Key, Result, Store};
use crate::time::Nanos;

/// A timer whose time has come.
#[derive(Debug)]
pub(crate) struct DueTimer {
    pub(crate) key: Key,
    /// Its encoded `timerFired`; none for the scheduled start of the instance.
    pub(crate) event: Option<Bytes>,
}

impl Store {
    pub(crate) fn add_timer(&mut self, key: Key, fire_at: Nanos, event: Option<&[u8]>) -> Result<()> {
        let sequence = self.sequence();
        self.connection
            .prepare_cached("INSERT INTO timers (fire_at, sequence, instance, event) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![fire_at, sequence, key, event])?;
        Ok(())
    }

    /// When the next timer is due.
    pub(crate) fn next_timer(&self) -> Result<Option<Nanos>> {
        Ok(self.connection.prepare_cached("SELECT min(fire_at) FROM timers")?.query_row([], |row| row.get(0))?)
    }

    /// Takes out up to `limit` timers that are due, earliest first.
    pub(crate) fn take_due_timers(&self, now: Nanos, limit: u32) -> Result<Vec<DueTimer>> {
        let mut found: Vec<(Nanos, i64, DueTimer)> = Vec::new();
        {
            let mut statement = self.connection.prepare_cached(
                "SELECT fire_at, sequence, instance, event FROM timers WHERE fire_at <= ?1
                 ORDER BY fire_at, sequence LIMIT ?2",
            )?;
            let mut rows = statement.query(params![now, limit])?;
            while let Some(row) = rows.next()? {
                let event: Option<Vec<u8>> = row.get(3)?;
                let timer = DueTimer { key: row.get(2)?, event: event.map(Bytes::from) };
                found.push((row.get(0)?, row.get(1)?, timer));
            }
        }
        let mut delete = self.connection.prepare_cached("DELETE FROM timers WHERE fire_at = ?1 AND sequence = ?2")?;
        let mut due = Vec::with_capacity(found.len());
        for (fire_at, sequence, timer) in found {
            delete.execute(params![fire_at, sequence])?;
            due.push(timer);
        }
        Ok(due)
    }

    /// Timers of an execution that is over fire for nobody.
    pub(crate) fn delete_timers(&self, key: Key) -> Result<()> {
        self.connection.prepare_cached("DELETE FROM timers WHERE instance = ?1")?.execute([key])?;
        Ok(())
    }
}
