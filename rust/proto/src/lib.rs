//! Messages of the Durable Task sidecar protocol, and with the `server` or `client` feature its gRPC service.
//!
//! Everything in [`generated`](self) comes from the files in `proto` by `make gen-proto` and is committed,
//! so that building this crate needs neither protoc nor a proto compiler. Nothing else belongs in here.

#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated code; its documentation is the .proto file"
)]
#[rustfmt::skip] // The generator's layout stands: a test compares the files with what it writes.
mod generated {
    pub(crate) mod messages;
    #[cfg(any(feature = "server", feature = "client"))]
    pub(crate) mod service;
    pub(crate) mod sidecar_messages;
    #[cfg(any(feature = "server", feature = "client"))]
    pub(crate) mod sidecar_service;
}

pub use generated::messages::*;

/// The `FileDescriptorProto` that all this is generated from: hexadecimal digits, in lines.
pub const DESCRIPTOR_HEX: &str = include_str!("generated/descriptor.hex");

/// Re-exported so that users of the messages agree on its version.
pub use prost;
pub use prost_types;

/// Server side of `TaskHubSidecarService`.
#[cfg(feature = "server")]
pub use generated::service::task_hub_sidecar_service_server as server;

/// Client side of `TaskHubSidecarService`.
#[cfg(feature = "client")]
pub use generated::service::task_hub_sidecar_service_client as client;

/// What our own sidecar offers beside the protocol, from `proto/sidecar.proto`.
pub mod sidecar {
    pub use super::generated::sidecar_messages::*;

    /// Server side of `SidecarService`.
    #[cfg(feature = "server")]
    pub use super::generated::sidecar_service::sidecar_service_server as server;

    /// Client side of `SidecarService`.
    #[cfg(feature = "client")]
    pub use super::generated::sidecar_service::sidecar_service_client as client;
}
