//! The end of a turn: status changes, the response's actions, termination, stalls and continue-as-new.

use durabletask_proto::history_event::EventType;
use durabletask_proto::orchestrator_action::OrchestratorActionType;
use durabletask_proto::{
    CompleteOrchestrationAction, ExecutionStartedEvent, ExecutionTerminatedEvent, HistoryEvent, OrchestrationInstance,
    OrchestrationStatus, OrchestrationVersion, OrchestratorAction, OrchestratorResponse, StalledReason,
};

use super::instance::without_input;
use super::{Entry, Environment, Instance, Kind, Outcome, RawEvent, actions, events, trace};

/// What was sent to the worker.
pub(crate) struct Turn {
    /// The turn's `orchestratorStarted`.
    pub(crate) started: HistoryEvent,
    /// The events that it was to handle, in order.
    pub(crate) events: Vec<RawEvent>,
}

/// What the worker's response makes of the instance.
pub(crate) fn complete_turn(
    instance: &Instance,
    turn: Turn,
    mut response: OrchestratorResponse,
    environment: &mut Environment<'_>,
) -> Outcome {
    let mut next = instance.clone();
    let mut terminated: Option<ExecutionTerminatedEvent> = None;
    for event in &turn.events {
        match event.kind {
            Kind::ExecutionSuspended => next.suspended = true,
            Kind::ExecutionResumed => next.suspended = false,
            Kind::ExecutionTerminated if terminated.is_none() => {
                if let Some(EventType::ExecutionTerminated(event)) = event.read_if(Kind::ExecutionTerminated) {
                    terminated = Some(event);
                }
            }
            _ => {}
        }
    }
    next.status = next.running_status();

    if terminated.is_some() {
        // The event is consumed with this turn. A new execution, or a stall, would lose it.
        response.actions.retain(|action| !continues_as_new(action) && !is_stall(action));
    } else if response.actions.iter().any(is_stall) {
        return stall(instance, environment);
    }

    let mut outcome = Outcome { instance: next, ..Outcome::default() };
    outcome.custom_status = response.custom_status;
    let mut started = turn.started;
    note_version(&mut started, response.version);
    outcome.history.push(Entry::Made(Box::new(started)));
    outcome.history.extend(turn.events.into_iter().map(Entry::Received));

    for action in response.actions {
        if let Some(restart) = as_continue_as_new(&action) {
            if outcome.completion.is_none() {
                return continue_as_new(outcome, restart, &action, environment);
            }
        } else {
            actions::apply(&mut outcome, action, environment);
        }
    }

    if let Some(event) = terminated {
        if outcome.completion.is_none() {
            tracing::warn!(instance_id = ?instance.id, "the worker did not end a terminated orchestration; ending it");
            outcome.activities.clear();
            outcome.shown.clear();
            outcome.timers.clear();
            outcome.messages.clear();
            outcome.children.clear();
            actions::apply(&mut outcome, forced_termination(event.input.clone()), environment);
        }
        if event.recurse {
            outcome.cascade = Some(event);
        }
    }
    outcome
}

/// Ends an instance that is scheduled for later: its code never runs.
pub(crate) fn terminate_unstarted(
    instance: &Instance,
    waiting: Vec<RawEvent>,
    event: &ExecutionTerminatedEvent,
    environment: &mut Environment<'_>,
) -> Outcome {
    let mut outcome = Outcome { instance: instance.clone(), ..Outcome::default() };
    outcome.history.extend(waiting.into_iter().map(Entry::Received));
    let terminated = events::execution_terminated(environment.now, event.clone());
    outcome.history.push(Entry::Made(Box::new(terminated)));
    actions::apply(&mut outcome, forced_termination(event.input.clone()), environment);
    outcome
}

fn forced_termination(output: Option<String>) -> OrchestratorAction {
    let complete = CompleteOrchestrationAction {
        orchestration_status: OrchestrationStatus::Terminated.into(),
        result: output,
        ..Default::default()
    };
    OrchestratorAction {
        id: -1,
        orchestrator_action_type: Some(OrchestratorActionType::CompleteOrchestration(complete)),
        router: None,
    }
}

fn is_stall(action: &OrchestratorAction) -> bool {
    matches!(action.orchestrator_action_type, Some(OrchestratorActionType::OrchestratorVersionNotAvailable(_)))
}

fn as_continue_as_new(action: &OrchestratorAction) -> Option<&CompleteOrchestrationAction> {
    match &action.orchestrator_action_type {
        Some(OrchestratorActionType::CompleteOrchestration(complete))
            if complete.orchestration_status() == OrchestrationStatus::ContinuedAsNew =>
        {
            Some(complete)
        }
        _ => None,
    }
}

fn continues_as_new(action: &OrchestratorAction) -> bool {
    as_continue_as_new(action).is_some()
}

/// Version and patches that a turn reports are remembered in the event that began it: replays read them there.
fn note_version(started: &mut HistoryEvent, version: Option<OrchestrationVersion>) {
    let Some(version) = version.filter(|version| !version.patches.is_empty() || version.name.is_some()) else {
        return;
    };
    if let Some(EventType::OrchestratorStarted(event)) = &mut started.event_type {
        event.version = Some(version);
    }
}

/// Nothing is consumed, so that the turn can be run by a worker that has the version.
fn stall(instance: &Instance, environment: &Environment<'_>) -> Outcome {
    let mut outcome = Outcome { instance: instance.clone(), stalled: true, ..Outcome::default() };
    if instance.status != OrchestrationStatus::Stalled {
        outcome.instance.status = OrchestrationStatus::Stalled;
        let description = format!("no worker has the version that instance '{}' was started with", instance.id);
        let event = events::execution_stalled(environment.now, StalledReason::VersionNotAvailable, description);
        outcome.history.push(Entry::Made(Box::new(event)));
    }
    outcome
}

/// What was asked for before belongs to the execution that is being replaced, save for what concerns others: events, ends
/// and orchestrations that nobody waits for.
fn continue_as_new(
    current: Outcome,
    restart: &CompleteOrchestrationAction,
    action: &OrchestratorAction,
    environment: &mut Environment<'_>,
) -> Outcome {
    let old = &current.instance.start;
    let execution_id = (environment.new_id)().to_string();
    let before = old.parent_trace_context.as_ref();
    let start = ExecutionStartedEvent {
        // An eternal orchestration would otherwise pile all its executions into one endless trace.
        parent_trace_context: before.map(|before| trace::root(before, &execution_id, environment)),
        input: restart.result.clone(),
        version: restart.new_version.clone().or_else(|| old.version.clone()),
        orchestration_instance: Some(OrchestrationInstance {
            instance_id: current.instance.id.clone(),
            execution_id: Some(execution_id),
        }),
        scheduled_start_timestamp: None,
        orchestration_span_id: None,
        ..old.clone()
    };
    let mut instance = current.instance;
    instance.start = without_input(&start);
    // The next execution hears nothing of an earlier suspension unless its event is carried over.
    instance.suspended = false;
    instance.status = OrchestrationStatus::Running;

    let router = actions::stamp(action.router.clone(), environment);
    let mut first = vec![events::execution_started(environment.now, start, Some(router))];
    first.extend(restart.carryover_events.iter().cloned());
    let mut children = current.children;
    children.retain(|child| child.awaited_as.is_none());
    Outcome {
        instance,
        next_execution: Some(first),
        parting: current.history,
        messages: current.messages,
        children,
        custom_status: current.custom_status,
        ..Outcome::default()
    }
}
