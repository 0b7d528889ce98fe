//! The responses that tests expect, action by action.

use durabletask_core::ids::GuidSeed;
use durabletask_core::time::Timestamp;
use durabletask_proto as pb;
use pb::create_timer_action::Origin;
use pb::orchestrator_action::OrchestratorActionType;

use super::history::{History, at, proto_time};
use super::host::Turn;

/// A response, begun without actions.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    response: pb::OrchestratorResponse,
    app_id: String,
}

/// The answer to the turn of this history.
pub(crate) fn answer(history: &History) -> Answer {
    let response = pb::OrchestratorResponse {
        instance_id: history.instance_id().to_owned(),
        completion_token: "token".to_owned(),
        ..Default::default()
    };
    Answer { response, app_id: String::new() }
}

impl Answer {
    /// All routers name this application as their source.
    pub(crate) fn in_name_of(mut self, app_id: &str) -> Self {
        app_id.clone_into(&mut self.app_id);
        self
    }

    /// Schedules an activity in the first turn's time; `guid` is the number of its execution id.
    pub(crate) fn schedules(self, id: i32, name: &str, guid: u32) -> Self {
        self.schedules_at(at(0), id, name, guid)
    }

    pub(crate) fn schedules_at(self, time: Timestamp, id: i32, name: &str, guid: u32) -> Self {
        let task_execution_id = GuidSeed { at: time, count: guid }.text(&self.response.instance_id);
        let router = self.router();
        #[allow(deprecated, reason = "older sidecars read the router inside the action")]
        let action = pb::ScheduleTaskAction {
            name: name.to_owned(),
            router: Some(router.clone()),
            task_execution_id,
            ..Default::default()
        };
        self.action(id, Some(router), OrchestratorActionType::ScheduleTask(action))
    }

    pub(crate) fn creates_sub(self, id: i32, name: &str, instance_id: &str) -> Self {
        let router = self.router();
        #[allow(deprecated, reason = "older sidecars read the router inside the action")]
        let action = pb::CreateSubOrchestrationAction {
            instance_id: instance_id.to_owned(),
            name: name.to_owned(),
            router: Some(router.clone()),
            ..Default::default()
        };
        self.action(id, Some(router), OrchestratorActionType::CreateSubOrchestration(action))
    }

    pub(crate) fn creates_timer(self, id: i32, fire_at: Timestamp) -> Self {
        self.creates_timer_for(id, fire_at, Origin::CreateTimer(pb::TimerOriginCreateTimer {}))
    }

    /// The pause before an activity is called again; `guid` is the number of its execution id.
    pub(crate) fn pauses(self, id: i32, fire_at: Timestamp, guid: u32) -> Self {
        let task_execution_id = GuidSeed { at: at(0), count: guid }.text(&self.response.instance_id);
        let origin = pb::TimerOriginActivityRetry { task_execution_id };
        self.creates_timer_for(id, fire_at, Origin::ActivityRetry(origin))
    }

    /// The pause before a sub-orchestration is called again.
    pub(crate) fn pauses_sub(self, id: i32, fire_at: Timestamp, instance_id: &str) -> Self {
        let origin = pb::TimerOriginSubOrchestrationRetry { instance_id: instance_id.to_owned() };
        self.creates_timer_for(id, fire_at, Origin::SubOrchestrationRetry(origin))
    }

    /// The end of the wait for an event.
    pub(crate) fn bounds_wait(self, id: i32, fire_at: Timestamp, event: &str) -> Self {
        let origin = pb::TimerOriginExternalEvent { name: event.to_owned() };
        self.creates_timer_for(id, fire_at, Origin::ExternalEvent(origin)).last(|action| {
            if let Some(OrchestratorActionType::CreateTimer(timer)) = &mut action.orchestrator_action_type {
                timer.name = Some(event.to_owned());
            }
        })
    }

    /// The end of the time that a call may take.
    pub(crate) fn bounds_call(self, id: i32, fire_at: Timestamp) -> Self {
        self.creates_timer_for(id, fire_at, None)
    }

    fn creates_timer_for(self, id: i32, fire_at: Timestamp, origin: impl Into<Option<Origin>>) -> Self {
        let (fire_at, origin) = (Some(proto_time(fire_at)), origin.into());
        let action = pb::CreateTimerAction { fire_at, origin, ..Default::default() };
        self.action(id, None, OrchestratorActionType::CreateTimer(action))
    }

    pub(crate) fn sends_event<'a>(
        self,
        id: i32,
        instance_id: &str,
        name: &str,
        data: impl Into<Option<&'a str>>,
    ) -> Self {
        let instance = pb::OrchestrationInstance { instance_id: instance_id.to_owned(), ..Default::default() };
        let action = pb::SendEventAction {
            instance: Some(instance),
            name: name.to_owned(),
            data: data.into().map(str::to_owned),
        };
        let router = self.router();
        self.action(id, Some(router), OrchestratorActionType::SendEvent(action))
    }

    /// The call told last has this input.
    pub(crate) fn input(self, json: &str) -> Self {
        self.last(|action| match &mut action.orchestrator_action_type {
            Some(OrchestratorActionType::ScheduleTask(task)) => task.input = Some(json.to_owned()),
            Some(OrchestratorActionType::CreateSubOrchestration(sub)) => sub.input = Some(json.to_owned()),
            other => panic!("an action without input: {other:?}"),
        })
    }

    /// The call told last runs in this application.
    pub(crate) fn in_app(self, app_id: &str) -> Self {
        self.last(|action| {
            let inside = match &mut action.orchestrator_action_type {
                #[allow(deprecated, reason = "older sidecars read the router inside the action")]
                Some(OrchestratorActionType::ScheduleTask(task)) => &mut task.router,
                #[allow(deprecated, reason = "older sidecars read the router inside the action")]
                Some(OrchestratorActionType::CreateSubOrchestration(sub)) => &mut sub.router,
                other => panic!("an action that runs nowhere: {other:?}"),
            };
            for router in [inside, &mut action.router].into_iter().flatten() {
                router.target_app_id = Some(app_id.to_owned());
            }
        })
    }

    pub(crate) fn completes<'a>(self, id: i32, result: impl Into<Option<&'a str>>) -> Self {
        self.ends(id, pb::OrchestrationStatus::Completed, result)
    }

    pub(crate) fn terminates<'a>(self, id: i32, output: impl Into<Option<&'a str>>) -> Self {
        self.ends(id, pb::OrchestrationStatus::Terminated, output)
    }

    pub(crate) fn continues_as_new<'a>(self, id: i32, input: impl Into<Option<&'a str>>) -> Self {
        self.ends(id, pb::OrchestrationStatus::ContinuedAsNew, input)
    }

    /// The execution told last hands this external event to the next.
    pub(crate) fn carrying<'a>(self, name: &str, payload: impl Into<Option<&'a str>>) -> Self {
        let raised = pb::EventRaisedEvent { name: name.to_owned(), input: payload.into().map(str::to_owned) };
        let event = pb::HistoryEvent {
            event_id: -1,
            timestamp: Some(pb::prost_types::Timestamp::default()),
            router: None,
            event_type: Some(pb::history_event::EventType::EventRaised(raised)),
        };
        self.last_completion(|complete| complete.carryover_events.push(event))
    }

    pub(crate) fn fails(self, id: i32, details: pb::TaskFailureDetails) -> Self {
        self.ends(id, pb::OrchestrationStatus::Failed, None)
            .last_completion(|complete| complete.failure_details = Some(details))
    }

    pub(crate) fn lacks_version(self, id: i32) -> Self {
        let action = pb::OrchestratorVersionNotAvailableAction {};
        self.action(id, None, OrchestratorActionType::OrchestratorVersionNotAvailable(action))
    }

    pub(crate) fn status(mut self, custom_status: &str) -> Self {
        self.response.custom_status = Some(custom_status.to_owned());
        self
    }

    pub(crate) fn version(mut self, name: Option<&str>, patches: &[&str]) -> Self {
        self.response.version = Some(pb::OrchestrationVersion {
            name: name.map(str::to_owned),
            patches: patches.iter().map(|&patch| patch.to_owned()).collect(),
        });
        self
    }

    pub(crate) fn response(self) -> pb::OrchestratorResponse {
        self.response
    }

    fn ends<'a>(self, id: i32, status: pb::OrchestrationStatus, result: impl Into<Option<&'a str>>) -> Self {
        let complete = pb::CompleteOrchestrationAction {
            orchestration_status: status.into(),
            result: result.into().map(str::to_owned),
            ..Default::default()
        };
        let router = (!self.app_id.is_empty()).then(|| self.router());
        self.action(id, router, OrchestratorActionType::CompleteOrchestration(complete))
    }

    fn router(&self) -> pb::TaskRouter {
        pb::TaskRouter { source_app_id: self.app_id.clone(), target_app_id: None, target_app_namespace: None }
    }

    fn action(mut self, id: i32, router: Option<pb::TaskRouter>, action_type: OrchestratorActionType) -> Self {
        let orchestrator_action_type = Some(action_type);
        self.response.actions.push(pb::OrchestratorAction { id, router, orchestrator_action_type });
        self
    }

    /// Changes the action told last.
    pub(crate) fn last(mut self, change: impl FnOnce(&mut pb::OrchestratorAction)) -> Self {
        change(self.response.actions.last_mut().expect("an answer with an action to change"));
        self
    }

    fn last_completion(self, change: impl FnOnce(&mut pb::CompleteOrchestrationAction)) -> Self {
        self.last(|action| match &mut action.orchestrator_action_type {
            Some(OrchestratorActionType::CompleteOrchestration(complete)) => change(complete),
            other => panic!("no end of an execution: {other:?}"),
        })
    }
}

impl Turn {
    /// The response is this one and no other.
    #[track_caller]
    pub(crate) fn gives(&self, expected: Answer) {
        assert_eq!(
            self.response,
            expected.response(),
            "the response differs from what is expected (left: is, right: expected)"
        );
    }
}
