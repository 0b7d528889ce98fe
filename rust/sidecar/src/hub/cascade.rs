//! Terminations with all that an instance has started: down the tree bit by bit, so that its size holds nobody up, and
//! on after a restart.

use durabletask_proto::ExecutionTerminatedEvent;

use super::{Hub, HubError, Result};
use crate::store::{Key, StoreError};

/// How many instances are told of a termination in one transaction.
const CASCADE_BATCH: u32 = 256;

impl Hub {
    /// Has what an instance started terminated too, however deep; children that are at work pass it on by themselves.
    pub(super) fn terminate_children(&mut self, key: Key, event: &ExecutionTerminatedEvent) -> Result<()> {
        if self.store.children(key, 0, 1)?.is_empty() {
            return Ok(());
        }
        self.store.add_cascade(key, event)?;
        self.cascading = true;
        Ok(())
    }

    /// Takes the terminations that are on their way a few instances further.
    pub(super) fn run_cascades(&mut self) -> std::result::Result<(), StoreError> {
        let mut room = CASCADE_BATCH;
        while self.cascading && room > 0 {
            let Some(cascade) = self.store.next_cascade()? else {
                self.cascading = false;
                break;
            };
            let children = self.store.children(cascade.instance, cascade.after, room)?;
            let told = u32::try_from(children.len()).unwrap_or(room);
            match children.last() {
                Some(last) if told == room => self.store.advance_cascade(&cascade, *last)?,
                _ => self.store.end_cascade(&cascade)?,
            }
            for child in children {
                match self.terminate_key(child, &cascade.event, None) {
                    Ok(()) => {}
                    Err(HubError::Database(error)) => return Err(error),
                    Err(error) => tracing::warn!(%error, "an instance could not be terminated"),
                }
            }
            // One that has no children left is work too.
            room -= told.max(1).min(room);
        }
        Ok(())
    }
}
