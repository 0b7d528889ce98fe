//! Completed turns: what the state machine says is stored, and what follows from it is sent on its way.

use durabletask_proto::prost::Message as _;
use durabletask_proto::{ExecutionTerminatedEvent, HistoryEvent, OrchestratorResponse};

use super::dispatch::TurnLease;
use super::streams::Warm;
use super::{Hub, HubError, Result};
use crate::machine::{self, Entry, Kind, Message, Outcome, RawEvent, Turn, events};
use crate::store::{DueTimer, Key};
use crate::time::{self, Nanos};
use crate::wire::put_past_event;

impl Hub {
    /// Takes a worker's answer to a turn.
    pub(crate) fn complete_turn(&mut self, response: OrchestratorResponse) -> Result<()> {
        let instance_id = response.instance_id.clone();
        let unknown = || HubError::UnknownWorkItem(format!("a turn of instance '{instance_id}'"));
        let key = self.store.find_key(&instance_id)?.ok_or_else(unknown)?;
        let Some(lease) = self.leases.take_turn(key, &response.completion_token) else {
            tracing::warn!(%instance_id, "dropping the completion of a turn that is not in flight");
            return Err(unknown());
        };
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Err(unknown());
        };

        let TurnLease { stream, started, events, last, more, past_count, past_bytes, .. } = lease;
        let now = time::now();
        let turn = Turn { started, events };
        let outcome = Self::with_environment(&self.app_id, now, |environment| {
            machine::complete_turn(&live.row.instance, turn, response, environment)
        });
        let execution_id = live.row.instance.execution_id().map(str::to_owned);
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.turns = stream.turns.saturating_sub(1);
            if outcome.next_execution.is_some() || outcome.completion.is_some() {
                stream.forget(key);
            } else {
                stream.remember(key, Warm { execution_id, count: past_count, bytes: past_bytes });
            }
        }

        if outcome.stalled {
            self.stalled.entry(key).or_default().push(stream);
            self.queue.push_turn(key);
        } else {
            self.stalled.remove(&key);
            self.store.consume(key, last)?;
            if more || outcome.next_execution.is_some() {
                self.queue.push_turn(key);
            }
        }
        self.commit(key, outcome, now)
    }

    /// Stores an outcome and passes on what it sends.
    pub(super) fn commit(&mut self, key: Key, outcome: Outcome, now: Nanos) -> Result<()> {
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(());
        };
        let restarted = outcome.next_execution.is_some();
        if let Some(first) = &outcome.next_execution {
            self.store.delete_history(key)?;
            self.store.delete_timers(key)?;
            let first: Vec<RawEvent> = first.iter().map(RawEvent::from).collect();
            self.store.deliver_first(key, &first)?;
            live.reset_history();
        }
        if !outcome.history.is_empty() {
            let mut frames = Vec::new();
            for entry in &outcome.history {
                match entry {
                    Entry::Received(event) => put_past_event(&mut frames, &event.bytes),
                    Entry::Made(event) => put_past_event(&mut frames, &event.encode_to_vec()),
                }
            }
            let count = u32::try_from(outcome.history.len()).unwrap_or(u32::MAX);
            self.store.append_history(key, live.count, count, &frames)?;
            live.append(count, &frames);
        }
        self.store.update_instance(key, &outcome.instance, now, restarted)?;
        if let Some(status) = &outcome.custom_status {
            self.store.set_custom_status(key, status)?;
        }
        let execution_id = outcome.instance.execution_id().map(str::to_owned);
        let finished = outcome.instance.is_finished();
        live.row.instance = outcome.instance;
        self.cache.settle(key);

        for event in outcome.activities {
            let bytes = event.encode_to_vec();
            self.schedule_activity(key, execution_id.clone(), bytes)?;
        }
        for (fire_at, event) in outcome.timers {
            self.add_timer(key, time::from_timestamp(&fire_at), Some(&event.encode_to_vec()))?;
        }
        if let Some(completion) = &outcome.completion {
            self.store.set_completion(key, completion)?;
        }
        if finished {
            // Whatever else would happen to it, happens to nobody any more.
            self.store.consume(key, i64::MAX)?;
            self.store.delete_timers(key)?;
            self.cache.remove(key);
            self.stalled.remove(&key);
        }
        for child in &outcome.children {
            self.create_child(key, child)?;
        }
        for message in outcome.messages {
            self.send(message)?;
        }
        if let Some(event) = outcome.cascade {
            self.terminate_children(key, &event)?;
        }
        self.notice_status(key)
    }

    /// Puts an event into the inbox of an instance that is not finished.
    pub(super) fn deliver(&mut self, key: Key, event: &HistoryEvent) -> Result<()> {
        self.deliver_raw(key, None, &RawEvent::from(event))
    }

    /// Puts an event into the inbox that means something to one execution only.
    pub(super) fn deliver_to(&mut self, key: Key, execution: Option<&str>, event: &HistoryEvent) -> Result<()> {
        self.deliver_raw(key, execution, &RawEvent::from(event))
    }

    fn deliver_raw(&mut self, key: Key, execution: Option<&str>, event: &RawEvent) -> Result<()> {
        self.store.deliver(key, execution, event)?;
        let scheduled = self.cache.load(&self.store, key)?.is_some_and(|live| live.row.not_before.is_some());
        if !self.leases.note_more(key) && !scheduled {
            self.queue.push_turn(key);
        }
        Ok(())
    }

    fn send(&mut self, message: Message) -> Result<()> {
        let target = message.target;
        let Some(key) = self.store.find_key(&target)? else {
            tracing::warn!(%target, "dropping an event for an instance that does not exist");
            return Ok(());
        };
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(());
        };
        let wanted = message.execution_id.as_deref();
        if live.row.instance.is_finished() || (wanted.is_some() && wanted != live.row.instance.execution_id()) {
            tracing::debug!(%target, "dropping an event for an execution that is over");
            return Ok(());
        }
        match message.event.event_type {
            Some(durabletask_proto::history_event::EventType::ExecutionTerminated(ref event)) => {
                let event = event.clone();
                self.terminate_key(key, &event, message.event.router)
            }
            _ => self.deliver_to(key, wanted, &message.event),
        }
    }

    /// Ends an instance: by its next turn, or at once if it was to start later.
    pub(super) fn terminate_key(
        &mut self,
        key: Key,
        event: &ExecutionTerminatedEvent,
        router: Option<durabletask_proto::TaskRouter>,
    ) -> Result<()> {
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(());
        };
        let now = time::now();
        if live.row.instance.is_finished() {
            if event.recurse {
                self.terminate_children(key, event)?;
            }
            return Ok(());
        }
        if live.row.not_before.is_some() {
            let (waiting, _) = self.store.waiting(key, live.row.instance.execution_id(), u32::MAX)?;
            let outcome = Self::with_environment(&self.app_id, now, |environment| {
                machine::terminate_unstarted(&live.row.instance, waiting, event, environment)
            });
            self.store.clear_not_before(key)?;
            return self.commit(key, outcome, now);
        }
        // Any worker can take part in its end, also one that could not run it.
        self.stalled.remove(&key);
        let terminated = events::execution_terminated(time::to_timestamp(now), event.clone());
        self.deliver(key, &HistoryEvent { router, ..terminated })
    }

    /// A timer is due.
    pub(super) fn fire(&mut self, timer: DueTimer) -> Result<()> {
        let key = timer.key;
        if let Some(bytes) = timer.event {
            let live = self.cache.load(&self.store, key)?;
            let execution = live.and_then(|live| live.row.instance.execution_id()).map(str::to_owned);
            return self.deliver_raw(key, execution.as_deref(), &RawEvent { kind: Kind::Other, bytes });
        }
        self.store.clear_not_before(key)?;
        if let Some(live) = self.cache.load(&self.store, key)? {
            live.row.not_before = None;
            self.queue.push_turn(key);
        }
        Ok(())
    }
}
