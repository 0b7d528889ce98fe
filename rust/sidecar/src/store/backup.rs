//! Copies of a database, consistent also while a sidecar is at work on it.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{files, log, open};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no database of that name, or it is not one of ours.
    #[error("'{}' can not be backed up: {reason}", path.display())]
    Source {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The copy can not be written.
    #[error("the backup '{}' can not be written: {reason}", path.display())]
    Target {
        /// The copy.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Copies the database `from` to the new file `to`, as it is at one moment, and returns the size of the copy in bytes.
///
/// A sidecar that is at work on it works on. The copy has its name once it is complete and on the disk.
pub fn back_up(from: &Path, to: &Path) -> Result<u64, BackupError> {
    let source = |reason: String| BackupError::Source { path: from.to_owned(), reason };
    let target = |reason: String| BackupError::Target { path: to.to_owned(), reason };
    if !from.is_file() {
        return Err(source("there is no such file".to_owned()));
    }
    if to.exists() {
        return Err(target("there is such a file already".to_owned()));
    }
    let database = open_source(from).map_err(|error| source(error.to_string()))?;
    if !open::is_ours(&database).map_err(|error| source(error.to_string()))? {
        return Err(source("it is a database of another program".to_owned()));
    }

    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    files::create_new_private(&part).map_err(|error| target(format!("{error} ('{}')", part.display())))?;
    let copied = copy(&database, &part)
        .map_err(|error| target(error.to_string()))
        .and_then(|()| publish(&part, to).map_err(|error| target(error.to_string())));
    if copied.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    copied
}

fn open_source(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(database)
}

fn copy(database: &Connection, part: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(part, flags)?;
    // All of it in one step: in several, it would begin anew with each commit of the sidecar.
    let backup = Backup::new(database, &mut copy)?;
    loop {
        match backup.step(-1)? {
            StepResult::Done => break,
            _ => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    }
    drop(backup);
    // One file, that needs no log.
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    if open::version(&copy)? > 1 {
        log::agree(&copy)?;
    }
    copy.close().map_err(|(_, error)| error)
}

fn publish(part: &Path, to: &Path) -> std::io::Result<u64> {
    let file = File::open(part)?;
    file.sync_all()?;
    let size = file.metadata()?.len();
    std::fs::rename(part, to)?;
    #[cfg(unix)]
    if let Some(folder) = to.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(size)
}
