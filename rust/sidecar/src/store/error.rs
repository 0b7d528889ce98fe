//! What can go wrong with a database, as far as it makes a difference to those who are told.

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_READONLY_DBMOVED;

pub(crate) type Result<T> = std::result::Result<T, StoreError>;

/// Why the database does not do what it is asked for. What was asked for is undone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full. It works again when there is room; forgetting instances makes some.
    #[error("there is no room left for it on the disk; free some, or purge instances that have ended")]
    Full,
    /// One value exceeds what SQLite can hold.
    #[error("a value is larger than the database can hold, which is 1,000,000,000 bytes")]
    TooBig,
    /// What is stored can not be read.
    #[error("it is damaged: {0}")]
    Corrupt(String),
    /// Another program holds it.
    #[error("another program has locked it: {0}")]
    Locked(String),
    /// Its file was deleted or replaced while it was in use.
    #[error("{0}")]
    Gone(String),
    /// The disk can not be read or written.
    #[error("the disk failed: {0}")]
    Io(String),
    /// Anything else; SQLite's own words.
    #[error("{0}")]
    Other(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let text = error.to_string();
        if error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_READONLY_DBMOVED) {
            return Self::Gone(text);
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::TooBig) => Self::TooBig,
            // The statements are ours: what does not fit them, without a code of the database, is a row.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None => Self::Corrupt(text),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                Self::Locked(text)
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => Self::Io(text),
            Some(_) => Self::Other(text),
        }
    }
}

impl From<rusqlite::types::FromSqlError> for StoreError {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        rusqlite::Error::from(error).into()
    }
}

impl StoreError {
    /// Whether the same may work later without anybody changing it.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Full | Self::Locked(_) | Self::Io(_))
    }
}
