//! SQLite's write-ahead log: when it is emptied, and how its loss is noticed.
//!
//! A commit is in the log first, in a file of its own. Who copies the database without it, or deletes it after a crash, has
//! an older state without knowing. So two numbers are kept: `log_expected`, raised before the log is emptied into the
//! database, and `log_seen`, raised to it as the first thing in the log after that. As long as there is anything in the
//! log, the database alone has two different numbers; SQLite, which empties the log when the last program closes the
//! database, makes them the same.

use rusqlite::Connection;

use super::Store;

/// From how many pages on the log is emptied; SQLite's own measure.
const PAGES: i64 = 1_000;

/// Empties the log as far as readers allow, without waiting for them.
fn empty(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("UPDATE facts SET value = value + 1 WHERE name = 'log_expected'")?;
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    agree(connection)
}

/// Has the database say that nothing of it is elsewhere.
pub(super) fn agree(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "UPDATE facts SET value = (SELECT value FROM facts WHERE name = 'log_expected') WHERE name = 'log_seen'",
    )
}

/// Whether the database says that there is more, in a log.
pub(super) fn is_expected(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT count(DISTINCT value) > 1 FROM facts WHERE name IN ('log_expected', 'log_seen')",
        [],
        |row| row.get(0),
    )
}

/// Begins the log of an opening: from here on it is missed when it is missing.
pub(super) fn begin(connection: &Connection) -> rusqlite::Result<()> {
    // It is emptied in this module alone, so that the numbers are right.
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0")?;
    empty(connection)
}

impl Store {
    /// Empties the log when it is large.
    pub(super) fn tend_log(&self) {
        let pages = self
            .connection
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")
            .and_then(|mut look| look.query_row([], |row| row.get::<_, i64>(1)));
        let emptied = match pages {
            Ok(pages) if pages < PAGES => Ok(()),
            _ => empty(&self.connection),
        };
        if let Err(error) = emptied {
            // Nothing is lost by it: the log grows on.
            tracing::warn!(%error, "the database's log could not be emptied");
        }
    }

    /// There is no room: what the log holds may make some, and the reserve does.
    pub(crate) fn make_room(&self) {
        if let Some(files) = &self.files {
            files.release_reserve();
            if let Err(error) = empty(&self.connection) {
                tracing::debug!(%error, "the database's log could not be emptied");
            }
        }
    }

    /// Keeps room for the next time that there is none.
    pub(crate) fn keep_reserve(&self) {
        if let Some(files) = &self.files {
            files.keep_reserve();
        }
    }
}
