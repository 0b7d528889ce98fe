//! The thread that does the network's work.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use crate::connection::{Connection, Settings};
use crate::status::Status;

/// What names that are being resolved may take when all else has ended.
const PARTING: Duration = Duration::from_millis(50);

/// Threads that resolve names end soon after.
const RESOLVERS_STAY: Duration = Duration::from_millis(100);

/// What connections may take to say goodbye.
const GOODBYES: Duration = Duration::from_millis(300);

/// A thread on which connections live.
pub struct Transport {
    handle: Handle,
    thread: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Transport {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .thread_keep_alive(RESOLVERS_STAY)
            .thread_name("durabletask-dns")
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = Builder::new().name("durabletask-net".to_owned()).spawn(move || {
            runtime.block_on(async {
                let _ = stopped.await;
                // Connections that were closed just now are still saying so.
                let leaving = async {
                    while Handle::current().metrics().num_alive_tasks() > 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                let _ = tokio::time::timeout(GOODBYES, leaving).await;
            });
            runtime.shutdown_timeout(PARTING);
        })?;
        Ok(Self { handle, thread: Mutex::new(Some((stop, thread))) })
    }

    /// A connection on this thread; it connects at its first call.
    pub fn connection<T: Send + 'static>(&self, settings: Settings) -> Result<Connection<T>, Status> {
        Connection::open(&self.handle, settings)
    }

    /// Ends all connections and the thread, and waits for it. Once is enough.
    pub fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = thread {
            // It has ended already if nobody listens.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Leaves everything as it is: for a process that was forked, and has this but not its thread.
    pub fn abandon(self) {
        std::mem::forget(self);
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.stop();
    }
}
