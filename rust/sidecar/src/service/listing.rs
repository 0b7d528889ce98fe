//! `durabletask.sidecar.v1`: looking for instances, watching, counting and forgetting them.

use durabletask_proto::OrchestrationStatus;
use durabletask_proto::sidecar::instance_filter::Family;
use durabletask_proto::sidecar::server::{SidecarService, SidecarServiceServer};
use durabletask_proto::sidecar::{
    CountInstancesRequest, CountInstancesResponse, InstanceFilter, ListInstancesRequest, ListInstancesResponse,
    PurgeInstancesByFilterRequest, PurgeInstancesByFilterResponse, StatusCount, Unserved, WatchInstanceRequest,
};
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use super::Service;
use super::raw::Corrected;
use super::watching::{Changes, watch};
use crate::hub::{Hub, Listing, Need};
use crate::machine::is_final;
use crate::store::{Filter, Key, Position};
use crate::time::{self, Nanos};

/// How many instances one page holds if the caller does not say.
const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1_000;
const BEGINNING: Position = (Nanos::MIN, Key::MIN);

const FINAL: [OrchestrationStatus; 4] = [
    OrchestrationStatus::Completed,
    OrchestrationStatus::Failed,
    OrchestrationStatus::Terminated,
    OrchestrationStatus::Canceled,
];

/// The service, with a limit on what is taken, in bytes.
pub(crate) fn listing_service(service: Service, max_message_bytes: usize) -> Corrected<SidecarServiceServer<Service>> {
    let service = SidecarServiceServer::new(service)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(max_message_bytes)
        .max_encoding_message_size(usize::MAX);
    Corrected(service)
}

impl Service {
    async fn filter(&self, asked: Option<InstanceFilter>) -> Result<Filter, Status> {
        let asked = asked.unwrap_or_default();
        if let Some(unknown) = asked.statuses.iter().find(|status| OrchestrationStatus::try_from(**status).is_err()) {
            return Err(Status::invalid_argument(format!("{unknown} is no status of an orchestration")));
        }
        let range =
            |from, to| (Option::as_ref(from).map(time::from_timestamp), Option::as_ref(to).map(time::from_timestamp));
        let parent = match &asked.family {
            Some(Family::ChildrenOf(id)) => {
                let id = id.clone();
                Some(self.hub.look(move |hub| hub.key_of(&id)).await?)
            }
            Some(Family::RootsOnly(_)) | None => None,
        };
        Ok(Filter {
            created: range(&asked.created_from, &asked.created_to),
            updated: range(&asked.updated_from, &asked.updated_to),
            statuses: asked.statuses,
            name: Some(asked.name).filter(|name| !name.is_empty()),
            prefix: Some(asked.instance_id_prefix).filter(|prefix| !prefix.is_empty()),
            tags: asked.tags,
            roots_only: asked.family == Some(Family::RootsOnly(true)),
            parent,
        })
    }
}

impl Service {
    /// Forgets what fits now, so many at a time; what is created meanwhile stays.
    pub(super) async fn purge_matching(
        &self,
        mut filter: Filter,
        recursive: bool,
        force: bool,
    ) -> Result<usize, Status> {
        let now = self.hub.look(|hub| Ok(hub.now())).await?;
        filter.created.1 = Some(filter.created.1.map_or(now, |to| to.min(now)));
        let mut count = 0;
        let mut after = Some(BEGINNING);
        while let Some(position) = after {
            let wanted = filter.clone();
            let (chosen, next) = self.hub.look(move |hub| hub.choose_step(&wanted, position)).await?;
            count += self.purge_all(Hub::purge_these(chosen, recursive, force)).await?;
            after = next;
        }
        Ok(count)
    }
}

#[tonic::async_trait]
impl SidecarService for Service {
    async fn list_instances(
        &self,
        request: Request<ListInstancesRequest>,
    ) -> Result<Response<ListInstancesResponse>, Status> {
        let ListInstancesRequest { filter, page_size, continuation_token, payloads } = request.into_inner();
        let after = if continuation_token.is_empty() { BEGINNING } else { position(&continuation_token)? };
        let filter = self.filter(filter).await?;
        let size = if page_size == 0 { DEFAULT_PAGE } else { page_size.min(MAX_PAGE) };
        let mut listing =
            Listing { filter, payloads, size: size as usize, after, more: true, states: vec![], bytes: 0 };
        while !listing.is_done() {
            listing = self.hub.look(move |hub| hub.list_step(listing)).await?;
        }
        let (created_at, key) = listing.after;
        let continuation_token = if listing.more { format!("{created_at}.{key}") } else { String::new() };
        Ok(Response::new(ListInstancesResponse { instances: listing.states, continuation_token }))
    }

    async fn count_instances(
        &self,
        _request: Request<CountInstancesRequest>,
    ) -> Result<Response<CountInstancesResponse>, Status> {
        let counts = self.hub.look(Hub::count).await?;
        let statuses = counts.statuses.into_iter().map(|(status, count)| StatusCount { status, count }).collect();
        Ok(Response::new(CountInstancesResponse {
            statuses,
            unserved_orchestrations: counts.orchestrations.into_iter().map(unserved).collect(),
            unserved_activities: counts.activities.into_iter().map(unserved).collect(),
        }))
    }

    async fn purge_instances(
        &self,
        request: Request<PurgeInstancesByFilterRequest>,
    ) -> Result<Response<PurgeInstancesByFilterResponse>, Status> {
        let PurgeInstancesByFilterRequest { filter, recursive } = request.into_inner();
        let mut filter = self.filter(filter).await?;
        // What has not ended would only be looked at to be passed over.
        let final_ones = FINAL.map(i32::from);
        if filter.statuses.is_empty() {
            filter.statuses = final_ones.to_vec();
        } else {
            filter.statuses.retain(|status| OrchestrationStatus::try_from(*status).is_ok_and(is_final));
            if filter.statuses.is_empty() {
                return Ok(Response::new(PurgeInstancesByFilterResponse { count: 0 }));
            }
        }
        let count = self.purge_matching(filter, recursive, false).await?;
        Ok(Response::new(PurgeInstancesByFilterResponse { count: count as u64 }))
    }

    type WatchInstanceStream = Changes;

    async fn watch_instance(&self, request: Request<WatchInstanceRequest>) -> Result<Response<Changes>, Status> {
        Ok(Response::new(watch(&self.hub, request.into_inner()).await?))
    }
}

fn unserved((need, count): (Need, usize)) -> Unserved {
    Unserved { name: need.name, version: need.version.unwrap_or_default(), count: count as u64 }
}

fn position(token: &str) -> Result<Position, Status> {
    let parts = token.split_once('.').and_then(|(at, key)| Some((at.parse().ok()?, key.parse().ok()?)));
    parts.ok_or_else(|| {
        Status::invalid_argument(format!(
            "{token:?} is no continuation token; pass the one from the previous page, or none for the first"
        ))
    })
}
