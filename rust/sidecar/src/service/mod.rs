//! The gRPC service: requests to jobs, results to responses. What is decided is decided in the hub.

mod client_calls;
mod codec;
mod listing;
mod raw;
mod shared;
mod waiting;
mod watching;

pub(crate) use listing::listing_service;
pub(crate) use raw::TaskHub;

use std::sync::Arc;
use std::time::Duration;

use durabletask_proto::TaskRouter;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::hub::{Handle, HubError};
use crate::machine::{RerunError, asked_of_another};
use crate::store::StoreError;

/// After how long a caller may try again what the database could not take.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The implementation behind `TaskHubSidecarService`.
#[derive(Clone)]
pub(crate) struct Service {
    hub: Handle,
    app_id: Arc<str>,
}

impl Service {
    /// With the id of the app that it serves.
    pub(crate) fn new(hub: Handle, app_id: Arc<str>) -> Self {
        Self { hub, app_id }
    }

    /// Refuses what is asked of another app: doing it here would be worse than not doing it.
    fn for_this_app(&self, what: &str, router: Option<&TaskRouter>) -> Result<(), Status> {
        let target = router.and_then(|router| router.target_app_id.as_deref()).filter(|app| !app.is_empty());
        match target {
            Some(app) if *app != *self.app_id => {
                Err(Status::failed_precondition(asked_of_another(what, app, &self.app_id)))
            }
            _ => Ok(()),
        }
    }
}

impl From<HubError> for Status {
    fn from(error: HubError) -> Self {
        let code = match &error {
            HubError::NotFound(_)
            | HubError::UnknownWorkItem(_)
            | HubError::Rerun(RerunError::NoSuchEvent(..) | RerunError::NoCall(..)) => Code::NotFound,
            HubError::Rerun(_) => Code::InvalidArgument,
            HubError::AlreadyExists { .. } => Code::AlreadyExists,
            HubError::NotCompleted { .. } => Code::FailedPrecondition,
            HubError::Database(StoreError::Full | StoreError::TooBig) | HubError::TooManyWaiters(_) => {
                Code::ResourceExhausted
            }
            HubError::Undecodable { .. } | HubError::Database(StoreError::Corrupt(_) | StoreError::Gone(_)) => {
                Code::DataLoss
            }
            HubError::Database(StoreError::Other(_)) => Code::Internal,
            HubError::Stopped | HubError::Database(StoreError::Locked(_) | StoreError::Io(_)) => Code::Unavailable,
        };
        match error {
            // Said in the way of gRPC: whoever has a result to hand in is to try again, not to give it up.
            HubError::Database(ref reason) if reason.passes() => {
                Status::with_error_details(code, error.to_string(), ErrorDetails::with_retry_info(Some(RETRY_DELAY)))
            }
            _ => Status::new(code, error.to_string()),
        }
    }
}
