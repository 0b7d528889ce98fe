//! Metrics for Prometheus: a page over HTTP, on a port of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::access::{CheckToken, TOKEN_METADATA};
use crate::connections::Connections;
use crate::hub::Handle;

/// How many may ask at once; who watches over a process is one or two.
const CONNECTIONS: usize = 16;
/// How long asking may take, and the whole of it.
const HEADER_TIME: Duration = Duration::from_secs(5);
const WHOLE_TIME: Duration = Duration::from_secs(30);
/// The pause after a connection that could not be had.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where metrics come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) hub: Handle,
    pub(crate) connections: Arc<Connections>,
}

/// A page that is being served, until this is dropped.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl MetricsServer {
    pub(crate) fn start(listener: TcpListener, address: SocketAddr, source: Source, token: CheckToken) -> Self {
        Self { address, task: tokio::spawn(accept(listener, source, token)) }
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, source: Source, token: CheckToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Those beyond find their connection closed.
        if let Ok(permit) = Arc::clone(&room).try_acquire_owned() {
            let serve = serve(socket, source.clone(), token.clone());
            tokio::spawn(async move {
                let _ = tokio::time::timeout(WHOLE_TIME, serve).await;
                drop(permit);
            });
        }
    }
}

async fn serve(socket: TcpStream, source: Source, token: CheckToken) {
    let service = service_fn(|request| answer(request, source.clone(), token.clone()));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a reader of metrics was not served");
    }
}

async fn answer<B>(
    request: Request<B>,
    source: Source,
    token: CheckToken,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let given = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given
        .and_then(|value| value.strip_prefix(b"Bearer "))
        .or_else(|| request.headers().get(TOKEN_METADATA).map(HeaderValue::as_bytes));
    let (status, kind, text) = if !token.is(given) {
        let text =
            format!("an API token is missing, or another one: 'Authorization: Bearer …' or '{TOKEN_METADATA}'\n");
        (StatusCode::UNAUTHORIZED, "text/plain; charset=utf-8", text)
    } else if request.uri().path() != "/metrics" {
        (StatusCode::NOT_FOUND, "text/plain", "metrics are at /metrics\n".to_owned())
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "metrics can only be read\n".to_owned())
    } else {
        match source.hub.look(|hub| Ok(hub.metrics())).await {
            Ok(mut page) => {
                let connections = &source.connections;
                page.gauge("connections", "Connections of clients and workers.", connections.count());
                page.gauge("request_bytes", "Bytes of requests that are not answered yet.", connections.bytes());
                (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page.into_text())
            }
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{error}\n")),
        }
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}
