//! One function for each action that an orchestrator can ask for.

use durabletask_proto::create_timer_action::Origin as AskedOrigin;
use durabletask_proto::history_event::EventType;
use durabletask_proto::orchestrator_action::OrchestratorActionType;
use durabletask_proto::timer_created_event::Origin;
use durabletask_proto::{
    CompleteOrchestrationAction, CreateDetachedOrchestrationAction, CreateSubOrchestrationAction, CreateTimerAction,
    DetachedOrchestrationInstanceCreatedEvent, EventSentEvent, ExecutionCompletedEvent, ExecutionStartedEvent,
    ExecutionTerminatedEvent, HistoryEvent, OrchestrationInstance, OrchestrationStatus, OrchestratorAction,
    ParentInstanceInfo, ScheduleTaskAction, SendEventAction, SubOrchestrationInstanceCreatedEvent,
    SubOrchestrationInstanceFailedEvent, TaskFailedEvent, TaskFailureDetails, TaskRouter, TaskScheduledEvent,
    TerminateOrchestrationAction, TimerCreatedEvent,
};

use super::events::{self, confirming};
use super::instance::is_final;
use super::{Child, Completion, Entry, Environment, Instance, Message, Outcome, trace};

/// Everything that an orchestrator asks for carries the id of this application.
pub(super) fn stamp(router: Option<TaskRouter>, environment: &Environment<'_>) -> TaskRouter {
    TaskRouter { source_app_id: environment.app_id.to_owned(), ..router.unwrap_or_default() }
}

/// Applies one action; continue-as-new and stalls are not for here, they concern the turn as a whole.
pub(super) fn apply(outcome: &mut Outcome, action: OrchestratorAction, environment: &mut Environment<'_>) {
    let id = action.id;
    let router = stamp(action.router, environment);
    if let Some(app) = router.target_app_id.clone().filter(|app| !app.is_empty() && app != environment.app_id) {
        return refuse_other_app(outcome, id, &app, router, action.orchestrator_action_type, environment);
    }
    match action.orchestrator_action_type {
        Some(OrchestratorActionType::ScheduleTask(asked)) => schedule_task(outcome, id, router, asked, environment),
        Some(OrchestratorActionType::CreateTimer(asked)) => create_timer(outcome, id, router, asked, environment),
        Some(OrchestratorActionType::CreateSubOrchestration(asked)) => {
            create_sub_orchestration(outcome, id, router, asked, environment);
        }
        Some(OrchestratorActionType::CreateDetachedOrchestration(asked)) => {
            create_detached(outcome, id, router, asked, environment);
        }
        Some(OrchestratorActionType::SendEvent(asked)) => send_event(outcome, id, router, asked, environment),
        Some(OrchestratorActionType::TerminateOrchestration(asked)) => terminate(outcome, router, asked, environment),
        Some(OrchestratorActionType::CompleteOrchestration(asked)) => {
            complete(outcome, id, router, asked, environment);
        }
        Some(OrchestratorActionType::OrchestratorVersionNotAvailable(_)) => {}
        None => refuse_unknown(outcome, id, router, environment),
    }
}

fn commit(outcome: &mut Outcome, event: HistoryEvent) {
    outcome.history.push(Entry::Made(Box::new(event)));
}

fn schedule_task(
    outcome: &mut Outcome,
    id: i32,
    router: TaskRouter,
    asked: ScheduleTaskAction,
    environment: &Environment<'_>,
) {
    let event = EventType::TaskScheduled(TaskScheduledEvent {
        name: asked.name,
        version: asked.version,
        input: asked.input,
        parent_trace_context: trace::below(&outcome.instance),
        task_execution_id: asked.task_execution_id,
        rerun_parent_instance_info: None,
        history_propagation_scope: asked.history_propagation_scope,
    });
    let event = confirming(id, environment.now, Some(router), event);
    outcome.activities.push(event.clone());
    commit(outcome, event);
    outcome.show(id, asked.history_propagation_scope);
}

fn create_timer(
    outcome: &mut Outcome,
    id: i32,
    router: TaskRouter,
    asked: CreateTimerAction,
    environment: &Environment<'_>,
) {
    // A timer without a time is due: better than one that never fires.
    let fire_at = asked.fire_at.unwrap_or(environment.now);
    let event = EventType::TimerCreated(TimerCreatedEvent {
        fire_at: Some(fire_at),
        name: asked.name,
        rerun_parent_instance_info: None,
        origin: asked.origin.map(|origin| match origin {
            AskedOrigin::CreateTimer(it) => Origin::CreateTimer(it),
            AskedOrigin::ExternalEvent(it) => Origin::ExternalEvent(it),
            AskedOrigin::ActivityRetry(it) => Origin::ActivityRetry(it),
            AskedOrigin::SubOrchestrationRetry(it) => Origin::SubOrchestrationRetry(it),
        }),
    });
    commit(outcome, confirming(id, environment.now, Some(router), event));
    outcome.timers.push((fire_at, events::timer_fired(fire_at, id)));
}

fn create_sub_orchestration(
    outcome: &mut Outcome,
    id: i32,
    router: TaskRouter,
    asked: CreateSubOrchestrationAction,
    environment: &mut Environment<'_>,
) {
    let parent = &outcome.instance;
    let instance_id =
        if asked.instance_id.is_empty() { format!("{}:{:04x}", parent.id, id & 0xffff) } else { asked.instance_id };
    let child = SubOrchestration {
        id,
        instance_id: instance_id.clone(),
        name: asked.name.clone(),
        version: asked.version.clone(),
        input: asked.input.clone(),
    };
    let child = sub_orchestration(parent, child, Some(router.clone()), environment);
    let event = EventType::SubOrchestrationInstanceCreated(SubOrchestrationInstanceCreatedEvent {
        instance_id,
        name: asked.name,
        version: asked.version,
        input: asked.input,
        parent_trace_context: trace::below(parent),
        rerun_parent_instance_info: None,
        history_propagation_scope: asked.history_propagation_scope,
        retry_parent_instance_info: asked.retry_parent_instance_info,
    });
    commit(outcome, confirming(id, environment.now, Some(router), event));
    outcome.show(id, asked.history_propagation_scope);
    outcome.children.push(child);
}

/// A sub-orchestration as its parent asks for it.
pub(super) struct SubOrchestration {
    /// The parent's action.
    pub(super) id: i32,
    pub(super) instance_id: String,
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) input: Option<String>,
}

/// The instance to create for a sub-orchestration, which its parent waits for.
pub(super) fn sub_orchestration(
    parent: &Instance,
    asked: SubOrchestration,
    router: Option<TaskRouter>,
    environment: &mut Environment<'_>,
) -> Child {
    let SubOrchestration { id, instance_id, name, version, input } = asked;
    let start = ExecutionStartedEvent {
        name,
        version,
        input,
        orchestration_instance: Some(OrchestrationInstance {
            instance_id,
            execution_id: Some((environment.new_id)().to_string()),
        }),
        parent_instance: Some(ParentInstanceInfo {
            task_scheduled_id: id,
            name: Some(parent.start.name.clone()),
            version: None,
            orchestration_instance: Some(OrchestrationInstance {
                instance_id: parent.id.clone(),
                execution_id: parent.execution_id().map(str::to_owned),
            }),
            app_id: Some(environment.app_id.to_owned()),
            app_namespace: None,
        }),
        parent_trace_context: trace::below(parent),
        ..ExecutionStartedEvent::default()
    };
    Child { event: events::execution_started(environment.now, start, router), awaited_as: Some(id) }
}

fn create_detached(
    outcome: &mut Outcome,
    id: i32,
    router: TaskRouter,
    asked: CreateDetachedOrchestrationAction,
    environment: &mut Environment<'_>,
) {
    let instance_id =
        if asked.instance_id.is_empty() { (environment.new_id)().simple().to_string() } else { asked.instance_id };
    let execution_id =
        asked.execution_id.filter(|given| !given.is_empty()).unwrap_or_else(|| (environment.new_id)().to_string());
    let event = EventType::DetachedOrchestrationInstanceCreated(DetachedOrchestrationInstanceCreatedEvent {
        instance_id: instance_id.clone(),
    });
    let start = ExecutionStartedEvent {
        name: asked.name,
        version: asked.version,
        input: asked.input,
        orchestration_instance: Some(OrchestrationInstance { instance_id, execution_id: Some(execution_id) }),
        scheduled_start_timestamp: asked.scheduled_start_timestamp,
        parent_trace_context: asked.parent_trace_context.or_else(|| trace::below(&outcome.instance)),
        tags: asked.tags,
        ..ExecutionStartedEvent::default()
    };
    // Like an instance that a client started: nothing in it points back to its creator.
    let spawned = router.target_app_id.as_ref().map(|target| TaskRouter {
        source_app_id: String::new(),
        target_app_id: Some(target.clone()),
        target_app_namespace: router.target_app_namespace.clone(),
    });
    commit(outcome, confirming(id, environment.now, Some(router), event));
    outcome
        .children
        .push(Child { event: events::execution_started(environment.now, start, spawned), awaited_as: None });
}

fn send_event(
    outcome: &mut Outcome,
    id: i32,
    router: TaskRouter,
    asked: SendEventAction,
    environment: &Environment<'_>,
) {
    let target = asked.instance.map(|instance| instance.instance_id).unwrap_or_default();
    let event = EventType::EventSent(EventSentEvent {
        instance_id: target.clone(),
        name: asked.name.clone(),
        input: asked.data.clone(),
    });
    commit(outcome, confirming(id, environment.now, Some(router.clone()), event));
    let raised = events::event_raised(environment.now, asked.name, asked.data);
    outcome.messages.push(Message {
        target,
        execution_id: None,
        event: HistoryEvent { router: Some(router), ..raised },
    });
}

fn terminate(
    outcome: &mut Outcome,
    router: TaskRouter,
    asked: TerminateOrchestrationAction,
    environment: &Environment<'_>,
) {
    let event = ExecutionTerminatedEvent { input: asked.reason, recurse: asked.recurse };
    let event = events::execution_terminated(environment.now, event);
    outcome.messages.push(Message {
        target: asked.instance_id,
        execution_id: None,
        event: HistoryEvent { router: Some(router), ..event },
    });
}

fn complete(
    outcome: &mut Outcome,
    id: i32,
    router: TaskRouter,
    mut asked: CompleteOrchestrationAction,
    environment: &Environment<'_>,
) {
    if outcome.completion.is_some() {
        tracing::warn!(instance_id = ?outcome.instance.id, action = id, "a second completion in one turn is ignored");
        return;
    }
    if !is_final(asked.orchestration_status()) {
        asked.failure_details = Some(failure(
            "InvalidCompletionError",
            format!("completed as {}, which is no end", asked.orchestration_status().as_str_name()),
        ));
        asked.orchestration_status = OrchestrationStatus::Failed.into();
    }
    let status = asked.orchestration_status();
    let event = EventType::ExecutionCompleted(ExecutionCompletedEvent {
        orchestration_status: asked.orchestration_status,
        result: asked.result.clone(),
        failure_details: asked.failure_details.clone(),
    });
    commit(outcome, confirming(id, environment.now, Some(router), event));

    if let Some(parent) = &outcome.instance.start.parent_instance
        && let Some(instance) = &parent.orchestration_instance
    {
        let given = asked.failure_details.clone();
        let failure = match status {
            OrchestrationStatus::Completed => None,
            _ => Some(given.unwrap_or_else(|| ended_without_failure(&outcome.instance.id, status))),
        };
        let app_id = environment.app_id;
        let event = events::child_ended(environment.now, parent, app_id, status, asked.result.clone(), failure);
        outcome.messages.push(Message {
            target: instance.instance_id.clone(),
            execution_id: instance.execution_id.clone(),
            event,
        });
    }
    outcome.instance.status = status;
    outcome.completion = Some(Completion { output: asked.result, failure: asked.failure_details });
}

/// A parent has to learn why its child failed, also when nothing raised.
fn ended_without_failure(instance_id: &str, status: OrchestrationStatus) -> TaskFailureDetails {
    let how = match status {
        OrchestrationStatus::Terminated => "was terminated",
        OrchestrationStatus::Canceled => "was canceled",
        _ => "failed",
    };
    failure("SubOrchestrationFailed", format!("sub-orchestration '{instance_id}' {how}"))
}

fn failure(error_type: &str, error_message: String) -> TaskFailureDetails {
    TaskFailureDetails { error_type: error_type.to_owned(), error_message, ..TaskFailureDetails::default() }
}

/// An action of a protocol newer than this sidecar's: carrying on without it would leave the orchestration waiting.
fn refuse_unknown(outcome: &mut Outcome, id: i32, router: TaskRouter, environment: &Environment<'_>) {
    let message =
        format!("action #{id} is of a type that this sidecar does not know; its worker speaks a newer protocol");
    let asked = CompleteOrchestrationAction {
        orchestration_status: OrchestrationStatus::Failed.into(),
        failure_details: Some(failure("UnknownActionError", message)),
        ..CompleteOrchestrationAction::default()
    };
    complete(outcome, id, router, asked, environment);
}

/// What is said of anything that is asked of another app.
pub(crate) fn asked_of_another(what: &str, app: &str, here: &str) -> String {
    format!("{what} is asked of the app '{app}', and this sidecar serves '{here}' alone: calling other apps needs Dapr")
}

/// One sidecar serves one app. What is asked of another fails where it can be seen, instead of being done here.
fn refuse_other_app(
    outcome: &mut Outcome,
    id: i32,
    app: &str,
    router: TaskRouter,
    asked: Option<OrchestratorActionType>,
    environment: &mut Environment<'_>,
) {
    let here = environment.app_id;
    let why = |what: String| failure("OtherAppError", asked_of_another(&what, app, here));
    let (now, execution_id) = (environment.now, outcome.instance.execution_id().map(str::to_owned));
    let failed = match asked {
        Some(OrchestratorActionType::ScheduleTask(asked)) => {
            let failed = TaskFailedEvent {
                task_scheduled_id: id,
                failure_details: Some(why(format!("activity '{}'", asked.name))),
                task_execution_id: asked.task_execution_id.clone(),
                ..TaskFailedEvent::default()
            };
            schedule_task(outcome, id, router, asked, environment);
            outcome.activities.pop();
            outcome.shown.remove(&id);
            EventType::TaskFailed(failed)
        }
        Some(OrchestratorActionType::CreateSubOrchestration(asked)) => {
            let failed = SubOrchestrationInstanceFailedEvent {
                task_scheduled_id: id,
                failure_details: Some(why(format!("sub-orchestration '{}'", asked.name))),
                ..SubOrchestrationInstanceFailedEvent::default()
            };
            create_sub_orchestration(outcome, id, router, asked, environment);
            outcome.children.pop();
            outcome.shown.remove(&id);
            EventType::SubOrchestrationInstanceFailed(failed)
        }
        // Nobody waits for these, so that it is the orchestration that fails.
        _ => {
            let asked = CompleteOrchestrationAction {
                orchestration_status: OrchestrationStatus::Failed.into(),
                failure_details: Some(why(format!("action #{id}"))),
                ..CompleteOrchestrationAction::default()
            };
            return complete(outcome, id, TaskRouter { target_app_id: None, ..router }, asked, environment);
        }
    };
    let event = confirming(-1, now, None, failed);
    outcome.messages.push(Message { target: outcome.instance.id.clone(), execution_id, event });
}
