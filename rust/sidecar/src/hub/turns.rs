//! Completed turns: what the state machine says is stored, and what follows from it is sent on its way.

use durabletask_proto::history_event::EventType;
use durabletask_proto::prost::Message as _;
use durabletask_proto::{ExecutionTerminatedEvent, HistoryEvent, OrchestratorResponse};

use super::clients::status_name;
use super::dispatch::{TurnLease, need_of};
use super::failures::shorten_all;
use super::propagation::Encoded;
use super::scheduler::Warm;
use super::{Hub, HubError, Result};
use crate::machine::{self, Kind, Message, Outcome, RawEvent, Turn, events};
use crate::store::{DueTimer, Holder, Key};
use crate::time::{self, Nanos};

impl Hub {
    /// Takes a worker's answer to a turn.
    pub(super) fn take_turn(&mut self, mut response: OrchestratorResponse) -> Result<()> {
        shorten_all(&mut response);
        let instance_id = response.instance_id.clone();
        let unknown = || HubError::UnknownWorkItem(format!("a turn of instance '{instance_id}'"));
        let key = self.store.find_key(&instance_id)?.ok_or_else(unknown)?;
        let Some(lease) = self.leases.take_turn(key, &response.completion_token) else {
            tracing::warn!(?instance_id, "dropping the completion of a turn that is not in flight");
            if let Some(stream) = self.leases.revoked.remove(&response.completion_token) {
                self.scheduler.answered_too_late(stream);
            }
            return Err(unknown());
        };
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Err(unknown());
        };

        let TurnLease { started, mut events, event_count, mut last, past_count, past_bytes, .. } = lease;
        let execution_id = live.row.instance.execution_id().map(str::to_owned);
        let kept = processed(&response, event_count);
        if kept < event_count {
            // The rest is for the next turn; what was kept in memory is more than was taken.
            let (taken, last_taken) = self.store.waiting(key, execution_id.as_deref(), kept)?;
            (events, last) = (Some(taken), last_taken);
        }
        let events = match events {
            Some(events) => events,
            None => self.store.waiting(key, execution_id.as_deref(), event_count)?.0,
        };
        let now = self.clock.now();
        let turn = Turn { started, events };
        let chosen = response.version.as_ref().and_then(|version| version.name.clone());
        let outcome = Self::with_environment(&self.app_id, &mut self.ids, now, |environment| {
            machine::complete_turn(&live.row.instance, turn, response, environment)
        });
        let over = outcome.next_execution.is_some() || outcome.completion.is_some();
        if let Some(stream) = self.scheduler.holder_of(key) {
            let warm = (!over).then_some(Warm { execution_id, count: past_count, bytes: past_bytes });
            self.scheduler.remember(stream, key, warm);
        }
        if !over && chosen.is_some() && chosen != live.row.pinned {
            self.store.pin(key, chosen.as_deref().unwrap_or_default())?;
            live.row.pinned = chosen;
        }

        self.stats.note_turn(self.scheduler.turn_sent_at(key), self.clock.elapsed());
        let more = if outcome.stalled {
            self.scheduler.turn_declined(key);
            true
        } else {
            let more = self.scheduler.turn_answered(key).is_some_and(|(_, more)| more) || kept < event_count;
            self.store.consume(key, last)?;
            more || outcome.next_execution.is_some()
        };
        self.commit(key, outcome, now)?;
        if more
            && let Some(live) = self.cache.load(&self.store, key)?
            && !live.row.instance.is_finished()
        {
            self.scheduler.turn_is_due(key, need_of(&live.row));
        }
        Ok(())
    }

    /// Stores an outcome and passes on what it sends.
    pub(super) fn commit(&mut self, key: Key, outcome: Outcome, now: Nanos) -> Result<()> {
        let restarted = outcome.next_execution.is_some();
        if restarted {
            self.keep_parting_history(key, &outcome.parting)?;
        }
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(());
        };
        if let Some(first) = &outcome.next_execution {
            self.store.delete_history(key)?;
            self.store.delete_timers(key)?;
            let first: Vec<RawEvent> = first.iter().map(RawEvent::from).collect();
            self.store.deliver_first(key, &first)?;
            live.reset_history();
        }
        let turn = Encoded::of(&outcome.history);
        if !outcome.history.is_empty() {
            let count = u32::try_from(outcome.history.len()).unwrap_or(u32::MAX);
            self.store.append_history(key, live.count, count, &turn.frames)?;
            live.append(count, &turn.frames);
        }
        self.store.update_instance(key, &outcome.instance, now, restarted)?;
        if let Some(status) = &outcome.custom_status {
            self.store.set_custom_status(key, status)?;
        }
        let execution_id = outcome.instance.execution_id().map(str::to_owned);
        let finished = outcome.instance.is_finished();
        let (live_id, name, status) =
            (outcome.instance.id.clone(), outcome.instance.start.name.clone(), outcome.instance.status);
        live.row.instance = outcome.instance;
        if restarted {
            live.row.pinned = None;
        }
        self.cache.settle(key);
        let own = if outcome.shown.is_empty() { None } else { self.keep_own_history(key, turn)? };
        let handed = |id: i32| Some(own.as_ref()?.hand(*outcome.shown.get(&id)?));

        if finished {
            self.drop_activities(key)?;
        }
        // What the last turn asks for on its way out is done all the same: nobody waits for it, and nobody said not to.
        for event in outcome.activities {
            let (bytes, handed) = (event.encode_to_vec(), handed(event.event_id));
            if let Some(EventType::TaskScheduled(task)) = event.event_type {
                self.schedule_activity(key, execution_id.clone(), &task.name, bytes, handed.as_ref())?;
            }
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
            self.scheduler.forget_turn(key);
            self.leases.drop_turn(key);
            self.retaining.note_end(status, now);
            self.stats.note_end(status);
            tracing::info!(instance_id = ?live_id, name = ?name, status = status_name(status), "an instance has ended");
        }
        for child in &outcome.children {
            self.create_child(key, child, child.awaited_as.and_then(handed).as_ref())?;
        }
        if let Some(own) = own {
            self.store.drop_unused_chunk(own.chunk)?;
        }
        if finished {
            self.store.stop_showing(Holder::Instance(key))?;
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
        if let Some(live) = self.cache.load(&self.store, key)?
            && live.row.not_before.is_none()
        {
            self.scheduler.turn_is_due(key, need_of(&live.row));
        }
        Ok(())
    }

    fn send(&mut self, message: Message) -> Result<()> {
        let target = message.target;
        let Some(key) = self.store.find_key(&target)? else {
            tracing::warn!(?target, "dropping an event for an instance that does not exist");
            return Ok(());
        };
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(());
        };
        let wanted = message.execution_id.as_deref();
        if live.row.instance.is_finished() || (wanted.is_some() && wanted != live.row.instance.execution_id()) {
            tracing::debug!(?target, "dropping an event for an execution that is over");
            return Ok(());
        }
        match message.event.event_type {
            Some(EventType::ExecutionTerminated(ref event)) => {
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
        let now = self.clock.now();
        if live.row.instance.is_finished() {
            if event.recurse {
                self.terminate_children(key, event)?;
            }
            return Ok(());
        }
        let need = need_of(&live.row);
        // What is to start later has no code running, and what no worker has gets none.
        if live.row.not_before.is_some() || (self.scheduler.has_workers() && !self.scheduler.serves_turn(&need)) {
            let (waiting, _) = self.store.waiting(key, live.row.instance.execution_id(), u32::MAX)?;
            let mut outcome = Self::with_environment(&self.app_id, &mut self.ids, now, |environment| {
                machine::terminate_unstarted(&live.row.instance, waiting, event, environment)
            });
            outcome.cascade = event.recurse.then(|| event.clone());
            self.store.clear_not_before(key)?;
            return self.commit(key, outcome, now);
        }
        // Any worker can take part in its end, also one that could not run it.
        self.scheduler.forgive(key, &need);
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
            self.scheduler.turn_is_due(key, need_of(&live.row));
        }
        Ok(())
    }
}

/// How many of the events that a turn was sent with it has dealt with, if it says so: `orchestratorStarted`, which it counts
/// too, is none of them. One that deals with none at all would be sent for ever, so that it is taken to have dealt with one.
fn processed(response: &OrchestratorResponse, sent: u32) -> u32 {
    match response.num_events_processed {
        Some(count) => u32::try_from(count).unwrap_or(0).saturating_sub(1).clamp(1.min(sent), sent),
        None => sent,
    }
}
