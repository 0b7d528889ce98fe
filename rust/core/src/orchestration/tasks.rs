//! The tasks that the history will complete, by the ids of their actions.

use rustc_hash::FxHashMap;

use super::{Host, Pending};

/// Nearly every orchestrator waits for what it has called last, so that one is at hand and the others in a table.
#[derive(Debug)]
pub(crate) struct PendingTasks<H: Host> {
    latest: Option<(i32, Pending<H>)>,
    others: FxHashMap<i32, Pending<H>>,
}

impl<H: Host> PendingTasks<H> {
    pub(crate) fn new() -> Self {
        Self { latest: None, others: FxHashMap::default() }
    }

    /// Adds a task under an id that has none.
    #[inline]
    pub(crate) fn insert(&mut self, id: i32, pending: Pending<H>) {
        if let Some((before, pending)) = self.latest.replace((id, pending)) {
            self.others.insert(before, pending);
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: i32) -> Option<Pending<H>> {
        match self.latest.take_if(|(latest, _)| *latest == id) {
            Some((_, pending)) => Some(pending),
            None if self.others.is_empty() => None,
            None => self.others.remove(&id),
        }
    }

    pub(crate) fn get(&self, id: i32) -> Option<&Pending<H>> {
        match &self.latest {
            Some((latest, pending)) if *latest == id => Some(pending),
            _ => self.others.get(&id),
        }
    }

    pub(crate) fn get_mut(&mut self, id: i32) -> Option<&mut Pending<H>> {
        match &mut self.latest {
            Some((latest, pending)) if *latest == id => Some(pending),
            _ => self.others.get_mut(&id),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.others.len() + usize::from(self.latest.is_some())
    }

    /// All of them, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Pending<H>> {
        self.latest.iter().map(|(_, pending)| pending).chain(self.others.values())
    }
}
