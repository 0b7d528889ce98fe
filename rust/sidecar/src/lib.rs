//! The embedded sidecar.
