//! Callers that watch an instance: they are told that it has changed, and come and see how.

use std::collections::HashMap;

use durabletask_proto::{HistoryEvent, OrchestrationState};
use tokio::sync::watch;

use super::{Hub, HubError, Result, WaiterId};
use crate::store::Key;
use crate::wire::decode_history;

/// How many bytes of history one look takes in, or the events of one turn if they are more.
const LOOK_BYTES: usize = 1024 * 1024;

/// Who watches which instances.
#[derive(Default)]
pub(super) struct Watchers {
    bells: HashMap<Key, HashMap<WaiterId, watch::Sender<()>>>,
    keys: HashMap<WaiterId, Key>,
}

impl Watchers {
    /// The instance has changed, or is about to: who looks, looks after the commit.
    pub(super) fn ring(&self, key: Key) {
        for bell in self.bells.get(&key).into_iter().flat_map(HashMap::values) {
            bell.send_replace(());
        }
    }
}

/// What a watcher has seen of an instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) state: Option<OrchestrationState>,
    /// How many events its history has in all.
    pub(crate) length: u32,
    /// How many of them were given.
    pub(crate) given: u32,
}

/// How an instance has changed.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) seen: Seen,
    pub(crate) events: Vec<HistoryEvent>,
    pub(crate) restarted: bool,
}

impl Hub {
    /// Rings a bell whenever the instance may have changed; it is gone when the hub is.
    pub(crate) fn watch(&mut self, instance_id: &str, watcher: WaiterId, bell: watch::Sender<()>) -> Result<Key> {
        let key = self.existing(instance_id)?.key;
        if self.watchers.keys.len() >= self.limits.waiters {
            return Err(HubError::TooManyWaiters(self.limits.waiters));
        }
        self.watchers.keys.insert(watcher, key);
        self.watchers.bells.entry(key).or_default().insert(watcher, bell);
        Ok(key)
    }

    /// The caller has gone.
    pub(crate) fn stop_watching(&mut self, watcher: WaiterId) {
        if let Some(key) = self.watchers.keys.remove(&watcher)
            && let Some(bells) = self.watchers.bells.get_mut(&key)
        {
            bells.remove(&watcher);
            if bells.is_empty() {
                self.watchers.bells.remove(&key);
            }
        }
    }

    /// How the instance has changed since it was seen like this; with the events that are new, if `history` is set.
    pub(crate) fn change_since(
        &mut self,
        (id, key): (&str, Key),
        seen: &Seen,
        payloads: bool,
        history: bool,
    ) -> Result<Change> {
        let row = self.store.instance(key)?.ok_or_else(|| HubError::NotFound(id.to_owned()))?;
        let state = self.describe(row, payloads)?;
        let execution = |state: &OrchestrationState| state.execution_id.clone();
        let restarted = seen.state.as_ref().is_some_and(|before| execution(before) != execution(&state));
        let mut given = if restarted { 0 } else { seen.given };
        let mut events = Vec::new();
        if history {
            let (frames, next) = self.store.history_after(key, given, LOOK_BYTES)?;
            events = decode_history(&frames)
                .map_err(|error| HubError::Undecodable { id: state.instance_id.clone(), error: error.to_string() })?;
            given = next;
        }
        let length = self.store.history_count(key)?;
        Ok(Change { seen: Seen { state: Some(state), length, given }, events, restarted })
    }
}
