//! The database as files: who may read them, who has them, and whether they are still the ones that were opened.
//!
//! SQLite's own locks do not keep a second sidecar away without keeping readers away too, which are welcome beside it:
//! backups, and people who look. So a sidecar has a lock of its own, on a file beside the database.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::{OpenError, StoreError};

/// How many bytes are kept in reserve, for forgetting instances when the disk is full: more than the log usually holds,
/// since what it holds has to find room in the database before the log can take anything new.
const RESERVE: usize = 8 * 1024 * 1024;

/// A database's files, held as long as this exists.
pub(super) struct Files {
    database: PathBuf,
    /// SQLite's write-ahead log, where commits are before they are in the database.
    log: PathBuf,
    reserve: PathBuf,
    /// Locked; that is what it is for.
    lock: File,
    /// The log was there when the files were claimed, or there was no database that could have had one.
    pub(super) log_was_there: bool,
    /// What was opened: the database and its log.
    opened: Option<[Identity; 2]>,
}

/// Tells a file from another that has taken its name.
type Identity = Option<(u64, u64)>;

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

impl Files {
    /// Makes the database's files ours; creates the database as an empty file if there is none.
    pub(super) fn claim(path: &Path) -> Result<Self, OpenError> {
        refuse_what_is_no_path(path)?;
        if path.is_dir() {
            return Err(not_writable(path, "it is a directory"));
        }
        let fresh = create_private(path).map_err(|error| explain(path, &error))?;
        // One database, however it is called: SQLite follows links too.
        let database = path.canonicalize().map_err(|error| explain(path, &error))?;
        let log = beside(&database, "-wal");
        let result = Self::lock(&database, path).map(|lock| {
            let has_content = database.metadata().is_ok_and(|meta| meta.len() > 0);
            let log_was_there = log.exists() || !has_content;
            Self { reserve: beside(&database, "-reserve"), log, lock, log_was_there, opened: None, database }
        });
        match result {
            Ok(files) if fresh && files.log.metadata().is_ok_and(|meta| meta.len() > 0) => {
                let _ = std::fs::remove_file(&files.database);
                Err(OpenError::LostDatabase { path: path.to_owned(), log: files.log.clone() })
            }
            result => result,
        }
    }

    fn lock(database: &Path, given: &Path) -> Result<File, OpenError> {
        let path = beside(database, "-lock");
        create_private(&path).map_err(|error| explain(given, &error))?;
        let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(|error| explain(given, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let owner = owner.trim().parse().ok();
                return Err(OpenError::InUse { path: given.to_owned(), owner });
            }
            Err(TryLockError::Error(error)) => return Err(explain(given, &error)),
        }
        // For whoever finds it locked; nothing depends on it.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(file)
    }

    /// The database turned out not to be ours: nothing of us stays beside it.
    pub(super) fn leave(self) {
        let _ = std::fs::remove_file(beside(&self.database, "-lock"));
        drop(self.lock);
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn log_size(&self) -> u64 {
        self.log.metadata().map_or(0, |meta| meta.len())
    }

    /// Takes note of what is open, to find out later whether it is still there.
    pub(super) fn note_opened(&mut self) {
        self.opened = Some([identity(&self.database), identity(&self.log)]);
    }

    /// Whether what is open is what others find under its name. What is written to a deleted file is lost.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let Some(opened) = self.opened else {
            return Ok(());
        };
        for (path, opened) in [&self.database, &self.log].into_iter().zip(opened) {
            let found = identity(path);
            if found != opened {
                let what = if found.is_none() { "deleted" } else { "replaced by another file" };
                return Err(StoreError::Gone(format!(
                    "'{}' was {what} while it was in use; nothing more is accepted, restart the sidecar",
                    path.display()
                )));
            }
        }
        Ok(())
    }

    /// Whether others than its owner can read the database.
    #[cfg(unix)]
    pub(super) fn is_open_to_others(&self) -> bool {
        use std::os::unix::fs::PermissionsExt;
        self.database.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    }

    #[cfg(not(unix))]
    #[allow(clippy::unused_self, reason = "as on Unix")]
    pub(super) fn is_open_to_others(&self) -> bool {
        false
    }

    /// Leaves the database to its owner alone.
    #[cfg(unix)]
    pub(super) fn close_to_others(&self) {
        use std::os::unix::fs::PermissionsExt;
        for path in [self.database.clone(), self.log.clone(), beside(&self.database, "-shm")] {
            if path.exists()
                && let Err(error) = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            {
                tracing::warn!(path = ?path, %error, "others may be able to read this file");
            }
        }
    }

    #[cfg(not(unix))]
    #[allow(clippy::unused_self, reason = "as on Unix")]
    pub(super) fn close_to_others(&self) {}

    /// Keeps some room on the disk, so that instances can be forgotten when there is none left.
    pub(super) fn keep_reserve(&self) {
        if self.reserve.metadata().is_ok_and(|meta| meta.len() >= RESERVE as u64) {
            return;
        }
        let written = create_private(&self.reserve)
            .and_then(|_| OpenOptions::new().write(true).truncate(true).open(&self.reserve))
            .and_then(|mut file| file.write_all(&vec![0; RESERVE]));
        if let Err(error) = written {
            tracing::debug!(%error, "no room is kept in reserve");
            self.release_reserve();
        }
    }

    pub(super) fn release_reserve(&self) {
        let _ = std::fs::remove_file(&self.reserve);
    }
}

/// SQLite takes these for something else than the name of a file, or for a file that nobody meant.
fn refuse_what_is_no_path(path: &Path) -> Result<(), OpenError> {
    let text = path.to_string_lossy();
    if text.is_empty() || text == ":memory:" || text.starts_with("file:") {
        return Err(OpenError::NotAPath(path.to_owned()));
    }
    Ok(())
}

/// Creates an empty file that only its owner can read, unless there is one; SQLite gives its log the same permissions.
/// Whether it was created.
fn create_private(path: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// The same, for others that write files of ours.
pub(super) fn create_new_private(path: &Path) -> io::Result<()> {
    if create_private(path)? { Ok(()) } else { Err(ErrorKind::AlreadyExists.into()) }
}

#[cfg(unix)]
fn identity(path: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// A file that is open can not be deleted here.
#[cfg(not(unix))]
fn identity(_path: &Path) -> Identity {
    None
}

fn not_writable(path: &Path, reason: &str) -> OpenError {
    OpenError::NotWritable { path: path.to_owned(), reason: reason.to_owned() }
}

fn explain(path: &Path, error: &io::Error) -> OpenError {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match parent {
        Some(parent) if !parent.is_dir() => {
            not_writable(path, &format!("there is no directory '{}'", parent.display()))
        }
        _ => not_writable(path, &error.to_string()),
    }
}
