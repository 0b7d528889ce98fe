//! What waits for a worker: one line for each need, first come first served across all that a connected worker serves.
//!
//! Work that nobody can do stands in lines of its own and costs nothing until another worker connects.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use super::needs::Need;

/// Where something stands among all that wait.
pub(super) type Ticket = i64;

#[derive(Debug)]
pub(super) struct Lines<T> {
    by_need: HashMap<Arc<Need>, Line<T>>,
    /// The first of each line that is served.
    heads: BTreeMap<Ticket, Arc<Need>>,
    queued: HashSet<T>,
    front: Ticket,
    back: Ticket,
}

#[derive(Debug)]
struct Line<T> {
    items: VecDeque<(Ticket, T)>,
    served: bool,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { by_need: HashMap::new(), heads: BTreeMap::new(), queued: HashSet::new(), front: 0, back: 1 }
    }
}

impl<T: Copy + Eq + Hash> Lines<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queued.len()
    }

    /// Puts it at the end of its line, if it does not stand in one already. `served` is asked if the line is new; returns
    /// the need if it opened a line that nobody serves.
    pub(super) fn push(&mut self, need: Need, item: T, served: impl FnOnce(&Need) -> bool) -> Option<Arc<Need>> {
        if !self.queued.insert(item) {
            return None;
        }
        let ticket = self.back;
        self.back += 1;
        if let Some(line) = self.by_need.get_mut(&need) {
            line.items.push_back((ticket, item));
            return None;
        }
        self.open(Arc::new(need), ticket, item, served)
    }

    /// Puts it at the very front: it has waited before.
    pub(super) fn push_front(&mut self, need: &Arc<Need>, item: T, served: impl FnOnce(&Need) -> bool) {
        if !self.queued.insert(item) {
            return;
        }
        let ticket = self.front;
        self.front -= 1;
        let Some(line) = self.by_need.get_mut(need) else {
            self.open(Arc::clone(need), ticket, item, served);
            return;
        };
        if line.served {
            if let Some((head, _)) = line.items.front() {
                self.heads.remove(head);
            }
            self.heads.insert(ticket, Arc::clone(need));
        }
        line.items.push_front((ticket, item));
    }

    fn open(
        &mut self,
        need: Arc<Need>,
        ticket: Ticket,
        item: T,
        served: impl FnOnce(&Need) -> bool,
    ) -> Option<Arc<Need>> {
        let served = served(&need);
        if served {
            self.heads.insert(ticket, Arc::clone(&need));
        }
        self.by_need.insert(Arc::clone(&need), Line { items: VecDeque::from([(ticket, item)]), served });
        (!served).then_some(need)
    }

    /// The first of each line that is served, longest waiting first.
    pub(super) fn heads(&self) -> impl Iterator<Item = (T, &Arc<Need>)> {
        let item = |need| self.by_need.get(need).and_then(|line: &Line<T>| line.items.front());
        self.heads.values().filter_map(move |need| item(need).map(|(_, item)| (*item, need)))
    }

    /// Takes the first out of this line.
    pub(super) fn take(&mut self, need: &Arc<Need>) -> Option<T> {
        let line = self.by_need.get_mut(need)?;
        let (ticket, item) = line.items.pop_front()?;
        self.queued.remove(&item);
        let next = line.items.front().map(|(ticket, _)| *ticket);
        if line.served {
            self.heads.remove(&ticket);
        }
        match next {
            Some(next) if line.served => drop(self.heads.insert(next, Arc::clone(need))),
            Some(_) => {}
            None => drop(self.by_need.remove(need)),
        }
        Some(item)
    }

    /// Takes it out of the middle of its line, which is a search.
    pub(super) fn remove(&mut self, need: &Need, item: T) {
        if !self.queued.contains(&item) {
            return;
        }
        let Some((need, line)) = self.by_need.get_key_value(need) else {
            return;
        };
        let need = Arc::clone(need);
        if line.items.front().is_some_and(|(_, first)| *first == item) {
            self.take(&need);
        } else if let Some(line) = self.by_need.get_mut(&need) {
            let before = line.items.len();
            line.items.retain(|(_, other)| *other != item);
            if line.items.len() < before {
                self.queued.remove(&item);
            }
        }
    }

    /// Asks again of every line whether it is served; returns those that no longer are.
    pub(super) fn ask_again(&mut self, served: impl Fn(&Need) -> bool) -> Vec<Arc<Need>> {
        self.heads.clear();
        let mut lost = Vec::new();
        for (need, line) in &mut self.by_need {
            let before = std::mem::replace(&mut line.served, served(need));
            match line.items.front() {
                Some((ticket, _)) if line.served => drop(self.heads.insert(*ticket, Arc::clone(need))),
                _ if before => lost.push(Arc::clone(need)),
                _ => {}
            }
        }
        lost
    }

    /// What nobody serves, and how much of it waits.
    pub(super) fn unserved(&self) -> impl Iterator<Item = (&Need, usize)> {
        self.by_need.iter().filter(|(_, line)| !line.served).map(|(need, line)| (&**need, line.items.len()))
    }
}
