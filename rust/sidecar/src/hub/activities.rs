//! Activities: scheduled by a turn, answered by a worker, told to the orchestration.

use durabletask_proto::history_event::EventType;
use durabletask_proto::{ActivityResponse, HistoryEvent, TaskCompletedEvent, TaskFailedEvent};

use super::dispatch::ActivityLease;
use super::{Hub, HubError, Result};
use crate::store::{ActivityRow, Key};
use crate::time;

impl Hub {
    pub(super) fn schedule_activity(&mut self, key: Key, execution_id: Option<String>, event: Vec<u8>) -> Result<()> {
        let sequence = self.store.add_activity(key, execution_id.as_deref(), &event)?;
        self.queue.push_activity(sequence, Some(ActivityRow { key, execution_id, event: event.into() }));
        Ok(())
    }

    /// Takes a worker's answer to an activity.
    pub(crate) fn complete_activity(&mut self, response: ActivityResponse) -> Result<()> {
        let ActivityResponse { instance_id, task_id, completion_token, .. } = &response;
        let Some(lease) = self.leases.take_activity(instance_id, *task_id, completion_token) else {
            tracing::warn!(%instance_id, task_id, "dropping the completion of an activity that is not in flight");
            return Err(HubError::UnknownWorkItem(format!("activity #{task_id} of instance '{instance_id}'")));
        };
        if let Some(stream) = self.streams.get_mut(lease.stream) {
            stream.activities = stream.activities.saturating_sub(1);
        }
        if !self.store.remove_activity(lease.sequence)? {
            return Ok(());
        }
        let key = lease.row.key;
        let Some(live) = self.cache.load(&self.store, key)? else {
            return Ok(());
        };
        let instance = &live.row.instance;
        if instance.is_finished() || instance.execution_id() != lease.row.execution_id.as_deref() {
            let instance_id = &instance.id;
            tracing::debug!(%instance_id, task_id = lease.task_id, "dropping the result of an execution that is over");
            return Ok(());
        }
        let execution = lease.row.execution_id.clone();
        self.deliver_to(key, execution.as_deref(), &result_event(lease, response))
    }
}

fn result_event(lease: ActivityLease, response: ActivityResponse) -> HistoryEvent {
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
        timestamp: Some(time::to_timestamp(time::now())),
        event_type: Some(event),
        router: lease.router,
    }
}
