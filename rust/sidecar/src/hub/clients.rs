//! What clients ask for: starting, reading, raising, ending, suspending.

use durabletask_proto::history_event::EventType;
use durabletask_proto::{
    CreateOrchestrationAction, ExecutionStartedEvent, ExecutionTerminatedEvent, HistoryEvent,
    OrchestrationIdReusePolicy, OrchestrationState, OrchestrationStatus, TaskFailureDetails,
};

use super::scheduler::{Counted, Need};
use super::{Hub, HubError, Result};
use crate::machine::{Child, Instance, RawEvent, events};
use crate::store::{Created, Handed, InstanceRow, Key};
use crate::time;
use crate::wire::Frames;

/// How many ids one page holds if the caller does not say.
const DEFAULT_PAGE: u32 = 1_000;
const MAX_PAGE: u32 = 10_000;

/// An instance that a client starts.
#[derive(Clone)]
pub(crate) struct NewInstance {
    pub(crate) start: ExecutionStartedEvent,
    pub(crate) reuse: Option<OrchestrationIdReusePolicy>,
    /// An id that is taken is refused, whatever became of its instance.
    pub(crate) unique: bool,
}

impl Hub {
    pub(crate) fn start_instance(&mut self, mut new: NewInstance) -> Result<()> {
        self.expect_more();
        let id = instance_id(&new.start).to_owned();
        if let Some(existing) = self.find(&id)? {
            let status = existing.instance.status;
            let named = new.reuse.filter(|policy| policy.operation_status.contains(&(status as i32)));
            match named.map(|policy| policy.action()) {
                _ if new.unique => return Err(HubError::AlreadyExists { id, status: status_name(status) }),
                Some(CreateOrchestrationAction::Ignore) => return Ok(()),
                Some(CreateOrchestrationAction::Terminate) => {}
                None if existing.instance.is_finished() => {}
                Some(CreateOrchestrationAction::Error) | None => {
                    return Err(HubError::AlreadyExists { id, status: status_name(status) });
                }
            }
            self.remove(existing.key)?;
        }
        if let Some(instance) = &mut new.start.orchestration_instance {
            instance.execution_id.get_or_insert_with(|| self.ids.next().to_string());
        }
        let event = events::execution_started(time::to_timestamp(self.clock.now()), new.start, None);
        self.create(&event, None, None)
    }

    /// Creates the instance that an `executionStarted` describes; the id is free.
    fn create(&mut self, event: &HistoryEvent, parent: Option<Key>, handed: Option<&Handed>) -> Result<()> {
        let Some(EventType::ExecutionStarted(start)) = &event.event_type else {
            return Ok(());
        };
        let now = self.clock.now();
        let scheduled = start.scheduled_start_timestamp.as_ref().map(time::from_timestamp);
        let not_before = scheduled.filter(|at| *at > now);
        let instance = Instance::pending(instance_id(start), start);
        let key = self.store.create_instance(&Created { instance: &instance, parent, handed, not_before, now })?;
        self.store.deliver(key, None, &RawEvent::from(event))?;
        self.stats.started += 1;
        tracing::info!(instance_id = ?instance.id, name = ?start.name, "an instance is started");
        match not_before {
            Some(at) => self.add_timer(key, at, None)?,
            None => self.scheduler.turn_is_due(key, Need::of(&start.name, None)),
        }
        Ok(())
    }

    /// Creates a sub-orchestration or a detached one; an id that is taken must not leave the parent waiting.
    pub(super) fn create_child(&mut self, parent: Key, child: &Child, handed: Option<&Handed>) -> Result<()> {
        let Some(EventType::ExecutionStarted(start)) = &child.event.event_type else {
            return Ok(());
        };
        let id = instance_id(start).to_owned();
        if let Some(existing) = self.find(&id)? {
            if !existing.instance.is_finished() || !same_parent(&existing.instance.start, start) {
                let status = status_name(existing.instance.status);
                tracing::warn!(instance_id = ?id, status, "an orchestration can not be started: its id is in use");
                return match child.awaited_as {
                    Some(_) => self.refuse_child(parent, start, existing.instance.status),
                    None => Ok(()),
                };
            }
            // A retry, or the same call by the parent's next execution.
            tracing::debug!(instance_id = ?id, "a sub-orchestration takes the place of an earlier one of its parent");
            self.remove(existing.key)?;
        }
        self.create(&child.event, child.awaited_as.map(|_| parent), handed)
    }

    fn refuse_child(&mut self, parent: Key, start: &ExecutionStartedEvent, status: OrchestrationStatus) -> Result<()> {
        let Some(info) = &start.parent_instance else {
            return Ok(());
        };
        let open = self.cache.load(&self.store, parent)?.is_some_and(|live| !live.row.instance.is_finished());
        if !open {
            return Ok(());
        }
        let failure = TaskFailureDetails {
            error_type: "OrchestrationAlreadyExists".to_owned(),
            error_message: format!(
                "sub-orchestration '{}' was not started: an instance with this id is {}",
                instance_id(start),
                status_name(status)
            ),
            ..TaskFailureDetails::default()
        };
        let now = time::to_timestamp(self.clock.now());
        let failed = OrchestrationStatus::Failed;
        let event = events::child_ended(now, info, &self.app_id, failed, None, Some(failure));
        let execution = info.orchestration_instance.as_ref().and_then(|instance| instance.execution_id.as_deref());
        self.deliver_to(parent, execution, &event)
    }

    /// An event for an instance, as of now; a finished one has no use for it.
    pub(crate) fn raise(&mut self, id: &str, event: HistoryEvent) -> Result<()> {
        self.expect_more();
        let row = self.existing(id)?;
        if row.instance.is_finished() {
            tracing::debug!(instance_id = ?id, "dropping an event for a finished instance");
            return Ok(());
        }
        let timestamp = Some(time::to_timestamp(self.clock.now()));
        self.deliver(row.key, &HistoryEvent { timestamp, ..event })
    }

    pub(crate) fn terminate(&mut self, id: &str, event: &ExecutionTerminatedEvent) -> Result<()> {
        self.expect_more();
        let row = self.existing(id)?;
        self.terminate_key(row.key, event, None)
    }

    /// The state of an instance, if there is one.
    #[cfg(test)]
    pub(crate) fn state(&mut self, id: &str, payloads: bool) -> Result<Option<OrchestrationState>> {
        match self.find(id)? {
            Some(row) => Ok(Some(self.describe(row, payloads)?)),
            None => Ok(None),
        }
    }

    /// The state of an instance, with what it was given and what it gave back if `payloads` is set.
    pub(super) fn describe(&self, row: InstanceRow, payloads: bool) -> Result<OrchestrationState> {
        let start = row.instance.start;
        let mut state = OrchestrationState {
            instance_id: row.instance.id,
            name: start.name,
            version: start.version,
            orchestration_status: row.instance.status.into(),
            scheduled_start_timestamp: start.scheduled_start_timestamp,
            created_timestamp: Some(time::to_timestamp(row.created_at)),
            last_updated_timestamp: Some(time::to_timestamp(row.updated_at)),
            completed_timestamp: row.completed_at.map(time::to_timestamp),
            execution_id: start.orchestration_instance.and_then(|instance| instance.execution_id),
            tags: start.tags,
            started_at: row.started_at.map(time::to_timestamp),
            ..OrchestrationState::default()
        };
        if let Some(parent) = start.parent_instance {
            state.parent_instance_id = parent.orchestration_instance.map(|instance| instance.instance_id);
            state.parent_app_id = parent.app_id.filter(|id| !id.is_empty());
        }
        if payloads {
            state.input = self.store.execution_started(row.key)?.and_then(|start| start.input);
            let (custom_status, completion) = self.store.results(row.key)?;
            state.custom_status = custom_status;
            state.output = completion.output;
            state.failure_details = completion.failure;
        }
        Ok(state)
    }

    /// The committed history, encoded.
    pub(crate) fn history(&mut self, id: &str) -> Result<Frames> {
        let row = self.existing(id)?;
        match self.cache.known_history(row.key) {
            Some(frames) => Ok(frames.clone()),
            None => Ok(self.store.history(row.key)?),
        }
    }

    /// What waits for a worker that has it, while none that is connected does: turns, then activities, by what they need,
    /// and how many of each.
    pub(crate) fn unserved(&self) -> (Counted<Need>, Counted<Need>) {
        let owned = |needs: Counted<&Need>| needs.into_iter().map(|(need, count)| (need.clone(), count)).collect();
        let (turns, activities) = self.scheduler.unserved();
        (owned(turns), owned(activities))
    }

    /// A page of ids behind `after`, and where the next page begins if there is one.
    pub(crate) fn list(&mut self, after: i64, size: Option<u32>) -> Result<(Vec<String>, Option<i64>)> {
        let size = size.filter(|size| *size > 0).unwrap_or(DEFAULT_PAGE).min(MAX_PAGE);
        let mut found = self.store.list(after, size + 1)?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let next = found.last().filter(|_| more).map(|(key, _)| *key);
        Ok((found.into_iter().map(|(_, id)| id).collect(), next))
    }

    /// The instance's row: as it is now, whether or not it is in memory.
    pub(super) fn find(&mut self, id: &str) -> Result<Option<InstanceRow>> {
        match self.store.find_key(id)? {
            Some(key) => Ok(self.store.instance(key)?),
            None => Ok(None),
        }
    }

    pub(super) fn existing(&mut self, id: &str) -> Result<InstanceRow> {
        self.find(id)?.ok_or_else(|| HubError::NotFound(id.to_owned()))
    }
}

/// Whether both are sub-orchestrations of the same instance.
fn same_parent(one: &ExecutionStartedEvent, other: &ExecutionStartedEvent) -> bool {
    let parent = |start: &ExecutionStartedEvent| -> Option<String> {
        Some(start.parent_instance.as_ref()?.orchestration_instance.as_ref()?.instance_id.clone())
    };
    parent(one).is_some() && parent(one) == parent(other)
}

fn instance_id(start: &ExecutionStartedEvent) -> &str {
    start.orchestration_instance.as_ref().map_or("", |instance| &instance.instance_id)
}

/// The status as clients know it: RUNNING, COMPLETED, …
pub(super) fn status_name(status: OrchestrationStatus) -> &'static str {
    let name = status.as_str_name();
    name.strip_prefix("ORCHESTRATION_STATUS_").unwrap_or(name)
}
