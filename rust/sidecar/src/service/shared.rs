//! Answers that many callers share: a large message is sent to all of them from where it lies, and copied for none.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use durabletask_proto::prost::Message;
use http_body::Body as HttpBody;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::{BoxFuture, http};
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};

use super::codec::encoded;
use crate::wire::EncodedMessage;

/// From how many bytes on a message is not copied.
const LARGE: usize = 64 * 1024;

/// Where a large answer is put, instead of being encoded.
type Place = Arc<Mutex<Option<Arc<EncodedMessage>>>>;

/// Serves a call with one request and one answer.
pub(super) async fn answer<T, F>(
    request: http::Request<Body>,
    max_message_bytes: usize,
    work: impl FnOnce(T) -> F + Send + 'static,
) -> http::Response<Body>
where
    T: Message + Default + Send + 'static,
    F: Future<Output = Result<Arc<EncodedMessage>, Status>> + Send + 'static,
{
    let place = Place::default();
    let service = Answering { work: Some(work), place: Arc::clone(&place) };
    let response = encoded::<T>()
        .accept_compressed(CompressionEncoding::Gzip)
        .apply_max_message_size_config(Some(max_message_bytes), Some(usize::MAX))
        .unary(service, request)
        .await;
    let large = place.lock().unwrap_or_else(PoisonError::into_inner).take();
    match large {
        Some(message) => response.map(|_| Body::new(Large::new(message))),
        None => response,
    }
}

struct Answering<W> {
    work: Option<W>,
    place: Place,
}

impl<T, W, F> UnaryService<T> for Answering<W>
where
    W: FnOnce(T) -> F + Send + 'static,
    F: Future<Output = Result<Arc<EncodedMessage>, Status>> + Send + 'static,
    T: Send + 'static,
{
    type Response = EncodedMessage;
    type Future = BoxFuture<Response<EncodedMessage>, Status>;

    fn call(&mut self, request: Request<T>) -> Self::Future {
        let (work, place) = (self.work.take(), Arc::clone(&self.place));
        Box::pin(async move {
            let work = work.ok_or_else(|| Status::internal("a call is answered once"))?;
            let message = work(request.into_inner()).await?;
            if message.len() < LARGE {
                return Ok(Response::new((*message).clone()));
            }
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
            Ok(Response::new(EncodedMessage { chunks: Vec::new() }))
        })
    }
}

/// The body of an answer that went well.
struct Large {
    /// Others find it as long as somebody sends it.
    message: Arc<EncodedMessage>,
    /// Which part is next: what is in front of the message, its chunks, what is behind it.
    next: usize,
}

impl Large {
    fn new(message: Arc<EncodedMessage>) -> Self {
        Self { message, next: 0 }
    }

    /// Not compressed, and how long it is.
    fn head(&self) -> Result<Bytes, Status> {
        let length = u32::try_from(self.message.len())
            .map_err(|_| Status::out_of_range("an answer is larger than 4 GiB, which gRPC has no messages for"))?;
        let mut head = BytesMut::with_capacity(5);
        head.put_u8(0);
        head.put_u32(length);
        Ok(head.freeze())
    }
}

impl HttpBody for Large {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let part = self.next;
        self.next += 1;
        let chunks = &self.message.chunks;
        Poll::Ready(if part == 0 {
            Some(self.head().map(http_body::Frame::data))
        } else if part <= chunks.len() {
            Some(Ok(http_body::Frame::data(chunks[part - 1].clone())))
        } else if part == chunks.len() + 1 {
            let mut trailers = http::HeaderMap::with_capacity(1);
            trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from_static("0"));
            Some(Ok(http_body::Frame::trailers(trailers)))
        } else {
            None
        })
    }

    fn is_end_stream(&self) -> bool {
        self.next > self.message.chunks.len() + 1
    }
}
