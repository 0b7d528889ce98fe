//! Opening a database: ours, a new one, or a clear refusal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Store;

/// "DtRs", in the header of every database that this sidecar makes.
const APPLICATION_ID: i32 = 0x4474_5273;
/// What leads to each version from the one before; the first makes an empty database ours.
const STEPS: [&str; 2] = [include_str!("schema.sql"), include_str!("schema_2.sql")];
const SCHEMA_VERSION: i32 = 2;
const _: () = assert!(STEPS.len() == SCHEMA_VERSION as usize, "a step for each version");
/// How many rows one opening of the database can number.
const ROWS_OF_AN_OPENING: i64 = 1 << 40;

/// Why a database can not be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is something else.
    #[error("'{}' is not a SQLite database; give another file, or one that does not exist yet", .0.display())]
    NotADatabase(PathBuf),
    /// A SQLite database, of another program.
    #[error("'{}' is a database of another program and is left alone; give another file", .0.display())]
    Foreign(PathBuf),
    /// Ours, from the future.
    #[error(
        "'{}' has schema version {found}, this sidecar knows versions up to {SCHEMA_VERSION}; use a newer sidecar",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i32,
    },
    /// Somebody else has it.
    #[error("'{}' is in use by another process; a database serves one sidecar at a time", .0.display())]
    InUse(PathBuf),
    /// It can be read only, if that.
    #[error("'{}' is not writable: {reason}", path.display())]
    NotWritable {
        /// The database.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Anything else that SQLite finds wrong with it.
    #[error("can not open the database '{}': {source}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
}

impl Store {
    /// Opens the database in `path`, creating it if need be, or one in memory.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, OpenError> {
        let name = path.unwrap_or(Path::new(":memory:"));
        Self::try_open(path).map_err(|error| match error {
            Refusal::Known(error) => error,
            Refusal::Sqlite(error) => explain(name, error),
        })
    }

    fn try_open(path: Option<&Path>) -> Result<Self, Refusal> {
        let connection = match path {
            None => Connection::open_in_memory()?,
            Some(path) => open_file(path)?,
        };
        connection.set_prepared_statement_cache_capacity(64);
        connection.busy_timeout(Duration::ZERO)?;
        if let Some(path) = path {
            claim(&connection, path)?;
        } else {
            connection.execute_batch("PRAGMA journal_mode = MEMORY")?;
            bring_up_to_date(&connection, 0)?;
        }
        connection.execute("UPDATE facts SET value = value + 1 WHERE name = 'openings'", [])?;
        let openings = fact(&connection, "openings")?;
        // Beyond every number that was given, also to rows that are gone: tokens of activities name them.
        let used: i64 = connection.query_row(
            "SELECT max(
                 (SELECT coalesce(max(sequence), 0) FROM inbox),
                 (SELECT coalesce(max(sequence), 0) FROM activities),
                 (SELECT coalesce(max(sequence), 0) FROM timers),
                 (SELECT coalesce(max(sequence), 0) FROM cascades))",
            [],
            |row| row.get(0),
        )?;
        let next_sequence = used.max((openings - 1).saturating_mul(ROWS_OF_AN_OPENING)) + 1;
        Ok(Self { connection, next_sequence })
    }
}

enum Refusal {
    Known(OpenError),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn open_file(path: &Path) -> Result<Connection, Refusal> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    if connection.is_readonly("main")? {
        let reason = "it can only be read".to_owned();
        return Err(Refusal::Known(OpenError::NotWritable { path: path.to_owned(), reason }));
    }
    Ok(connection)
}

/// Makes sure that the file is ours, and ours alone.
fn claim(connection: &Connection, path: &Path) -> Result<(), Refusal> {
    // Before anything is written: whose is it?
    let application_id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let empty = application_id == 0 && version == 0 && tables == 0;
    if !empty && application_id != APPLICATION_ID {
        return Err(Refusal::Known(OpenError::Foreign(path.to_owned())));
    }
    if version > SCHEMA_VERSION {
        return Err(Refusal::Known(OpenError::Newer { path: path.to_owned(), found: version }));
    }

    // One process owns the file from here on. WAL with synchronous=FULL: a commit is on the disk before anybody is told
    // of it, so neither the end of the process nor a power cut takes back what was acknowledged. The flush is shared by
    // all that arrived while the previous one was running.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         BEGIN EXCLUSIVE;
         COMMIT;",
    )?;
    bring_up_to_date(connection, version)
}

/// Takes the steps that lead from this version to ours, all or none of them.
fn bring_up_to_date(connection: &Connection, version: i32) -> Result<(), Refusal> {
    let taken = usize::try_from(version).unwrap_or(0);
    if taken >= STEPS.len() {
        return Ok(());
    }
    let steps = STEPS[taken..].concat();
    connection.execute_batch(&format!(
        "BEGIN;
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {SCHEMA_VERSION};
         {steps}
         COMMIT;"
    ))?;
    Ok(())
}

fn fact(connection: &Connection, name: &str) -> Result<i64, rusqlite::Error> {
    connection.query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0))
}

fn explain(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase(path),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse(path),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            OpenError::NotWritable { path, reason: source.to_string() }
        }
        Some(ErrorCode::CannotOpen) => {
            let reason = why_not_openable(&path).unwrap_or_else(|| source.to_string());
            OpenError::NotWritable { path, reason }
        }
        _ => OpenError::Sqlite { path, source },
    }
}

/// SQLite only says that it can not open a file; these are the usual reasons.
fn why_not_openable(path: &Path) -> Option<String> {
    if path.is_dir() {
        return Some("it is a directory".to_owned());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty())?;
    if !parent.is_dir() {
        return Some(format!("there is no directory '{}'", parent.display()));
    }
    let result = std::fs::OpenOptions::new().append(true).open(path);
    result.err().map(|error| error.to_string())
}
