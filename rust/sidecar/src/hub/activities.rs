//! Activities: scheduled by a turn, answered by a worker, told to the orchestration.

use durabletask_proto::history_event::EventType;
use durabletask_proto::{ActivityResponse, HistoryEvent, TaskCompletedEvent, TaskFailedEvent};

use super::dispatch::ActivityLease;
use super::failures::shorten;
use super::scheduler::Need;
use super::{Hub, HubError, Result};
use crate::store::{ActivityRow, Handed, Key};
use crate::time::{self, Nanos};

impl Hub {
    pub(super) fn schedule_activity(
        &mut self,
        key: Key,
        execution_id: Option<String>,
        name: &str,
        event: Vec<u8>,
        handed: Option<&Handed>,
    ) -> Result<()> {
        let sequence = self.store.add_activity(key, execution_id.as_deref(), name, &event, handed)?;
        let shown = handed.map(|handed| handed.scope);
        self.waiting.keep(sequence, ActivityRow { key, execution_id, event: event.into(), shown });
        self.scheduler.activity_is_due(sequence, Need::of(name, None));
        Ok(())
    }

    /// Takes a worker's answer to an activity: the first one counts, from whichever worker that had it in hand.
    pub(super) fn take_activity(&mut self, mut response: ActivityResponse) -> Result<()> {
        response.failure_details.iter_mut().for_each(shorten);
        let ActivityResponse { instance_id, task_id, completion_token, .. } = &response;
        let unknown = || {
            tracing::warn!(?instance_id, task_id, "dropping the completion of an activity that is not in flight");
            HubError::UnknownWorkItem(format!("activity #{task_id} of instance '{instance_id}'"))
        };
        let sequence = self.read_activity_token(completion_token).ok_or_else(unknown)?;
        let lease = match self.leases.take_activity(sequence) {
            Some(lease) => lease,
            // Handed out by a stream, or a sidecar, that is no more.
            None => match self.store.activity(sequence)? {
                Some(row) => self.read_activity(sequence, &row)?.map(|(lease, _)| lease).ok_or_else(unknown)?,
                None => return Err(unknown()),
            },
        };
        if lease.instance_id != *instance_id || lease.task_id != *task_id {
            let error = unknown();
            if self.scheduler.is_out(sequence) {
                self.leases.activities.insert(sequence, lease);
            }
            return Err(error);
        }
        self.stats.activities += 1;
        self.scheduler.activity_over(sequence);
        self.waiting.take(sequence);
        if !self.store.remove_activity(sequence)? {
            return Ok(());
        }
        let key = lease.key;
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(());
        };
        let instance = &live.row.instance;
        if instance.is_finished() || instance.execution_id() != lease.execution_id.as_deref() {
            let instance_id = &instance.id;
            tracing::debug!(?instance_id, task_id = lease.task_id, "dropping the result of an execution that is over");
            return Ok(());
        }
        let execution = lease.execution_id.clone();
        let event = result_event(lease, response, self.clock.now());
        self.deliver_to(key, execution.as_deref(), &event)
    }

    /// What an instance that has ended still had to run, nobody waits for any more. What is under way is not recalled.
    pub(super) fn drop_activities(&mut self, key: Key) -> Result<()> {
        for sequence in self.store.remove_activities(key)? {
            self.waiting.take(sequence);
        }
        Ok(())
    }
}

fn result_event(lease: ActivityLease, response: ActivityResponse, now: Nanos) -> HistoryEvent {
    let task_scheduled_id = lease.task_id;
    let task_execution_id = lease.task_execution_id;
    let event = match response.failure_details {
        Some(failure) => EventType::TaskFailed(TaskFailedEvent {
            task_scheduled_id,
            failure_details: Some(failure),
            task_execution_id,
            ..TaskFailedEvent::default()
        }),
        None => EventType::TaskCompleted(TaskCompletedEvent {
            task_scheduled_id,
            result: response.result,
            task_execution_id,
            ..TaskCompletedEvent::default()
        }),
    };
    HistoryEvent {
        event_id: -1,
        timestamp: Some(time::to_timestamp(now)),
        event_type: Some(event),
        router: lease.router,
    }
}
