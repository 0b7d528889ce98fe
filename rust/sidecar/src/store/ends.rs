//! Instances by when they have ended, for those who forget them after a while.

use durabletask_proto::OrchestrationStatus;
use rusqlite::params;

use super::{Key, Result, Store};
use crate::time::Nanos;

impl Store {
    /// Keeps an index of ends, or none: who never asks for them does not pay for it. It is no part of the schema, since any
    /// sidecar can use a database with it and without.
    pub(crate) fn index_ends(&self, wanted: bool) -> Result<()> {
        self.connection.execute_batch(if wanted {
            "CREATE INDEX IF NOT EXISTS instances_by_end ON instances (status, completed_at)
             WHERE completed_at IS NOT NULL"
        } else {
            "DROP INDEX IF EXISTS instances_by_end"
        })?;
        Ok(())
    }

    /// Those that ended like that by then, up to `limit`, earliest first.
    pub(crate) fn ended_by(&self, status: OrchestrationStatus, then: Nanos, limit: u32) -> Result<Vec<Key>> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT key FROM instances WHERE status = ?1 AND completed_at IS NOT NULL AND completed_at <= ?2
                 ORDER BY completed_at LIMIT ?3",
            )?
            .query_map(params![status as i32, then, limit], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?)
    }

    /// When the first of those ended that ended like that.
    pub(crate) fn first_end(&self, status: OrchestrationStatus) -> Result<Option<Nanos>> {
        Ok(self
            .connection
            .prepare_cached("SELECT min(completed_at) FROM instances WHERE status = ?1 AND completed_at IS NOT NULL")?
            .query_row([status as i32], |row| row.get(0))?)
    }
}

#[cfg(test)]
mod tests {
    use crate::store::{Losses, Store};

    #[test]
    fn ends_are_looked_for_by_their_index_while_there_is_one() {
        let store = Store::open(None, Losses::Refuse).expect("a database in memory");
        let plan = |sql: &str| -> String {
            let mut statement = store.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a query");
            let steps =
                statement.raw_query().mapped(|row| row.get("detail")).collect::<rusqlite::Result<Vec<String>>>();
            steps.expect("a plan").join("; ")
        };
        let queries = [
            "SELECT key FROM instances WHERE status = ?1 AND completed_at IS NOT NULL AND completed_at <= ?2
             ORDER BY completed_at LIMIT ?3",
            "SELECT min(completed_at) FROM instances WHERE status = ?1 AND completed_at IS NOT NULL",
        ];
        store.index_ends(true).expect("an index");
        store.index_ends(true).expect("the same index");
        for sql in queries {
            let plan = plan(sql);
            assert!(plan.contains("instances_by_end") && !plan.contains("TEMP B-TREE"), "{sql} is done as {plan}");
        }
        store.index_ends(false).expect("no index");
        assert!(!plan(queries[0]).contains("instances_by_end"));
    }
}
