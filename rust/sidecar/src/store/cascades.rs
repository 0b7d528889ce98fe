//! Terminations on their way down: instances whose children are yet to be told, however many and however deep.

use durabletask_proto::ExecutionTerminatedEvent;
use durabletask_proto::prost::Message;
use rusqlite::{OptionalExtension, params};

use super::{Key, Result, Store};

/// An instance whose children are yet to be terminated.
pub(crate) struct Cascade {
    sequence: i64,
    pub(crate) instance: Key,
    /// The last child that was told.
    pub(crate) after: Key,
    pub(crate) event: ExecutionTerminatedEvent,
}

impl Store {
    pub(crate) fn add_cascade(&mut self, instance: Key, event: &ExecutionTerminatedEvent) -> Result<()> {
        let sequence = self.sequence();
        self.connection
            .prepare_cached("INSERT INTO cascades (sequence, instance, after, event) VALUES (?1, ?2, 0, ?3)")?
            .execute(params![sequence, instance, event.encode_to_vec()])?;
        Ok(())
    }

    pub(crate) fn next_cascade(&self) -> Result<Option<Cascade>> {
        Ok(self
            .connection
            .prepare_cached("SELECT sequence, instance, after, event FROM cascades ORDER BY sequence LIMIT 1")?
            .query_row([], |row| {
                let event: Vec<u8> = row.get(3)?;
                let event = ExecutionTerminatedEvent::decode(event.as_slice())
                    .unwrap_or(ExecutionTerminatedEvent { input: None, recurse: true });
                Ok(Cascade { sequence: row.get(0)?, instance: row.get(1)?, after: row.get(2)?, event })
            })
            .optional()?)
    }

    /// Notes how far it has come.
    pub(crate) fn advance_cascade(&self, cascade: &Cascade, told: Key) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE cascades SET after = ?2 WHERE sequence = ?1")?
            .execute(params![cascade.sequence, told])?;
        Ok(())
    }

    pub(crate) fn end_cascade(&self, cascade: &Cascade) -> Result<()> {
        self.connection.prepare_cached("DELETE FROM cascades WHERE sequence = ?1")?.execute([cascade.sequence])?;
        Ok(())
    }
}
