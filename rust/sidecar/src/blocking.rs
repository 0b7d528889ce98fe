//! A sidecar for callers that have no async runtime of their own.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::server::{NETWORK_THREADS, Options, Sidecar, StartError, Time};

/// A running sidecar with a runtime of its own. Dropping it stops it.
#[derive(Debug)]
pub struct BlockingSidecar {
    runtime: Option<Runtime>,
    sidecar: Option<Sidecar>,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
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
        let (address, metrics_address) = (sidecar.address(), sidecar.metrics_address());
        Ok(Self { runtime: Some(runtime), sidecar: Some(sidecar), address, metrics_address })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics are read, with the real port.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// What time it is in it: to be asked from any thread, also while it is being stopped.
    #[must_use]
    pub fn time(&self) -> Option<BlockingTime> {
        let (runtime, sidecar) = (self.runtime.as_ref()?, self.sidecar.as_ref()?);
        Some(BlockingTime { runtime: runtime.handle().clone(), time: sidecar.time() })
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

/// A sidecar's time, for callers without a runtime.
#[derive(Debug)]
pub struct BlockingTime {
    runtime: Handle,
    time: Time,
}

impl BlockingTime {
    /// In nanoseconds since the Unix epoch; none if the sidecar has ended.
    #[must_use]
    pub fn now(&self) -> Option<i64> {
        self.runtime.block_on(self.time.now())
    }

    /// Lets virtual time pass by so much, for at most `patience` of real time. None if it has not passed by then.
    #[must_use]
    pub fn skip(&self, by: Duration, patience: Duration) -> Option<i64> {
        self.runtime.block_on(async { tokio::time::timeout(patience, self.time.skip(by)).await.ok().flatten() })
    }
}
