//! A sidecar for callers that have no async runtime of their own.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::server::{NETWORK_THREADS, Options, Sidecar, StartError};

/// A running sidecar with a runtime of its own. Dropping it stops it.
#[derive(Debug)]
pub struct BlockingSidecar {
    runtime: Option<Runtime>,
    sidecar: Option<Sidecar>,
    address: SocketAddr,
}

impl BlockingSidecar {
    /// Starts the runtime and the sidecar; when this returns, calls are answered.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(NETWORK_THREADS)
            .thread_name("durabletask-sidecar")
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let sidecar = runtime.block_on(Sidecar::start(options))?;
        let address = sidecar.address();
        Ok(Self { runtime: Some(runtime), sidecar: Some(sidecar), address })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the sidecar and its threads.
    pub fn stop(mut self) {
        self.end();
    }

    /// Leaves the runtime alone, without waiting for threads: for a process that was forked and has none of them.
    pub fn abandon(mut self) {
        std::mem::forget(self.sidecar.take());
        std::mem::forget(self.runtime.take());
    }

    fn end(&mut self) {
        if let (Some(runtime), Some(sidecar)) = (self.runtime.take(), self.sidecar.take()) {
            runtime.block_on(sidecar.stop());
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

impl Drop for BlockingSidecar {
    fn drop(&mut self) {
        self.end();
    }
}
