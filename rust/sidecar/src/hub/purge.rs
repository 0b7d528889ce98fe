//! Forgetting instances: an instance and what it started, or nothing of it.

use super::clients::status_name;
use super::{Hub, HubError, Result};
use crate::store::{Key, PurgeFilter};

impl Hub {
    /// Forgets an instance, with what it started if `recursive`; running ones only by `force`. Returns how many.
    pub(crate) fn purge(&mut self, id: &str, recursive: bool, force: bool) -> Result<usize> {
        let row = self.existing(id)?;
        self.purge_tree(row.key, recursive, force)
    }

    /// The instances that a filter matches.
    pub(crate) fn matching(&mut self, filter: &PurgeFilter) -> Result<Vec<Key>> {
        Ok(self.store.matching(filter)?)
    }

    /// Forgets those of these instances that can be forgotten: a filter asks for no particular one. Returns how many.
    pub(crate) fn purge_all(&mut self, keys: &[Key], recursive: bool, force: bool) -> Result<usize> {
        let mut count = 0;
        for key in keys {
            match self.purge_tree(*key, recursive, force) {
                Ok(purged) => count += purged,
                Err(HubError::NotCompleted { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    fn purge_tree(&mut self, root: Key, recursive: bool, force: bool) -> Result<usize> {
        let mut doomed = Vec::new();
        self.collect(root, recursive, force, &mut doomed)?;
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
