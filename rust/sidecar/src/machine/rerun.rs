//! Running an instance that has ended again from one of its calls, as a copy: what the copy has behind it, and what is
//! done for it once more.
//!
//! The copy's history is that of its source up to the turn that made the call. What had ended by then has ended for the
//! copy too; everything else that was under way is done again, the call among it.

use std::collections::HashSet;

use durabletask_proto::history_event::EventType;
use durabletask_proto::{
    HistoryEvent, OrchestrationInstance, RerunParentInstanceInfo, SubOrchestrationInstanceCreatedEvent,
};

use super::actions::{SubOrchestration, sub_orchestration};
use super::{Entry, Environment, Instance, Outcome, events};

/// What to run again, and how.
#[derive(Debug, Default)]
pub(crate) struct Rerun {
    /// The id of the action whose confirmation in the history is the call.
    pub(crate) event_id: i32,
    /// The copy's id.
    pub(crate) new_id: String,
    /// Whether the call is given another input: this one.
    pub(crate) overwrite_input: bool,
    pub(crate) input: Option<String>,
    /// The id of the copy's sub-orchestration, if the call is one.
    pub(crate) new_child_id: Option<String>,
}

/// Why an instance can not be run again like this.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RerunError {
    #[error("'{0}' has not ended; only what has ended can be run again")]
    NotEnded(String),
    #[error("'{0}' is a sub-orchestration; run what has called it again instead")]
    SubOrchestration(String),
    #[error("'{0}' has no history of its own: it ended before it began")]
    NeverRan(String),
    #[error(
        "the history of '{0}' has no event with the id {1}; expected that of a call of an activity or a sub-orchestration, or of a timer"
    )]
    NoSuchEvent(String, i32),
    #[error(
        "event {1} in the history of '{0}' can not be run again; expected that of a call of an activity or a sub-orchestration, or of a timer"
    )]
    NoCall(String, i32),
    #[error("event {0} is a timer's, which takes no input")]
    TakesNoInput(i32),
    #[error("event {0} starts no sub-orchestration that could be given an id")]
    StartsNothing(i32),
}

/// The copy, after the turn that made the call.
pub(crate) fn rerun(
    source: &Instance,
    history: Vec<HistoryEvent>,
    asked: &Rerun,
    environment: &mut Environment<'_>,
) -> Result<Outcome, RerunError> {
    if !source.is_finished() {
        return Err(RerunError::NotEnded(source.id.clone()));
    }
    if source.start.parent_instance.is_some() {
        return Err(RerunError::SubOrchestration(source.id.clone()));
    }
    let kept = until_the_turn_of(&source.id, history, asked)?;
    let ended: HashSet<i32> = kept.iter().filter_map(ends_call).collect();

    let execution = OrchestrationInstance {
        instance_id: asked.new_id.clone(),
        execution_id: Some((environment.new_id)().to_string()),
    };
    let mut outcome = Outcome::default();
    let mut instance = None;
    let mut suspended = false;
    for mut event in kept {
        let again = is_call(&event) && !ended.contains(&event.event_id);
        match &mut event.event_type {
            Some(EventType::ExecutionStarted(start)) => {
                start.orchestration_instance = Some(execution.clone());
                instance = Some(Instance::pending(&asked.new_id, start));
            }
            Some(EventType::ExecutionSuspended(_)) => suspended = true,
            Some(EventType::ExecutionResumed(_)) => suspended = false,
            _ => {}
        }
        let mut shows = None;
        if again {
            let instance = instance.as_ref().ok_or_else(|| RerunError::NeverRan(source.id.clone()))?;
            event.timestamp = Some(environment.now);
            do_again(&mut outcome, instance, &mut event, source, asked, environment);
            shows = match &event.event_type {
                Some(EventType::TaskScheduled(scheduled)) => scheduled.history_propagation_scope,
                Some(EventType::SubOrchestrationInstanceCreated(created)) => created.history_propagation_scope,
                _ => None,
            };
        }
        let id = event.event_id;
        outcome.history.push(Entry::Made(Box::new(event)));
        outcome.show(id, shows);
    }
    outcome.instance = instance.ok_or_else(|| RerunError::NeverRan(source.id.clone()))?;
    outcome.instance.suspended = suspended;
    outcome.instance.status = outcome.instance.running_status();
    Ok(outcome)
}

/// The history up to the last confirmation of the turn that made the call.
fn until_the_turn_of(id: &str, mut history: Vec<HistoryEvent>, asked: &Rerun) -> Result<Vec<HistoryEvent>, RerunError> {
    let named = |event: &HistoryEvent| event.event_id == asked.event_id;
    let Some(index) = history.iter().position(|event| named(event) && is_call(event)) else {
        // What the sidecar makes by itself has the id -1.
        let is_other = asked.event_id >= 0 && history.iter().any(named);
        let error = if is_other { RerunError::NoCall } else { RerunError::NoSuchEvent };
        return Err(error(id.to_owned(), asked.event_id));
    };
    match &history[index].event_type {
        Some(EventType::TimerCreated(_)) if asked.overwrite_input => {
            return Err(RerunError::TakesNoInput(asked.event_id));
        }
        Some(EventType::SubOrchestrationInstanceCreated(_)) => {}
        _ if asked.new_child_id.is_some() => return Err(RerunError::StartsNothing(asked.event_id)),
        _ => {}
    }
    let beside = history[index..].iter().take_while(|event| is_call(event) || is_sent(event)).count();
    history.truncate(index + beside);
    Ok(history)
}

/// Whether something is done for this event that ends later.
fn is_call(event: &HistoryEvent) -> bool {
    matches!(
        event.event_type,
        Some(EventType::TaskScheduled(_) | EventType::TimerCreated(_) | EventType::SubOrchestrationInstanceCreated(_))
    )
}

fn is_sent(event: &HistoryEvent) -> bool {
    matches!(event.event_type, Some(EventType::EventSent(_) | EventType::DetachedOrchestrationInstanceCreated(_)))
}

/// The id of the call that this event ends.
fn ends_call(event: &HistoryEvent) -> Option<i32> {
    match event.event_type.as_ref()? {
        EventType::TaskCompleted(it) => Some(it.task_scheduled_id),
        EventType::TaskFailed(it) => Some(it.task_scheduled_id),
        EventType::SubOrchestrationInstanceCompleted(it) => Some(it.task_scheduled_id),
        EventType::SubOrchestrationInstanceFailed(it) => Some(it.task_scheduled_id),
        EventType::TimerFired(it) => Some(it.timer_id),
        _ => None,
    }
}

fn do_again(
    outcome: &mut Outcome,
    instance: &Instance,
    event: &mut HistoryEvent,
    source: &Instance,
    asked: &Rerun,
    environment: &mut Environment<'_>,
) {
    let id = event.event_id;
    let named = id == asked.event_id;
    let origin = named.then(|| RerunParentInstanceInfo { instance_id: source.id.clone() });
    let overwrite = named && asked.overwrite_input;
    match &mut event.event_type {
        Some(EventType::TaskScheduled(scheduled)) => {
            scheduled.rerun_parent_instance_info = origin;
            if overwrite {
                scheduled.input.clone_from(&asked.input);
            }
            outcome.activities.push(event.clone());
        }
        Some(EventType::TimerCreated(timer)) => {
            timer.rerun_parent_instance_info = origin;
            let fire_at = timer.fire_at.unwrap_or(environment.now);
            outcome.timers.push((fire_at, events::timer_fired(fire_at, id)));
        }
        Some(EventType::SubOrchestrationInstanceCreated(created)) => {
            created.rerun_parent_instance_info = origin;
            if overwrite {
                created.input.clone_from(&asked.input);
            }
            let given = asked.new_child_id.clone().filter(|_| named);
            created.instance_id = given.unwrap_or_else(|| format!("{}:{:04x}", instance.id, id & 0xffff));
            let SubOrchestrationInstanceCreatedEvent { instance_id, name, version, input, .. } = created.clone();
            let child = SubOrchestration { id, instance_id, name, version, input };
            outcome.children.push(sub_orchestration(instance, child, event.router.clone(), environment));
        }
        _ => {}
    }
}
