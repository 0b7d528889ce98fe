//! Connections and what arrives on them: how many there may be, which one makes room for another, and how many bytes of
//! requests are taken in at once.
//!
//! A connection costs a descriptor, and whoever can connect can do so ten thousand times. When there are too many, the one
//! goes that has been idle for the longest time: its client connects again when it has something to ask. One with a call
//! under way, as every worker's, is never closed for another.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http_body::Body as HttpBody;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::codegen::{Bytes, http};
use tonic::transport::server::{Connected, TcpIncoming};
use tonic_types::{ErrorDetails, StatusExt};

/// How many connections there may be, if the system lets a process have as many.
const MOST: usize = 10_000;
/// How often it is told of that there are too many.
const TELL: Duration = Duration::from_secs(60);
/// When a caller may try again that there was no room for.
const RETRY: Duration = Duration::from_secs(1);

/// One connection, as those see it who make calls on it.
#[derive(Debug)]
pub(crate) struct Connection {
    id: u64,
    calls: AtomicUsize,
    /// When it was used last, by the order of all uses.
    used: AtomicU64,
    closed: AtomicBool,
    reader: Mutex<Option<Waker>>,
    all: Arc<Connections>,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    uses: AtomicU64,
    told: Mutex<Option<Instant>>,
    /// Of requests that have arrived and are not answered yet.
    bytes: AtomicUsize,
    most_bytes: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in it is whole, whoever panicked with it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connections {
    /// With a bound on the bytes of requests that are taken in at once.
    pub(crate) fn new(most_bytes: usize) -> Arc<Self> {
        Self::with(most_connections(), most_bytes)
    }

    fn with(most: usize, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: Mutex::default(),
            uses: AtomicU64::new(0),
            told: Mutex::default(),
            bytes: AtomicUsize::new(0),
            most_bytes,
        })
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.open).len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Makes room for one more; None if all that are open are at work.
    fn admit(self: &Arc<Self>) -> Option<Arc<Connection>> {
        let id = self.uses.fetch_add(1, Ordering::Relaxed);
        let mut open = lock(&self.open);
        if open.len() >= self.most {
            self.tell();
            let idle = open.values().filter(|connection| connection.calls.load(Ordering::Relaxed) == 0);
            let idlest = idle.min_by_key(|connection| connection.used.load(Ordering::Relaxed))?.id;
            if let Some(idlest) = open.remove(&idlest) {
                idlest.close();
            }
        }
        let connection = Arc::new(Connection {
            id,
            calls: AtomicUsize::new(0),
            used: AtomicU64::new(id),
            closed: AtomicBool::new(false),
            reader: Mutex::default(),
            all: Arc::clone(self),
        });
        open.insert(id, Arc::clone(&connection));
        Some(connection)
    }

    fn tell(&self) {
        let mut told = lock(&self.told);
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            *told = Some(Instant::now());
            tracing::warn!(
                connections = self.most,
                "there are too many connections; idle ones are closed for new ones"
            );
        }
    }
}

impl Connection {
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(reader) = lock(&self.reader).take() {
            reader.wake();
        }
    }

    /// Whether it is to end; if not, the reader is woken when it is.
    fn is_closed(&self, context: &Context<'_>) -> bool {
        let mut reader = lock(&self.reader);
        if reader.as_ref().is_none_or(|known| !known.will_wake(context.waker())) {
            *reader = Some(context.waker().clone());
        }
        self.closed.load(Ordering::Acquire)
    }

    /// Somebody makes a call on it.
    pub(crate) fn note_use(&self) {
        self.used.store(self.all.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// A call that is under way, until this is dropped: its connection stays open, and its request counts.
#[derive(Debug)]
pub(crate) struct Call {
    connection: Arc<Connection>,
    bytes: AtomicUsize,
}

impl Call {
    /// The call that a request makes. None for a request from nowhere.
    pub(crate) fn of(request: &http::Request<Body>) -> Option<Arc<Self>> {
        let connection = request.extensions().get::<Arc<Connection>>()?;
        connection.calls.fetch_add(1, Ordering::Relaxed);
        Some(Arc::new(Self { connection: Arc::clone(connection), bytes: AtomicUsize::new(0) }))
    }

    /// Counts what of its request has arrived; refuses it if all requests together are too much.
    fn take_in(&self, bytes: usize) -> Result<(), tonic::Status> {
        let all = &self.connection.all;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if all.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= all.most_bytes {
            return Ok(());
        }
        Err(tonic::Status::with_error_details(
            tonic::Code::ResourceExhausted,
            format!("requests of more than {} bytes in all are under way; try again later", all.most_bytes),
            ErrorDetails::with_retry_info(Some(RETRY)),
        ))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.connection.all.bytes.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
        self.connection.note_use();
        self.connection.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's body that is counted as it arrives.
pub(crate) struct Counted {
    pub(crate) body: Body,
    pub(crate) call: Arc<Call>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(refusal) = self.call.take_in(data.len())
        {
            return Poll::Ready(Some(Err(refusal)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, with the call that is under way until it is sent.
pub(crate) struct Answering {
    pub(crate) body: Body,
    pub(crate) _call: Option<Arc<Call>>,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// Connections as they are made.
pub(crate) struct Incoming {
    pub(crate) listener: TcpIncoming,
    pub(crate) connections: Arc<Connections>,
}

impl Stream for Incoming {
    type Item = io::Result<Tracked>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let accepted = std::task::ready!(Pin::new(&mut self.listener).poll_next(context));
            match accepted {
                // There is no room: it finds its connection closed.
                Some(Ok(stream)) => match self.connections.admit() {
                    Some(connection) => return Poll::Ready(Some(Ok(Tracked { stream, connection }))),
                    None => drop(stream),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// A connection's bytes.
pub(crate) struct Tracked {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        lock(&self.connection.all.open).remove(&self.connection.id);
    }
}

impl Connected for Tracked {
    type ConnectInfo = Arc<Connection>;

    fn connect_info(&self) -> Self::ConnectInfo {
        Arc::clone(&self.connection)
    }
}

impl AsyncRead for Tracked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.is_closed(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tracked {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Three quarters of the descriptors that this process may have: others need some, too.
#[cfg(unix)]
fn most_connections() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    (limit / 4).saturating_mul(3).clamp(1, MOST)
}

#[cfg(not(unix))]
fn most_connections() -> usize {
    MOST
}

/// Lets this process have as many descriptors as it is allowed to.
#[cfg(unix)]
pub(crate) fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit of descriptors stays as it is");
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_limit() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_idle_for_the_longest_time_makes_room() {
        let all = Connections::with(3, 100);
        let [first, second, third] = [0; 3].map(|_| all.admit().expect("there is room"));
        first.note_use();
        third.calls.fetch_add(1, Ordering::Relaxed);
        let fourth = all.admit().expect("the second one makes room");
        let closed = |connection: &Connection| connection.closed.load(Ordering::Relaxed);
        assert_eq!([&first, &second, &third, &fourth].map(|it| closed(it)), [false, true, false, false]);
        for connection in [&first, &fourth] {
            connection.calls.fetch_add(1, Ordering::Relaxed);
        }
        assert!(all.admit().is_none(), "all are at work");
        first.calls.fetch_sub(1, Ordering::Relaxed);
        assert!(all.admit().is_some());
        assert_eq!((closed(&first), all.count()), (true, 3));
    }

    #[test]
    fn requests_are_taken_in_as_long_as_all_of_them_are_not_too_much() {
        let all = Connections::with(3, 100);
        let connection = all.admit().expect("there is room");
        let call = || {
            let mut request = http::Request::new(Body::empty());
            request.extensions_mut().insert(Arc::clone(&connection));
            Call::of(&request).expect("it comes from a connection")
        };
        let (one, other) = (call(), call());
        one.take_in(60).expect("it is little");
        assert_eq!(other.take_in(60).expect_err("it is too much").code(), tonic::Code::ResourceExhausted);
        drop(other);
        call().take_in(40).expect("what was refused is gone");
        drop(one);
        assert_eq!((all.bytes(), connection.calls.load(Ordering::Relaxed)), (0, 0));
    }
}
