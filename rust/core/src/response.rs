//! The end of a turn: what the orchestrator asks of the sidecar, as messages.

use durabletask_proto as pb;
use pb::orchestrator_action::OrchestratorActionType;

use crate::action::{Action, Call, Input, SentEvent, Target, Timer, TimerOrigin};
use crate::host::Host;
use crate::ids::sub_orchestration_id;
use crate::orchestration::{Orchestration, Outcome};
use crate::time::Timestamp;
use crate::wire::NEVER;

/// Failure details as the sidecar takes them.
pub type FailureDetails = pb::TaskFailureDetails;

/// The answer to a request that could not be read: a failure under action id -1, so that the work item does not come back
/// for ever.
#[must_use]
pub fn decode_failure_response(
    instance_id: String,
    completion_token: String,
    details: FailureDetails,
) -> pb::OrchestratorResponse {
    let complete = pb::CompleteOrchestrationAction {
        orchestration_status: pb::OrchestrationStatus::Failed.into(),
        result: Some(String::new()),
        failure_details: Some(details),
        ..Default::default()
    };
    pb::OrchestratorResponse {
        instance_id,
        completion_token,
        actions: vec![pb::OrchestratorAction {
            id: -1,
            router: None,
            orchestrator_action_type: Some(OrchestratorActionType::CompleteOrchestration(complete)),
        }],
        ..Default::default()
    }
}

impl<H: Host> Orchestration<H> {
    /// The turn's response. `encode` turns an argument that was left unencoded into JSON; its error ends the building.
    pub fn response<E>(
        &mut self,
        completion_token: &str,
        mut encode: impl FnMut(&H::Input) -> Result<String, E>,
    ) -> Result<pb::OrchestratorResponse, E> {
        let pending = self.actions.iter().map(|(id, action)| self.pending_action(id, action, &mut encode));
        let mut actions: Vec<_> = pending.collect::<Result<_, E>>()?;
        if self.outcome.is_some() {
            // Last, since sidecars leave the actions unread that follow a continuation as new.
            actions.push(self.final_action(&mut encode)?);
        }
        let version = (self.version_used.is_some() || !self.patches_met.is_empty())
            .then(|| pb::OrchestrationVersion { name: self.version_used.clone(), patches: self.patches_met.clone() });
        Ok(pb::OrchestratorResponse {
            instance_id: self.instance_id.to_string(),
            actions,
            custom_status: self.custom_status.clone(),
            completion_token: completion_token.to_owned(),
            num_events_processed: None,
            version,
        })
    }

    fn pending_action<E>(
        &self,
        id: i32,
        action: &Action<H>,
        encode: &mut impl FnMut(&H::Input) -> Result<String, E>,
    ) -> Result<pb::OrchestratorAction, E> {
        let call: &Call<H> = match action {
            Action::CreateTimer(timer) => {
                let timer = self.timer_action(timer);
                return Ok(pb::OrchestratorAction {
                    id,
                    router: None,
                    orchestrator_action_type: Some(OrchestratorActionType::CreateTimer(timer)),
                });
            }
            Action::SendEvent(SentEvent { instance_id, name, data }) => {
                let target = pb::OrchestrationInstance { instance_id: instance_id.to_string(), ..Default::default() };
                let event = pb::SendEventAction {
                    instance: Some(target),
                    name: name.to_string(),
                    data: encoded(data, encode)?,
                };
                return Ok(pb::OrchestratorAction {
                    id,
                    router: Some(self.router(None)),
                    orchestrator_action_type: Some(OrchestratorActionType::SendEvent(event)),
                });
            }
            Action::Call(call) => call,
            Action::RetryableCall(call) => call,
        };
        let action_type = Some(self.call_action(call, encode)?);
        let router = Some(self.router(call.app_id.as_deref()));
        Ok(pb::OrchestratorAction { id, router, orchestrator_action_type: action_type })
    }

    /// Timers carry what they are for since Dapr 1.18; older sidecars pass over it.
    fn timer_action(&self, timer: &Timer) -> pb::CreateTimerAction {
        use pb::create_timer_action::Origin;
        let (name, origin) = match &timer.origin {
            TimerOrigin::CreateTimer => (None, Some(Origin::CreateTimer(pb::TimerOriginCreateTimer {}))),
            TimerOrigin::ExternalEvent(name) | TimerOrigin::EndlessWait(name) => {
                let origin = pb::TimerOriginExternalEvent { name: name.to_string() };
                // Dapr's own engines leave the field out that 0.17 has.
                let name = (!self.semantics.every_wait_has_a_timer()).then(|| name.to_string());
                (name, Some(Origin::ExternalEvent(origin)))
            }
            TimerOrigin::Retry(Target::Activity { execution }) => {
                let task_execution_id = execution.text(&self.instance_id);
                (None, Some(Origin::ActivityRetry(pb::TimerOriginActivityRetry { task_execution_id })))
            }
            TimerOrigin::Retry(Target::SubOrchestration { instance_id, first_action }) => {
                let instance_id = self.sub_orchestration_id(instance_id.as_deref(), *first_action);
                (None, Some(Origin::SubOrchestrationRetry(pb::TimerOriginSubOrchestrationRetry { instance_id })))
            }
            TimerOrigin::CallTimeout => (None, None),
        };
        let fire_at = match &timer.origin {
            TimerOrigin::EndlessWait(_) => pb::prost_types::Timestamp { seconds: NEVER.0, nanos: NEVER.1 },
            _ => timestamp(timer.fire_at),
        };
        pb::CreateTimerAction { fire_at: Some(fire_at), name, origin }
    }

    fn sub_orchestration_id(&self, given: Option<&str>, first_action: i32) -> String {
        given.map_or_else(|| sub_orchestration_id(&self.instance_id, first_action), str::to_owned)
    }

    fn call_action<E>(
        &self,
        call: &Call<H>,
        encode: &mut impl FnMut(&H::Input) -> Result<String, E>,
    ) -> Result<OrchestratorActionType, E> {
        let name = call.name.to_string();
        let input = encoded(&call.input, encode)?;
        // Sidecars before 1.18 read the router inside the action, later ones the router beside it.
        let router = Some(self.router(call.app_id.as_deref()));
        #[allow(deprecated, reason = "older sidecars read these fields")]
        Ok(match &call.target {
            Target::Activity { execution } => OrchestratorActionType::ScheduleTask(pb::ScheduleTaskAction {
                name,
                input,
                router,
                task_execution_id: execution.text(&self.instance_id),
                history_propagation_scope: call.propagation.map(Into::into),
                ..Default::default()
            }),
            Target::SubOrchestration { instance_id, first_action } => {
                OrchestratorActionType::CreateSubOrchestration(pb::CreateSubOrchestrationAction {
                    name,
                    input,
                    router,
                    instance_id: self.sub_orchestration_id(instance_id.as_deref(), *first_action),
                    history_propagation_scope: call.propagation.map(Into::into),
                    ..Default::default()
                })
            }
        })
    }

    fn final_action<E>(
        &mut self,
        encode: &mut impl FnMut(&H::Input) -> Result<String, E>,
    ) -> Result<pb::OrchestratorAction, E> {
        let mut complete = pb::CompleteOrchestrationAction::default();
        let id = match &self.outcome {
            Some(Outcome::VersionNotAvailable { id }) => {
                let action = pb::OrchestratorVersionNotAvailableAction {};
                return Ok(pb::OrchestratorAction {
                    id: *id,
                    router: None,
                    orchestrator_action_type: Some(OrchestratorActionType::OrchestratorVersionNotAvailable(action)),
                });
            }
            Some(Outcome::Completed { id, result }) => {
                complete.set_orchestration_status(pb::OrchestrationStatus::Completed);
                complete.result.clone_from(result);
                *id
            }
            Some(Outcome::Failed { id, details }) => {
                complete.set_orchestration_status(pb::OrchestrationStatus::Failed);
                complete.failure_details = Some((**details).clone());
                *id
            }
            Some(Outcome::Terminated { id, output }) => {
                complete.set_orchestration_status(pb::OrchestrationStatus::Terminated);
                complete.result = output.as_deref().map(str::to_owned);
                *id
            }
            Some(Outcome::ContinuedAsNew { input, save_events }) => {
                complete.set_orchestration_status(pb::OrchestrationStatus::ContinuedAsNew);
                complete.result = encoded(input, encode)?;
                if *save_events {
                    complete.carryover_events = self.carryover_events();
                }
                // Calls made after continue_as_new have taken ids too.
                self.next_id()
            }
            None => self.next_id(),
        };
        let router = self.app_id.as_deref().filter(|app_id| !app_id.is_empty()).map(|_| self.router(None));
        Ok(pb::OrchestratorAction {
            id,
            router,
            orchestrator_action_type: Some(OrchestratorActionType::CompleteOrchestration(complete)),
        })
    }

    /// The external events that nobody has waited for, grouped by name, payloads as they came.
    fn carryover_events(&self) -> Vec<pb::HistoryEvent> {
        let events = self.inbox.events().map(|(name, payload)| pb::EventRaisedEvent {
            name: name.to_owned(),
            input: payload.as_deref().map(str::to_owned),
        });
        events
            .map(|event| pb::HistoryEvent {
                event_id: -1,
                timestamp: Some(pb::prost_types::Timestamp::default()),
                event_type: Some(pb::history_event::EventType::EventRaised(event)),
                ..Default::default()
            })
            .collect()
    }

    fn router(&self, target_app_id: Option<&str>) -> pb::TaskRouter {
        pb::TaskRouter {
            source_app_id: self.app_id.as_deref().unwrap_or_default().to_owned(),
            target_app_id: target_app_id.map(str::to_owned),
            target_app_namespace: None,
        }
    }
}

fn encoded<I, E>(input: &Input<I>, encode: &mut impl FnMut(&I) -> Result<String, E>) -> Result<Option<String>, E> {
    match input {
        Input::None => Ok(None),
        Input::Encoded(json) => Ok(Some(json.to_string())),
        Input::Deferred(value) => encode(value).map(Some),
    }
}

fn timestamp(time: Timestamp) -> pb::prost_types::Timestamp {
    let (seconds, nanos) = time.parts();
    pb::prost_types::Timestamp { seconds, nanos }
}

/// An orchestration's status by its name.
#[must_use]
pub fn status_name(number: i32) -> String {
    pb::OrchestrationStatus::try_from(number).map_or_else(
        |_| format!("status {number}"),
        |status| status.as_str_name().trim_start_matches("ORCHESTRATION_STATUS_").to_owned(),
    )
}
