//! What each history event does to an execution: one file an event, one line a type in the table below.

mod completed;
mod confirmed;
mod event_raised;
mod event_sent;
mod execution_started;
mod failed;
mod orchestrator_started;
mod suspended;
mod terminated;
mod timer_fired;

use crate::error::{Error, StateError};
use crate::host::Host;
use crate::orchestration::{Orchestration, Step};
use crate::wire::{Event, EventType};

impl<H: Host> Orchestration<H> {
    /// Applies one event and says what the host has to do. Afterwards the host applies all that
    /// [`next_released`](Self::next_released) gives before the history's next event.
    #[inline]
    pub fn apply<'a>(&mut self, event: &Event<'a>) -> Result<Step<'a, H>, Error> {
        self.events_applied += 1;
        self.apply_again(event)
    }

    /// Applies an event that [`next_released`](Self::next_released) gave.
    pub fn apply_again<'a>(&mut self, event: &Event<'a>) -> Result<Step<'a, H>, Error> {
        if self.suspended && suspended::holds_back(self, event)? {
            return Ok(Step::Continue);
        }
        match event.event_type {
            EventType::OrchestratorStarted => orchestrator_started::apply(self, event),
            EventType::ExecutionStarted => execution_started::apply(self, event),
            EventType::TaskScheduled => confirmed::task_scheduled(self, event),
            EventType::SubOrchestrationInstanceCreated => confirmed::sub_orchestration_created(self, event),
            EventType::TimerCreated => confirmed::timer_created(self, event),
            EventType::EventSent => event_sent::apply(self, event),
            EventType::TaskCompleted => completed::task_completed(self, event),
            EventType::SubOrchestrationInstanceCompleted => completed::sub_orchestration_completed(self, event),
            EventType::TaskFailed => failed::task_failed(self, event),
            EventType::SubOrchestrationInstanceFailed => failed::sub_orchestration_failed(self, event),
            EventType::TimerFired => timer_fired::apply(self, event),
            EventType::EventRaised => event_raised::apply(self, event),
            EventType::ExecutionSuspended => Ok(suspended::suspend(self)),
            EventType::ExecutionResumed => Ok(suspended::resume(self)),
            EventType::ExecutionTerminated => terminated::apply(self, event),
            // These speak of the sidecar's side of things.
            EventType::OrchestratorCompleted
            | EventType::ExecutionCompleted
            | EventType::ExecutionStalled
            | EventType::ContinueAsNew
            | EventType::DetachedOrchestrationInstanceCreated => Ok(Step::Continue),
            EventType::Unknown(field) => Err(self.unknown_type(field)),
        }
    }

    #[cold]
    fn unknown_type(&self, field: u32) -> Error {
        let (instance_id, event_index) = (self.instance_id.clone(), self.event_index());
        Error::from(match field {
            0 => StateError::EventWithoutType { instance_id, event_index },
            field => StateError::UnknownEventType { instance_id, event_index, field },
        })
    }
}
