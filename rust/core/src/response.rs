//! The end of a turn: what the orchestrator asks of the sidecar, as messages.

use durabletask_proto as pb;
use pb::orchestrator_action::OrchestratorActionType;

use crate::action::{Action, Call, Input, Target};
use crate::ids::sub_orchestration_id;
use crate::orchestration::{Host, Orchestration, Outcome};
use crate::time::Timestamp;

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
        let actions = match &self.outcome {
            None => self
                .actions
                .iter()
                .map(|(id, action)| self.pending_action(id, action, &mut encode))
                .collect::<Result<_, E>>()?,
            Some(_) => vec![self.final_action(&mut encode)?],
        };
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
            Action::CreateTimer(fire_at) => {
                let timer = pb::CreateTimerAction { fire_at: Some(timestamp(*fire_at)), ..Default::default() };
                return Ok(pb::OrchestratorAction {
                    id,
                    router: None,
                    orchestrator_action_type: Some(OrchestratorActionType::CreateTimer(timer)),
                });
            }
            Action::Call(call) => call,
            Action::RetryableCall(call) => call,
        };
        let action_type = Some(self.call_action(call, encode)?);
        let router = Some(self.router(call.app_id.as_deref()));
        Ok(pb::OrchestratorAction { id, router, orchestrator_action_type: action_type })
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
                ..Default::default()
            }),
            Target::SubOrchestration { instance_id, first_action } => {
                OrchestratorActionType::CreateSubOrchestration(pb::CreateSubOrchestrationAction {
                    name,
                    input,
                    router,
                    instance_id: match instance_id {
                        Some(instance_id) => instance_id.to_string(),
                        None => sub_orchestration_id(&self.instance_id, *first_action),
                    },
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
        let mut names: Vec<_> = self.buffered.iter().collect();
        names.sort_by_key(|(_, buffered)| buffered.since);
        let events = names.into_iter().flat_map(|(name, buffered)| {
            buffered.payloads.iter().map(|payload| pb::EventRaisedEvent {
                name: name.to_string(),
                input: payload.as_deref().map(str::to_owned),
            })
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
