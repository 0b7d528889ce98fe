//! The gRPC service: requests to jobs, results to responses. What is decided is decided in the hub.

mod client_calls;
mod raw;
mod waiting;

pub(crate) use raw::TaskHub;

use crate::hub::{Handle, HubError};
use crate::machine::RerunError;
use tonic::{Code, Status};

/// The implementation behind `TaskHubSidecarService`.
#[derive(Clone)]
pub(crate) struct Service {
    hub: Handle,
}

impl From<HubError> for Status {
    fn from(error: HubError) -> Self {
        let code = match &error {
            HubError::NotFound(_)
            | HubError::UnknownWorkItem(_)
            | HubError::Rerun(RerunError::NoSuchEvent(..) | RerunError::NoCall(..)) => Code::NotFound,
            HubError::Rerun(_) => Code::InvalidArgument,
            HubError::Undecodable { .. } => Code::DataLoss,
            HubError::AlreadyExists { .. } => Code::AlreadyExists,
            HubError::NotCompleted { .. } => Code::FailedPrecondition,
            HubError::Storage(_) | HubError::Database(_) => Code::Internal,
            HubError::Stopped => Code::Unavailable,
        };
        Status::new(code, error.to_string())
    }
}
