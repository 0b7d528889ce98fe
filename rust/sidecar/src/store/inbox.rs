//! Events that wait for the next turn of their instance.

use bytes::Bytes;
use durabletask_proto::HistoryEvent;
use durabletask_proto::prost::Message;
use rusqlite::{OptionalExtension, params};

use super::{Key, Result, Store};
use crate::machine::{Kind, RawEvent};

impl Store {
    /// Adds an event: for this execution alone, or for whichever one runs.
    pub(crate) fn deliver(&mut self, key: Key, execution: Option<&str>, event: &RawEvent) -> Result<()> {
        let sequence = self.sequence();
        self.insert(key, sequence, execution, event)
    }

    fn insert(&self, key: Key, sequence: i64, execution: Option<&str>, event: &RawEvent) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO inbox (instance, sequence, kind, event, execution) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![key, sequence, event.kind as i64, event.bytes.as_ref(), execution])?;
        Ok(())
    }

    /// The events that wait for this execution, oldest first, up to `limit`, and the sequence number of the last of them.
    /// What an execution before it had asked for is left out: its ids name other things now.
    pub(crate) fn waiting(&self, key: Key, execution: Option<&str>, limit: u32) -> Result<(Vec<RawEvent>, i64)> {
        let mut statement = self.connection.prepare_cached(
            "SELECT sequence, kind, event FROM inbox WHERE instance = ?1 AND (execution IS NULL OR execution IS ?2)
             ORDER BY sequence LIMIT ?3",
        )?;
        let mut rows = statement.query(params![key, execution, limit])?;
        let mut events = Vec::new();
        let mut last = 0;
        while let Some(row) = rows.next()? {
            last = row.get(0)?;
            let bytes: Vec<u8> = row.get(2)?;
            events.push(RawEvent { kind: Kind::from_stored(row.get(1)?), bytes: Bytes::from(bytes) });
        }
        Ok((events, last))
    }

    pub(crate) fn first_event(&self, key: Key) -> Result<Option<HistoryEvent>> {
        let bytes: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT event FROM inbox WHERE instance = ?1 ORDER BY sequence LIMIT 1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        Ok(bytes.and_then(|bytes| HistoryEvent::decode(bytes.as_slice()).ok()))
    }

    /// Takes out what a turn consumed.
    pub(crate) fn consume(&self, key: Key, up_to: i64) -> Result<()> {
        self.connection
            .prepare_cached("DELETE FROM inbox WHERE instance = ?1 AND sequence <= ?2")?
            .execute(params![key, up_to])?;
        Ok(())
    }

    /// Puts events in front of those that wait: what a new execution begins with comes before what arrived meanwhile.
    /// It costs what the new ones cost, however many wait.
    pub(crate) fn deliver_first(&mut self, key: Key, events: &[RawEvent]) -> Result<()> {
        let waiting: Option<i64> = self
            .connection
            .prepare_cached("SELECT min(sequence) FROM inbox WHERE instance = ?1")?
            .query_row([key], |row| row.get(0))?;
        let Some(before) = waiting else {
            return events.iter().try_for_each(|event| self.deliver(key, None, event));
        };
        let mut sequence = before;
        for event in events.iter().rev() {
            sequence -= 1;
            self.insert(key, sequence, None, event)?;
        }
        Ok(())
    }

    /// Instances that have something to do, longest waiting first; those scheduled for later are left out.
    pub(crate) fn instances_with_work(&self) -> Result<Vec<Key>> {
        Ok(self
            .connection
            .prepare(
                "SELECT instance FROM inbox JOIN instances ON instances.key = inbox.instance
                 WHERE instances.not_before IS NULL GROUP BY instance ORDER BY min(sequence)",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?)
    }
}
