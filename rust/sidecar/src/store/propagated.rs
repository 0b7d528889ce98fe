//! Histories that instances hand on to what they call: the events of each turn that does are kept once.

use bytes::Bytes;
use rusqlite::{OptionalExtension, params};

use super::{Key, Result, Store};

/// Who is shown a history.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Holder {
    Instance(Key),
    Activity(i64),
}

impl Holder {
    fn columns(self) -> (i64, i64) {
        match self {
            Self::Instance(key) => (0, key),
            Self::Activity(sequence) => (1, sequence),
        }
    }
}

/// The beginning of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) chunk: i64,
    /// How many bytes of its events.
    pub(crate) length: usize,
}

/// A history of one instance, as it was in some turn.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// A `PropagatedHistoryChunk` without its events.
    pub(crate) head: Bytes,
    /// Its `rawEvents` fields.
    pub(crate) events: Bytes,
}

/// The histories that somebody is shown.
#[derive(Debug, Clone)]
pub(crate) struct Handed {
    pub(crate) scope: i32,
    pub(crate) parts: Vec<Part>,
}

impl Store {
    pub(crate) fn add_chunk(&mut self, chunk: &Chunk) -> Result<i64> {
        let key = self.sequence();
        self.connection
            .prepare_cached("INSERT INTO propagated_chunks (key, head, events) VALUES (?1, ?2, ?3)")?
            .execute(params![key, chunk.head.as_ref(), chunk.events.as_ref()])?;
        Ok(key)
    }

    pub(crate) fn chunk(&self, key: i64) -> Result<Option<Chunk>> {
        Ok(self
            .connection
            .prepare_cached("SELECT head, events FROM propagated_chunks WHERE key = ?1")?
            .query_row([key], |row| {
                let (head, events): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
                Ok(Chunk { head: head.into(), events: events.into() })
            })
            .optional()?)
    }

    /// Forgets a chunk that nobody is shown.
    pub(crate) fn drop_unused_chunk(&self, key: i64) -> Result<()> {
        self.connection
            .prepare_cached(
                "DELETE FROM propagated_chunks
                 WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM propagated WHERE chunk = ?1)",
            )?
            .execute([key])?;
        Ok(())
    }

    /// What somebody is shown, in order.
    pub(crate) fn parts(&self, holder: Holder) -> Result<Vec<Part>> {
        let (kind, holder) = holder.columns();
        Ok(self
            .connection
            .prepare_cached("SELECT chunk, length FROM propagated WHERE kind = ?1 AND holder = ?2 ORDER BY position")?
            .query_map([kind, holder], |row| {
                let length: i64 = row.get(1)?;
                Ok(Part { chunk: row.get(0)?, length: usize::try_from(length).unwrap_or(0) })
            })?
            .collect::<rusqlite::Result<_>>()?)
    }

    /// Shows somebody these, in the place of what it was shown before.
    pub(crate) fn show(&self, holder: Holder, parts: &[Part]) -> Result<()> {
        let before = self.take_parts(holder)?;
        let (kind, number) = holder.columns();
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO propagated (kind, holder, position, chunk, length) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for (position, part) in (0_i64..).zip(parts) {
            let length = i64::try_from(part.length).unwrap_or(i64::MAX);
            insert.execute(params![kind, number, position, part.chunk, length])?;
        }
        before.into_iter().try_for_each(|chunk| self.drop_unused_chunk(chunk))
    }

    /// Somebody has no use for what it was shown any more.
    pub(crate) fn stop_showing(&self, holder: Holder) -> Result<()> {
        self.take_parts(holder)?.into_iter().try_for_each(|chunk| self.drop_unused_chunk(chunk))
    }

    fn take_parts(&self, holder: Holder) -> Result<Vec<i64>> {
        let (kind, holder) = holder.columns();
        Ok(self
            .connection
            .prepare_cached("DELETE FROM propagated WHERE kind = ?1 AND holder = ?2 RETURNING chunk")?
            .query_map([kind, holder], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?)
    }
}
