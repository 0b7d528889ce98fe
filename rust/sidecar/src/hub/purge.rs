//! Forgetting instances, with what they have started: step by step, so that nobody else waits while a million are forgotten.

use super::clients::status_name;
use super::{Hub, HubError, Result};
use crate::store::Key;

/// How many instances are looked at or forgotten in one transaction.
const PURGE_STEP: u32 = 200;

/// What is left to forget. A tree goes from its leaves up: one that a restart interrupts still hangs together, and can be
/// purged again.
#[derive(Debug)]
pub(crate) struct Purge {
    roots: Vec<Key>,
    recursive: bool,
    force: bool,
    /// What can not be forgotten is passed over: a filter asks for no particular instance.
    lenient: bool,
    /// Of the tree that is being looked at: those whose children are not known yet, and the last child that is known.
    open: Vec<(Key, Key)>,
    /// Those that are to go, children after their parents.
    doomed: Vec<Key>,
    purged: usize,
}

impl Hub {
    /// What there is to forget of an instance, and below it if `recursive`; running ones only go by `force`.
    pub(crate) fn purge(&mut self, id: &str, recursive: bool, force: bool) -> Result<Purge> {
        let roots = vec![self.existing(id)?.key];
        Ok(Purge { roots, recursive, force, lenient: false, open: vec![], doomed: vec![], purged: 0 })
    }

    /// What there is to forget of these; those that can not be forgotten are passed over.
    pub(crate) fn purge_these(mut roots: Vec<Key>, recursive: bool, force: bool) -> Purge {
        roots.reverse();
        Purge { roots, recursive, force, lenient: true, open: vec![], doomed: vec![], purged: 0 }
    }

    /// Forgets some of it. Of a tree nothing goes before all of it is known to be free to go. Returns what is left, or
    /// how many are gone in all.
    pub(crate) fn purge_step(&mut self, mut purge: Purge) -> Result<std::result::Result<usize, Purge>> {
        let mut room = PURGE_STEP;
        while room > 0 {
            room -= 1;
            if let Some((key, after)) = purge.open.pop() {
                self.look_at(key, after, &mut purge)?;
            } else if let Some(key) = purge.doomed.pop() {
                self.purge_one(key, &mut purge)?;
            } else if let Some(root) = purge.roots.pop() {
                purge.open.push((root, 0));
            } else {
                return Ok(Ok(purge.purged));
            }
        }
        Ok(Err(purge))
    }

    /// Adds an instance to the doomed, and its children to those that are to be looked at.
    fn look_at(&self, key: Key, after: Key, purge: &mut Purge) -> Result<()> {
        if after == 0 {
            let Some(finished) = self.store.is_finished(key)? else {
                return Ok(());
            };
            if !finished && !purge.force {
                purge.open.clear();
                purge.doomed.clear();
                return match self.store.instance(key)? {
                    Some(row) if !purge.lenient => {
                        let status = status_name(row.instance.status);
                        Err(HubError::NotCompleted { id: row.instance.id, status })
                    }
                    _ => Ok(()),
                };
            }
            purge.doomed.push(key);
        }
        if purge.recursive {
            let children = self.store.children(key, after, PURGE_STEP)?;
            if let Some(last) = children.last() {
                purge.open.push((key, *last));
                purge.open.extend(children.into_iter().map(|child| (child, 0)));
            }
        }
        Ok(())
    }

    fn purge_one(&mut self, key: Key, purge: &mut Purge) -> Result<()> {
        if self.store.is_finished(key)?.is_none() {
            return Ok(());
        }
        if purge.recursive && purge.force {
            // One that was running may have started more since it was looked at.
            let more = self.store.children(key, 0, PURGE_STEP)?;
            if !more.is_empty() {
                purge.doomed.push(key);
                purge.doomed.extend(more);
                return Ok(());
            }
        }
        self.remove(key)?;
        purge.purged += 1;
        Ok(())
    }

    /// Forgets one instance, in the database, in memory and in workers' hands.
    pub(super) fn remove(&mut self, key: Key) -> Result<()> {
        let id = self.store.id_of(key)?;
        self.drop_activities(key)?;
        self.store.delete(key)?;
        self.cache.remove(key);
        self.scheduler.forget_turn(key);
        self.leases.drop_turn(key);
        let out = self.leases.activities.extract_if(|_, lease| lease.key == key);
        for sequence in out.map(|(sequence, _)| sequence).collect::<Vec<_>>() {
            self.scheduler.activity_over(sequence);
        }
        self.watchers.ring(key);
        self.stats.forgotten += 1;
        self.waiters.bury(key, &id.unwrap_or_default());
        Ok(())
    }
}
