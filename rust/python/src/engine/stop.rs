//! Why a turn does not go on to its last event.

use durabletask_core::wire::Corrupt;
use pyo3::prelude::*;

use super::stalled::Mismatch;

/// Why a turn stopped before its last event.
pub(crate) enum Stop {
    /// The request is unreadable: it is answered, but says nothing about the orchestration.
    Corrupt(Corrupt),
    /// The orchestration fails with this exception.
    Failed(PyErr),
    /// The same, and it is the user's code that raised it.
    Raised(PyErr),
    /// The code here is not the code that the instance needs; another worker may have it.
    Unfit(Mismatch, PyErr),
}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        Self::Failed(error)
    }
}

impl From<Corrupt> for Stop {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}
