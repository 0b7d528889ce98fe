//! Callers that wait for an instance to get somewhere. They are told after the commit that gets it there.

use std::collections::HashMap;
use std::sync::Arc;

use durabletask_proto::OrchestrationStatus;
use tokio::sync::oneshot;

use super::dispatch::need_of;
use super::{Hub, HubError, Result};
use crate::machine::Instance;
use crate::store::Key;
use crate::wire::EncodedMessage;

pub(crate) type WaiterId = u64;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Started,
    Finished,
    /// Suspended, or beyond.
    Suspended,
    /// Running, or beyond.
    Resumed,
}

impl Until {
    fn reached(self, instance: &Instance) -> bool {
        let status = instance.status;
        match self {
            Self::Started => status != OrchestrationStatus::Pending,
            Self::Finished => instance.is_finished(),
            Self::Suspended => instance.suspended || instance.is_finished(),
            Self::Resumed => instance.is_finished() || (!instance.suspended && status != OrchestrationStatus::Pending),
        }
    }
}

/// An encoded `GetInstanceResponse`.
pub(crate) type Answer = Result<Arc<EncodedMessage>>;

/// A caller that waits.
pub(crate) struct Waiter {
    pub(crate) id: WaiterId,
    pub(crate) until: Until,
    /// Wants inputs and outputs too.
    pub(crate) payloads: bool,
    /// Gives up when no worker is left that could get the instance there.
    pub(crate) impatient: bool,
    pub(crate) reply: oneshot::Sender<Answer>,
}

impl Waiter {
    /// Whether the instance is there. One that is stalled waits for other code, which may take days: then who only waits for a
    /// worker to act is answered as things are.
    fn is_answered_by(&self, instance: &Instance) -> bool {
        self.until.reached(instance) || (self.impatient && instance.status == OrchestrationStatus::Stalled)
    }
}

#[derive(Default)]
pub(super) struct Waiters {
    waiting: HashMap<Key, Vec<Waiter>>,
    /// Where to find each.
    keys: HashMap<WaiterId, Key>,
    /// Answers that wait for the commit.
    settled: Vec<(Key, Waiter, Answer)>,
}

impl Waiters {
    /// Gives the answers of a batch that is committed.
    pub(super) fn announce(&mut self) {
        for (_, waiter, answer) in self.settled.drain(..) {
            // Nobody listens when the caller has gone.
            let _ = waiter.reply.send(answer);
        }
    }

    /// The batch is undone: whoever was about to be answered waits on.
    pub(super) fn unsettle(&mut self) {
        for (key, waiter, _) in std::mem::take(&mut self.settled) {
            self.insert(key, waiter);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether a caller waits for an instance to get somewhere, however long that takes.
    pub(super) fn somebody_waits(&self) -> bool {
        self.waiting.values().flatten().any(|waiter| !waiter.impatient)
    }

    fn insert(&mut self, key: Key, waiter: Waiter) {
        self.keys.insert(waiter.id, key);
        self.waiting.entry(key).or_default().push(waiter);
    }

    /// The instance is no more.
    pub(super) fn bury(&mut self, key: Key, id: &str) {
        for waiter in self.take(key, |_| true) {
            self.settled.push((key, waiter, Err(HubError::NotFound(id.to_owned()))));
        }
    }

    fn take(&mut self, key: Key, mut wanted: impl FnMut(&Waiter) -> bool) -> Vec<Waiter> {
        let Some(waiting) = self.waiting.get_mut(&key) else {
            return Vec::new();
        };
        let taken: Vec<Waiter> = waiting.extract_if(.., |waiter| wanted(waiter)).collect();
        if waiting.is_empty() {
            self.waiting.remove(&key);
        }
        for waiter in &taken {
            self.keys.remove(&waiter.id);
        }
        taken
    }
}

impl Hub {
    /// Answers through the waiter once the instance is there, at once if it is already.
    pub(crate) fn wait(&mut self, instance_id: &str, waiter: Waiter) -> Result<()> {
        let row = self.existing(instance_id)?;
        let key = row.key;
        if waiter.is_answered_by(&row.instance) || (waiter.impatient && !self.scheduler.serves_turn(&need_of(&row))) {
            let state = self.describe_encoded(row, waiter.payloads)?;
            self.waiters.settled.push((key, waiter, Ok(state)));
        } else if self.waiters.keys.len() >= self.limits.waiters {
            return Err(HubError::TooManyWaiters(self.limits.waiters));
        } else {
            self.waiters.insert(key, waiter);
        }
        Ok(())
    }

    /// The caller has gone.
    pub(crate) fn stop_waiting(&mut self, id: WaiterId) {
        if let Some(key) = self.waiters.keys.get(&id).copied() {
            drop(self.waiters.take(key, |waiter| waiter.id == id));
        }
    }

    /// Settles all who waited for what the instance is now.
    pub(super) fn notice_status(&mut self, key: Key) -> Result<()> {
        self.watchers.ring(key);
        if !self.waiters.waiting.contains_key(&key) {
            return Ok(());
        }
        let Some(row) = self.store.instance(key)? else {
            return Ok(());
        };
        for waiter in self.waiters.take(key, |waiter| waiter.is_answered_by(&row.instance)) {
            let state = self.describe_encoded(row.clone(), waiter.payloads)?;
            self.waiters.settled.push((key, waiter, Ok(state)));
        }
        Ok(())
    }

    /// A worker is gone: those who only waited for one to act, and have none left, are answered as things are.
    pub(super) fn release_impatient(&mut self) {
        let impatient = |waiting: &[Waiter]| waiting.iter().any(|waiter| waiter.impatient);
        let keys: Vec<Key> =
            self.waiters.waiting.iter().filter(|(_, waiting)| impatient(waiting)).map(|(key, _)| *key).collect();
        for key in keys {
            let row = match self.store.instance(key) {
                Ok(Some(row)) if self.scheduler.serves_turn(&need_of(&row)) => continue,
                Ok(Some(row)) => Ok(row),
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            for waiter in self.waiters.take(key, |waiter| waiter.impatient) {
                let state = match &row {
                    Ok(row) => self.describe_encoded(row.clone(), waiter.payloads),
                    Err(error) => Err(error.clone().into()),
                };
                self.waiters.settled.push((key, waiter, state));
            }
        }
    }
}
