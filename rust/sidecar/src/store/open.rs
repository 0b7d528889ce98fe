//! Opening a database: ours, a new one, or a clear refusal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::files::Files;
use super::migrations::{APPLICATION_ID, SCHEMA_VERSION, bring_up_to_date};
use super::{Store, log};

/// How many rows one opening of the database can number.
const ROWS_OF_AN_OPENING: i64 = 1 << 40;
/// How long another program may hold the database before we give up.
const BUSY: Duration = Duration::from_secs(2);

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
    #[error(
        "'{}' is in use by another process{}; a database serves one sidecar at a time",
        path.display(),
        owner.map_or(String::new(), |pid| format!(" ({pid})"))
    )]
    InUse {
        /// The database.
        path: PathBuf,
        /// The process, if it is known.
        owner: Option<u32>,
    },
    /// Something that SQLite gives a meaning of its own.
    #[error(
        "'{}' is no path of a file; give one, or leave it out to keep everything in memory", .0.display()
    )]
    NotAPath(PathBuf),
    /// It was not closed in good order, and what it had not yet taken over is missing.
    #[error(
        "'{}' was not closed in good order and '{}', with what was acknowledged last, is missing; put that file back, or \
         accept the loss with --accept-data-loss",
        path.display(),
        log.display()
    )]
    LostLog {
        /// The database.
        path: PathBuf,
        /// Its write-ahead log.
        log: PathBuf,
    },
    /// A log without its database.
    #[error(
        "there is no database '{}', but '{}' with its latest changes; put the database back, or remove that file",
        path.display(),
        log.display()
    )]
    LostDatabase {
        /// The database.
        path: PathBuf,
        /// Its write-ahead log.
        log: PathBuf,
    },
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

/// What to do with a database whose log is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Losses {
    Refuse,
    Accept,
}

impl Store {
    /// Opens the database in `path`, creating it if need be, or one in memory.
    pub(crate) fn open(path: Option<&Path>, losses: Losses) -> Result<Self, OpenError> {
        let Some(path) = path else {
            return Self::in_memory().map_err(|error| explain(Path::new(":memory:"), error));
        };
        let files = Files::claim(path)?;
        match Self::on_file(path, files, losses) {
            Ok(store) => Ok(store),
            Err(refused) => {
                let (refusal, files) = *refused;
                let error = match refusal {
                    Refusal::Known(error) => error,
                    Refusal::Sqlite(error) => explain(path, error),
                };
                if matches!(error, OpenError::NotADatabase(_) | OpenError::Foreign(_)) {
                    files.leave();
                }
                Err(error)
            }
        }
    }

    fn in_memory() -> Result<Self, rusqlite::Error> {
        let connection = Connection::open_in_memory()?;
        plan_once(&connection)?;
        connection.execute_batch("PRAGMA journal_mode = MEMORY")?;
        bring_up_to_date(&connection, 0)?;
        let next_sequence = number_rows(&connection)?;
        let salt = fact(&connection, "salt")?;
        Ok(Self::with(connection, next_sequence, salt, None))
    }

    fn on_file(path: &Path, mut files: Files, losses: Losses) -> Result<Self, Box<(Refusal, Files)>> {
        let begin = |files: &mut Files| {
            let connection = open_file(path)?;
            plan_once(&connection)?;
            claim(&connection, path, files, losses)?;
            log::begin(&connection)?;
            let next_sequence = number_rows(&connection)?;
            let salt = fact(&connection, "salt")?;
            Ok((connection, next_sequence, salt))
        };
        let opened = match begin(&mut files) {
            Err(Refusal::Sqlite(error)) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                // Only in a database that is open can instances be forgotten.
                files.release_reserve();
                begin(&mut files)
            }
            other => other,
        };
        match opened {
            Ok((connection, next_sequence, salt)) => {
                files.note_opened();
                files.keep_reserve();
                Ok(Self::with(connection, next_sequence, salt, Some(files)))
            }
            Err(refusal) => Err(Box::new((refusal, files))),
        }
    }

    fn with(connection: Connection, next_sequence: i64, salt: i64, files: Option<Files>) -> Self {
        connection.set_prepared_statement_cache_capacity(64);
        Self { connection, next_sequence, files, salt }
    }
}

/// Has a statement keep the plan that it was prepared with. Otherwise SQLite plans many of them anew for each value that is
/// bound, since another plan might do better for it; that took more time than running them, and none ever does better.
fn plan_once(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// The number of the next row: beyond every one that was given, also to rows that are gone, since completion tokens of
/// activities name them.
fn number_rows(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.execute("UPDATE facts SET value = value + 1 WHERE name = 'openings'", [])?;
    let openings = fact(connection, "openings")?;
    let used: i64 = connection.query_row(
        "SELECT max(
             (SELECT coalesce(max(sequence), 0) FROM inbox),
             (SELECT coalesce(max(sequence), 0) FROM activities),
             (SELECT coalesce(max(sequence), 0) FROM timers),
             (SELECT coalesce(max(sequence), 0) FROM cascades))",
        [],
        |row| row.get(0),
    )?;
    Ok(used.max((openings - 1).saturating_mul(ROWS_OF_AN_OPENING)) + 1)
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
fn claim(connection: &Connection, path: &Path, files: &Files, losses: Losses) -> Result<(), Refusal> {
    // Sidecars that had no lock of their own kept everybody away.
    connection.busy_timeout(Duration::ZERO)?;
    // Before anything is written: whose is it?
    let version = version(connection)?;
    if !is_ours(connection)? && !is_empty(connection)? {
        return Err(Refusal::Known(OpenError::Foreign(path.to_owned())));
    }
    if version > SCHEMA_VERSION {
        return Err(Refusal::Known(OpenError::Newer { path: path.to_owned(), found: version }));
    }
    if version > 1 && !files.log_was_there && losses == Losses::Refuse && log::is_expected(connection)? {
        return Err(Refusal::Known(OpenError::LostLog { path: path.to_owned(), log: files.log().to_owned() }));
    }

    // WAL, so that others can read beside us, with synchronous=FULL: a commit is on the disk before anybody is told of
    // it, so neither the end of the process nor a power cut takes back what was acknowledged. The flush is shared by all
    // that arrived while the previous one was running.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         BEGIN EXCLUSIVE;
         COMMIT;",
    )?;
    // Another program may hold the database for a moment; who writes is to wait for that.
    connection.busy_timeout(BUSY)?;
    if version == 1 {
        // It was created for everybody to read.
        files.close_to_others();
    } else if version > 1 && files.is_open_to_others() {
        tracing::warn!(path = ?path, "others than its owner may read this database; `chmod 600` changes that");
    }
    Ok(bring_up_to_date(connection, version)?)
}

/// The version of the database's tables; 0 if it has none.
pub(super) fn version(connection: &Connection) -> Result<i32, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

pub(super) fn is_ours(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(id == APPLICATION_ID)
}

fn is_empty(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(id == 0 && version(connection)? == 0 && tables == 0)
}

fn fact(connection: &Connection, name: &str) -> Result<i64, rusqlite::Error> {
    connection.query_row("SELECT value FROM facts WHERE name = ?1", [name], |row| row.get(0))
}

fn explain(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase(path),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse { path, owner: None },
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
