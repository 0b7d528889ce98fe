//! Forgetting instances: all of a request or nothing of it.

use std::collections::HashSet;

use super::clients::status_name;
use super::{Hub, HubError, Result};
use crate::store::{Key, PurgeFilter};

/// What to forget.
#[derive(Debug)]
pub(crate) enum PurgeTarget {
    Instance(String),
    Matching(PurgeFilter),
}

impl Hub {
    /// Forgets instances, with what they started if `recursive`; running ones only by `force`. Returns how many.
    pub(crate) fn purge(&mut self, target: PurgeTarget, recursive: bool, force: bool) -> Result<usize> {
        let mut doomed = Vec::new();
        match target {
            PurgeTarget::Instance(id) => {
                let row = self.existing(&id)?;
                self.collect(row.key, recursive, force, &mut doomed)?;
            }
            PurgeTarget::Matching(filter) => {
                for key in self.store.matching(&filter)? {
                    let mut tree = Vec::new();
                    match self.collect(key, recursive, force, &mut tree) {
                        Ok(()) => doomed.extend(tree),
                        // A filter asks for what can be purged, not for every one by name.
                        Err(HubError::NotCompleted { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        let doomed: HashSet<Key> = doomed.into_iter().collect();
        for key in &doomed {
            self.remove(*key)?;
        }
        Ok(doomed.len())
    }

    /// Lists an instance and, if asked, all below it; an unfinished one is an error unless forced.
    fn collect(&self, root: Key, recursive: bool, force: bool, found: &mut Vec<Key>) -> Result<()> {
        let mut open = vec![root];
        while let Some(key) = open.pop() {
            let Some(row) = self.store.instance(key)? else {
                continue;
            };
            if !force && !row.instance.is_finished() {
                let status = status_name(row.instance.status);
                return Err(HubError::NotCompleted { id: row.instance.id, status });
            }
            found.push(key);
            if recursive {
                open.extend(self.store.children(key)?);
            }
        }
        Ok(())
    }

    /// Forgets one instance, in the database, in memory and in workers' hands.
    pub(super) fn remove(&mut self, key: Key) -> Result<()> {
        let id = self.store.instance(key)?.map(|row| row.instance.id);
        self.store.delete(key)?;
        self.cache.remove(key);
        self.stalled.remove(&key);
        let (turn, activities) = self.leases.revoke(key);
        if let Some(stream) = turn.and_then(|id| self.streams.get_mut(id)) {
            stream.turns = stream.turns.saturating_sub(1);
        }
        for id in activities {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.activities = stream.activities.saturating_sub(1);
            }
        }
        self.waiters.bury(key, &id.unwrap_or_default());
        Ok(())
    }
}
