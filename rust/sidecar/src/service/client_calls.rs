//! The methods of the service, but for the stream of work items.

use durabletask_proto::prost::Message;
use durabletask_proto::prost_types::Timestamp;
use durabletask_proto::server::TaskHubSidecarService;
use durabletask_proto::{
    ActivityResponse, CompleteTaskResponse, CreateInstanceRequest, CreateInstanceResponse, ExecutionStartedEvent,
    ExecutionTerminatedEvent, GetInstanceHistoryRequest, GetInstanceHistoryResponse, GetInstanceRequest,
    GetInstanceResponse, GetWorkItemsRequest, HistoryEvent, ListInstanceIDsRequest, ListInstanceIDsResponse,
    OrchestrationInstance, OrchestratorResponse, PurgeInstancesRequest, PurgeInstancesResponse, RaiseEventRequest,
    RaiseEventResponse, RerunWorkflowFromEventRequest, RerunWorkflowFromEventResponse, ResumeRequest, ResumeResponse,
    SuspendRequest, SuspendResponse, TerminateRequest, TerminateResponse, WorkItem, purge_instances_request,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::Service;
use super::waiting::{Wait, wait};
use crate::hub::{Hub, HubError, NewInstance, Purge, Until};
use crate::machine::{Rerun, events};
use crate::store::Filter;
use crate::time;

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// Purges bit by bit: nobody else is to wait while a million instances are forgotten.
    pub(super) async fn purge_all(&self, mut purge: Purge) -> Result<usize, Status> {
        loop {
            match self.hub.call_freeing(move |hub| hub.purge_step(purge)).await? {
                Ok(count) => return Ok(count),
                Err(rest) => purge = rest,
            }
        }
    }

    /// Delivers an event; the hub says when it was raised.
    async fn raise(&self, instance_id: String, event: HistoryEvent) -> Result<(), HubError> {
        let bytes = event.encoded_len();
        self.hub.submit((instance_id, event), bytes, |hub, (id, event)| hub.raise(&id, event)).await
    }

    /// Waits for the effect of a request, as long as there is a worker to bring it about.
    async fn see_to(&self, instance_id: String, until: Until) -> Result<(), Status> {
        match wait(&self.hub, instance_id, Wait { until, payloads: false, impatient: true }).await {
            // Purged meanwhile: it was there when it was asked for.
            Ok(_) | Err(HubError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[tonic::async_trait]
impl TaskHubSidecarService for Service {
    async fn hello(&self, _request: Request<()>) -> Answer<()> {
        Ok(Response::new(()))
    }

    async fn start_instance(&self, request: Request<CreateInstanceRequest>) -> Answer<CreateInstanceResponse> {
        let request = request.into_inner();
        self.for_this_app("StartInstance", request.router.as_ref())?;
        if request.name.is_empty() {
            return Err(Status::invalid_argument("an orchestration needs a name: 'name' is empty"));
        }
        let instance_id = if request.instance_id.is_empty() {
            Uuid::new_v4().simple().to_string()
        } else {
            request.instance_id.clone()
        };
        let execution_id = request.execution_id.clone().filter(|given| !given.is_empty());
        #[allow(deprecated, reason = "sidecars before Dapr 1.18 honour the policy, and so do we")]
        let reuse = request.orchestration_id_reuse_policy;
        let unique = request.enforce_unique_instance_id;
        let start = ExecutionStartedEvent {
            name: request.name,
            version: request.version,
            input: request.input,
            orchestration_instance: Some(OrchestrationInstance { instance_id: instance_id.clone(), execution_id }),
            scheduled_start_timestamp: request.scheduled_start_timestamp,
            parent_trace_context: request.parent_trace_context,
            tags: request.tags,
            ..ExecutionStartedEvent::default()
        };
        let bytes = start.encoded_len();
        self.hub.submit(NewInstance { start, reuse, unique }, bytes, Hub::start_instance).await?;
        Ok(Response::new(CreateInstanceResponse { instance_id }))
    }

    /// Never reached, as the two behind it: [`super::TaskHub`] serves these methods, with answers that are shared.
    async fn get_instance(&self, _request: Request<GetInstanceRequest>) -> Answer<GetInstanceResponse> {
        Err(Status::internal("states are served elsewhere"))
    }

    async fn wait_for_instance_start(&self, _request: Request<GetInstanceRequest>) -> Answer<GetInstanceResponse> {
        Err(Status::internal("states are served elsewhere"))
    }

    async fn wait_for_instance_completion(&self, _request: Request<GetInstanceRequest>) -> Answer<GetInstanceResponse> {
        Err(Status::internal("states are served elsewhere"))
    }

    async fn raise_event(&self, request: Request<RaiseEventRequest>) -> Answer<RaiseEventResponse> {
        let request = request.into_inner();
        let RaiseEventRequest { instance_id, name, input, router } = request;
        self.for_this_app("RaiseEvent", router.as_ref())?;
        self.raise(instance_id, events::event_raised(Timestamp::default(), name, input)).await?;
        Ok(Response::new(RaiseEventResponse {}))
    }

    async fn terminate_instance(&self, request: Request<TerminateRequest>) -> Answer<TerminateResponse> {
        let TerminateRequest { instance_id, output, recursive, router } = request.into_inner();
        self.for_this_app("TerminateInstance", router.as_ref())?;
        let event = ExecutionTerminatedEvent { input: output, recurse: recursive };
        let id = instance_id.clone();
        let bytes = event.encoded_len();
        self.hub.submit((id, event), bytes, |hub, (id, event)| hub.terminate(&id, &event)).await?;
        self.see_to(instance_id, Until::Finished).await?;
        Ok(Response::new(TerminateResponse {}))
    }

    async fn suspend_instance(&self, request: Request<SuspendRequest>) -> Answer<SuspendResponse> {
        let SuspendRequest { instance_id, reason, router } = request.into_inner();
        self.for_this_app("SuspendInstance", router.as_ref())?;
        let id = instance_id.clone();
        self.raise(id, events::execution_suspended(Timestamp::default(), reason)).await?;
        self.see_to(instance_id, Until::Suspended).await?;
        Ok(Response::new(SuspendResponse {}))
    }

    async fn resume_instance(&self, request: Request<ResumeRequest>) -> Answer<ResumeResponse> {
        let ResumeRequest { instance_id, reason, router } = request.into_inner();
        self.for_this_app("ResumeInstance", router.as_ref())?;
        let id = instance_id.clone();
        self.raise(id, events::execution_resumed(Timestamp::default(), reason)).await?;
        self.see_to(instance_id, Until::Resumed).await?;
        Ok(Response::new(ResumeResponse {}))
    }

    async fn purge_instances(&self, request: Request<PurgeInstancesRequest>) -> Answer<PurgeInstancesResponse> {
        let PurgeInstancesRequest { request, recursive, force, router } = request.into_inner();
        self.for_this_app("PurgeInstances", router.as_ref())?;
        let force = force.unwrap_or(false);
        let count = match request {
            Some(purge_instances_request::Request::InstanceId(id)) => {
                let purge = self.hub.look(move |hub| hub.purge(&id, recursive, force)).await?;
                self.purge_all(purge).await?
            }
            Some(purge_instances_request::Request::PurgeInstanceFilter(asked)) => {
                let from = asked.created_time_from.as_ref().map(time::from_timestamp);
                let to = asked.created_time_to.as_ref().map(time::from_timestamp);
                let filter = Filter { created: (from, to), statuses: asked.runtime_status, ..Filter::default() };
                self.purge_matching(filter, recursive, force).await?
            }
            None => return Err(Status::invalid_argument("nothing to purge: give an instance id or a filter")),
        };
        let deleted_instance_count = i32::try_from(count).unwrap_or(i32::MAX);
        Ok(Response::new(PurgeInstancesResponse { deleted_instance_count, is_complete: Some(true) }))
    }

    type GetWorkItemsStream = tokio_stream::Empty<Result<WorkItem, Status>>;

    /// Never reached: [`super::TaskHub`] serves this method, with work items that are encoded already.
    async fn get_work_items(&self, _request: Request<GetWorkItemsRequest>) -> Answer<Self::GetWorkItemsStream> {
        Err(Status::internal("work items are served elsewhere"))
    }

    async fn complete_activity_task(&self, request: Request<ActivityResponse>) -> Answer<CompleteTaskResponse> {
        let response = request.into_inner();
        let bytes = response.encoded_len();
        self.hub.submit(response, bytes, Hub::complete_activity).await?;
        Ok(Response::new(CompleteTaskResponse {}))
    }

    async fn complete_orchestrator_task(&self, request: Request<OrchestratorResponse>) -> Answer<CompleteTaskResponse> {
        let response = request.into_inner();
        let bytes = response.encoded_len();
        self.hub.submit(response, bytes, Hub::complete_turn).await?;
        Ok(Response::new(CompleteTaskResponse {}))
    }

    async fn complete_workflow_task(&self, request: Request<OrchestratorResponse>) -> Answer<CompleteTaskResponse> {
        self.complete_orchestrator_task(request).await
    }

    async fn rerun_workflow_from_event(
        &self,
        request: Request<RerunWorkflowFromEventRequest>,
    ) -> Answer<RerunWorkflowFromEventResponse> {
        let request = request.into_inner();
        self.for_this_app("RerunWorkflowFromEvent", request.router.as_ref())?;
        let event_id = i32::try_from(request.event_id)
            .map_err(|_| Status::invalid_argument(format!("{} is no event's id", request.event_id)))?;
        let given = request.new_instance_id.filter(|id| !id.is_empty());
        let new_instance_id = given.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        let asked = Rerun {
            event_id,
            new_id: new_instance_id.clone(),
            overwrite_input: request.overwrite_input,
            input: request.input,
            new_child_id: request.new_child_workflow_instance_id.filter(|id| !id.is_empty()),
        };
        self.hub.call_alone(move |hub| hub.rerun(&request.source_instance_id, asked)).await?;
        Ok(Response::new(RerunWorkflowFromEventResponse { new_instance_id }))
    }

    async fn list_instance_i_ds(&self, request: Request<ListInstanceIDsRequest>) -> Answer<ListInstanceIDsResponse> {
        let ListInstanceIDsRequest { continuation_token, page_size } = request.into_inner();
        let after = match continuation_token.as_deref() {
            None | Some("") => 0,
            Some(token) => token.parse().map_err(|_| {
                Status::invalid_argument(format!(
                    "'{token}' is no continuation token; pass the one from the previous page, or none for the first"
                ))
            })?,
        };
        let (instance_ids, next) = self.hub.look(move |hub| hub.list(after, page_size)).await?;
        let continuation_token = next.map(|key| key.to_string());
        Ok(Response::new(ListInstanceIDsResponse { instance_ids, continuation_token }))
    }

    /// Never reached: [`super::TaskHub`] serves this method, with histories as they are stored.
    async fn get_instance_history(
        &self,
        _request: Request<GetInstanceHistoryRequest>,
    ) -> Answer<GetInstanceHistoryResponse> {
        Err(Status::internal("histories are served elsewhere"))
    }
}
