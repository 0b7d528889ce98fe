//! Connections of HTTP/2 to one target: mostly one, and another when that takes no more calls.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::status::Status;
use crate::target::{Beginning, Target, Wire};

/// How many bytes of a stream may be on their way or unread here, and how many of all streams.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Work items of a stream that nobody reads for a while may all be small. The sidecar is trusted with memory.
const SMALL_FRAMES: usize = 256 * 1024 * 1024;

/// Sidecars may send this much about a failure.
const LARGEST_HEADERS: u32 = 1024 * 1024;

/// What the end of a connection may take that is ended here.
const PARTING: Duration = Duration::from_millis(250);

struct Link {
    requests: SendRequest<Bytes>,
    beginning: Beginning,
    task: JoinHandle<()>,
}

pub(crate) struct Links {
    target: Target,
    current: Mutex<Vec<Link>>,
}

impl Links {
    pub(crate) fn to(target: Target) -> Self {
        Self { target, current: Mutex::new(Vec::new()) }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// A connection that takes a call now: waits while there are as many calls as the other side wants.
    pub(crate) async fn ready(&self) -> Result<SendRequest<Bytes>, Status> {
        let mut links = self.current.lock().await;
        // Those before the last one are finishing streams that they have.
        if let Some(link) = links.last()
            && let Ok(requests) = link.requests.clone().ready().await
        {
            return Ok(requests);
        }
        links.retain(|link| !link.task.is_finished());
        let link = self.connect().await?;
        let requests = link.requests.clone();
        links.push(link);
        requests.ready().await.map_err(|error| Status::of_http2(&error))
    }

    /// What is better said of a failure than what it says itself.
    pub(crate) async fn explain(&self, status: Status) -> Status {
        let links = self.current.lock().await;
        let told = links.last().and_then(|link| link.beginning.other_protocol(&self.target.authority()));
        told.unwrap_or(status)
    }

    /// Ends the connections, after what is left to say on them.
    pub(crate) async fn close(self) {
        for Link { requests, mut task, .. } in self.current.into_inner() {
            drop(requests);
            if timeout(PARTING, &mut task).await.is_err() {
                task.abort();
            }
        }
    }

    async fn connect(&self) -> Result<Link, Status> {
        let (wire, beginning) = self.target.connect().await?;
        match wire {
            Wire::Plain(socket) => Self::link(socket, beginning).await,
            Wire::Tls(stream) => Self::link(*stream, beginning).await,
        }
    }

    async fn link<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        stream: S,
        beginning: Beginning,
    ) -> Result<Link, Status> {
        let (requests, connection) = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(LARGEST_HEADERS)
            .data_frame_budget(SMALL_FRAMES)
            .enable_push(false)
            .handshake(stream)
            .await
            .map_err(|error| Status::of_http2(&error))?;
        // What ends it is told to each call on it.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Link { requests, beginning, task })
    }
}
