//! What is durable: instances, their histories and inboxes, activities to run and timers to fire, in SQLite.
//!
//! Rows in, rows out; no decisions are taken here. One connection, owned by one thread, so that there is no locking and
//! many callers share a commit. In memory it is the same database without a file.

mod activities;
mod backup;
mod cascades;
mod ends;
mod error;
mod files;
mod history;
mod inbox;
mod instances;
mod listing;
mod log;
mod migrations;
mod open;
mod propagated;
#[cfg(test)]
mod tests;
mod timers;

pub(crate) use activities::ActivityRow;
pub use backup::{BackupError, back_up};
pub(crate) use error::Result;
pub use error::StoreError;
pub(crate) use instances::{Created, InstanceRow, Key};
pub(crate) use listing::{Candidate, Filter, Position};
pub(crate) use open::Losses;
pub use open::OpenError;
pub(crate) use propagated::{Chunk, Handed, Holder, Part};
pub(crate) use timers::DueTimer;

use rusqlite::Connection;

use files::Files;

/// The database and the next number for rows that are kept in the order of their arrival.
pub(crate) struct Store {
    connection: Connection,
    next_sequence: i64,
    /// None in memory.
    files: Option<Files>,
    /// The same number each time that this database is opened, and another for each database.
    salt: i64,
}

impl Store {
    pub(crate) fn salt(&self) -> i64 {
        self.salt
    }

    fn sequence(&mut self) -> i64 {
        let next = self.next_sequence;
        self.next_sequence += 1;
        next
    }

    /// Lets the database grow by so many pages at most.
    #[cfg(test)]
    pub(crate) fn leave_pages(&self, pages: i64) -> crate::hub::Result<()> {
        let used: i64 =
            self.connection.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(StoreError::from)?;
        let limit = self.connection.pragma_update_and_check(None, "max_page_count", used + pages, |_| Ok(()));
        Ok(limit.map_err(StoreError::from)?)
    }

    /// Makes the database as full as a disk can be; 0 gives it room again.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) -> Result<()> {
        let pages = if pages == 0 { 1_000_000 } else { pages };
        Ok(self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
    }

    pub(crate) fn begin(&self) -> Result<()> {
        self.check_files()?;
        Ok(self.run("BEGIN IMMEDIATE")?)
    }

    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(|_| ())
    }

    /// When this returns well, what was written is on the disk, in the files that the next opening will find.
    pub(crate) fn commit(&self) -> Result<()> {
        self.run("COMMIT")?;
        self.check_files()?;
        if self.files.is_some() {
            self.tend_log();
        }
        Ok(())
    }

    /// How many bytes the database has, and its log.
    pub(crate) fn sizes(&self) -> Result<(u64, u64)> {
        let number = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let database = number("page_count")?.saturating_mul(number("page_size")?).unsigned_abs();
        Ok((database, self.files.as_ref().map_or(0, Files::log_size)))
    }

    fn check_files(&self) -> Result<()> {
        self.files.as_ref().map_or(Ok(()), Files::check)
    }

    /// Undoes what was not committed; nothing to undo is no error.
    pub(crate) fn roll_back(&self) -> Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { Ok(self.connection.execute_batch("ROLLBACK")?) }
    }

    /// Forgets everything that an instance left in the database.
    pub(crate) fn delete(&self, key: Key) -> Result<()> {
        self.remove_activities(key)?;
        self.stop_showing(Holder::Instance(key))?;
        for statement in [
            "DELETE FROM history WHERE instance = ?1",
            "DELETE FROM inbox WHERE instance = ?1",
            "DELETE FROM timers WHERE instance = ?1",
            "DELETE FROM results WHERE instance = ?1",
            // A termination that is still on its way down finds the children by it; keys are never used twice.
            "UPDATE instances SET parent = NULL
             WHERE parent = ?1 AND NOT EXISTS (SELECT 1 FROM cascades WHERE instance = ?1)",
            "DELETE FROM instances WHERE key = ?1",
        ] {
            self.connection.prepare_cached(statement)?.execute([key])?;
        }
        Ok(())
    }
}
