//! What the engine keeps for its host without looking inside.

use std::fmt::Debug;

/// Who runs the orchestrators: the Python binding, or a test.
pub trait Host {
    /// The host's handle of a task that the orchestrator may wait for.
    type Task: Debug;
    /// A call's argument that is not encoded yet.
    type Input: Debug;
}
