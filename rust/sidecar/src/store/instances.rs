//! Rows of `instances` and `results`.

use durabletask_proto::prost::Message;
use durabletask_proto::{ExecutionStartedEvent, OrchestrationStatus, TaskFailureDetails};
use rusqlite::{OptionalExtension, Row, params};

use super::migrations::StartColumns;
use super::{Handed, Holder, Result, Store};
use crate::machine::{Completion, Instance, is_final};
use crate::time::Nanos;

/// Names an instance inside the sidecar; never used again once the instance is gone.
pub(crate) type Key = i64;

/// An instance as stored.
#[derive(Debug, Clone)]
pub(crate) struct InstanceRow {
    pub(crate) key: Key,
    pub(crate) instance: Instance,
    pub(crate) not_before: Option<Nanos>,
    /// The version that a worker has chosen for the current execution.
    pub(crate) pinned: Option<String>,
    /// With which scope it is shown histories, if it is.
    pub(crate) shown: Option<i32>,
    pub(crate) created_at: Nanos,
    pub(crate) started_at: Option<Nanos>,
    pub(crate) updated_at: Nanos,
    pub(crate) completed_at: Option<Nanos>,
}

/// A new instance.
pub(crate) struct Created<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) parent: Option<Key>,
    /// The histories that it is shown.
    pub(crate) handed: Option<&'a Handed>,
    pub(crate) not_before: Option<Nanos>,
    pub(crate) now: Nanos,
}

const COLUMNS: &str =
    "key, id, status, suspended, start, not_before, created_at, started_at, updated_at, completed_at, pinned, shown";

fn read(row: &Row<'_>) -> rusqlite::Result<InstanceRow> {
    let status: i32 = row.get(2)?;
    let start: Vec<u8> = row.get(4)?;
    let start = ExecutionStartedEvent::decode(start.as_slice())
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Blob, Box::new(error)))?;
    Ok(InstanceRow {
        key: row.get(0)?,
        instance: Instance {
            id: row.get(1)?,
            status: OrchestrationStatus::try_from(status).unwrap_or(OrchestrationStatus::Running),
            suspended: row.get(3)?,
            start,
        },
        not_before: row.get(5)?,
        created_at: row.get(6)?,
        started_at: row.get(7)?,
        updated_at: row.get(8)?,
        completed_at: row.get(9)?,
        pinned: row.get(10)?,
        shown: row.get(11)?,
    })
}

impl Store {
    pub(crate) fn create_instance(&self, created: &Created<'_>) -> Result<Key> {
        let StartColumns { version, execution, tags } = StartColumns::of(&created.instance.start);
        let key = self
            .connection
            .prepare_cached(
                "INSERT INTO instances (id, status, suspended, start, parent, not_before, created_at, updated_at,
                     name, version, execution, tags, shown)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .insert(params![
                created.instance.id,
                created.instance.status as i32,
                created.instance.suspended,
                created.instance.start.encode_to_vec(),
                created.parent,
                created.not_before,
                created.now,
                created.instance.start.name,
                version,
                execution,
                tags,
                created.handed.map(|handed| handed.scope),
            ])?;
        if let Some(handed) = created.handed {
            self.show(Holder::Instance(key), &handed.parts)?;
        }
        Ok(key)
    }

    pub(crate) fn find_key(&self, id: &str) -> Result<Option<Key>> {
        Ok(self
            .connection
            .prepare_cached("SELECT key FROM instances WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?)
    }

    pub(crate) fn id_of(&self, key: Key) -> Result<Option<String>> {
        Ok(self
            .connection
            .prepare_cached("SELECT id FROM instances WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?)
    }

    pub(crate) fn instance(&self, key: Key) -> Result<Option<InstanceRow>> {
        Ok(self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM instances WHERE key = ?1"))?
            .query_row([key], read)
            .optional()?)
    }

    /// Stores what a turn changed. The execution's start changes only with continue-as-new.
    pub(crate) fn update_instance(&self, key: Key, instance: &Instance, now: Nanos, restarted: bool) -> Result<()> {
        let finished_at = instance.is_finished().then_some(now);
        self.connection
            .prepare_cached(
                "UPDATE instances SET status = ?2, suspended = ?3, updated_at = ?4, completed_at = ?5,
                     started_at = coalesce(started_at, ?4) WHERE key = ?1",
            )?
            .execute(params![key, instance.status as i32, instance.suspended, now, finished_at])?;
        if restarted {
            self.connection
                .prepare_cached("UPDATE instances SET start = ?2, pinned = NULL WHERE key = ?1")?
                .execute(params![key, instance.start.encode_to_vec()])?;
            let StartColumns { version, execution, .. } = StartColumns::of(&instance.start);
            self.connection
                .prepare_cached("UPDATE instances SET version = ?2, execution = ?3 WHERE key = ?1")?
                .execute(params![key, version, execution])?;
        }
        Ok(())
    }

    /// The scheduled start has come, or is not waited for any longer.
    pub(crate) fn clear_not_before(&self, key: Key) -> Result<()> {
        self.connection.prepare_cached("UPDATE instances SET not_before = NULL WHERE key = ?1")?.execute([key])?;
        Ok(())
    }

    /// A worker has chosen a version; from now on it is needed.
    pub(crate) fn pin(&self, key: Key, version: &str) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE instances SET pinned = ?2 WHERE key = ?1")?
            .execute(params![key, version])?;
        Ok(())
    }

    pub(crate) fn set_custom_status(&self, key: Key, status: &str) -> Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO results (instance, custom_status) VALUES (?1, ?2)
                 ON CONFLICT (instance) DO UPDATE SET custom_status = ?2 WHERE custom_status IS NOT ?2",
            )?
            .execute(params![key, status])?;
        Ok(())
    }

    pub(crate) fn set_completion(&self, key: Key, completion: &Completion) -> Result<()> {
        let failure = completion.failure.as_ref().map(Message::encode_to_vec);
        self.connection
            .prepare_cached(
                "INSERT INTO results (instance, output, failure) VALUES (?1, ?2, ?3)
                 ON CONFLICT (instance) DO UPDATE SET output = ?2, failure = ?3",
            )?
            .execute(params![key, completion.output, failure])?;
        Ok(())
    }

    /// Custom status, and how it ended if it did.
    pub(crate) fn results(&self, key: Key) -> Result<(Option<String>, Completion)> {
        let found = self
            .connection
            .prepare_cached("SELECT custom_status, output, failure FROM results WHERE instance = ?1")?
            .query_row([key], |row| {
                let failure: Option<Vec<u8>> = row.get(2)?;
                let failure = failure.and_then(|bytes| TaskFailureDetails::decode(bytes.as_slice()).ok());
                Ok((row.get(0)?, Completion { output: row.get(1)?, failure }))
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }

    /// Direct sub-orchestrations of an instance, those that have ended too: up to `limit` from behind `after`, in the
    /// order of their creation.
    pub(crate) fn children(&self, key: Key, after: Key, limit: u32) -> Result<Vec<Key>> {
        Ok(self
            .connection
            .prepare_cached("SELECT key FROM instances WHERE parent = ?1 AND key > ?2 ORDER BY key LIMIT ?3")?
            .query_map(params![key, after, limit], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?)
    }

    /// Whether the instance has ended; None if there is no such instance.
    pub(crate) fn is_finished(&self, key: Key) -> Result<Option<bool>> {
        let status: Option<i32> = self
            .connection
            .prepare_cached("SELECT status FROM instances WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
            .optional()?;
        Ok(status.map(|status| OrchestrationStatus::try_from(status).is_ok_and(is_final)))
    }

    /// Ids in the order of creation, from behind `after`; with the key of each, to go on from.
    pub(crate) fn list(&self, after: Key, limit: u32) -> Result<Vec<(Key, String)>> {
        Ok(self
            .connection
            .prepare_cached("SELECT key, id FROM instances WHERE key > ?1 ORDER BY key LIMIT ?2")?
            .query_map(params![after, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?)
    }
}
