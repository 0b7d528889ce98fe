//! One call: a request goes out, its answer comes in.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::ResponseFuture;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version};
use tokio::time::timeout;

use crate::links::Links;
use crate::message::Messages;
use crate::metadata;
use crate::status::{Code, Status};

/// A call's path, checked and kept for many calls.
#[derive(Debug, Clone)]
pub(crate) struct Path(PathAndQuery);

impl Path {
    pub(crate) fn parse(path: &str) -> Result<Self, Status> {
        let parsed = path.parse().map_err(|_| Status::new(Code::Internal, format!("{path:?} is no path of a call")))?;
        Ok(Self(parsed))
    }
}

/// How calls are made on a connection: what all of them have in common.
pub(crate) struct Caller {
    pub(crate) links: Links,
    scheme: Scheme,
    authority: http::uri::Authority,
    headers: HeaderMap,
}

impl Caller {
    pub(crate) fn new(links: Links, metadata: &metadata::Metadata) -> Result<Self, Status> {
        let target = links.target();
        let scheme = if target.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let authority = target.authority();
        let authority = authority.parse().map_err(|_| Status::unavailable(format!("{authority:?} is no address")))?;
        Ok(Self { scheme, authority, headers: metadata.headers(), links })
    }

    /// Makes a call with one answer.
    ///
    /// `message` has its prefix already.
    pub(crate) async fn unary(&self, path: &Path, message: Bytes, patience: Duration) -> Result<Bytes, Status> {
        let call = async {
            let mut headers = self.headers.clone();
            headers.insert("grpc-timeout", patience_header(patience));
            let response = self.send(path, message, headers).await?;
            let mut incoming = Incoming::of(response).await?;
            let answer = incoming.message().await?;
            let Some(answer) = answer else {
                return Err(Status::new(Code::Internal, "the call ended well, without an answer"));
            };
            match incoming.message().await? {
                None => Ok(answer),
                Some(_) => Err(Status::new(Code::Internal, "the call has more than one answer")),
            }
        };
        let status = match timeout(patience, call).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => status,
            Err(_) => Status::timed_out(),
        };
        Err(self.links.explain(status).await)
    }

    /// Makes a call that is answered by a stream.
    pub(crate) async fn stream(
        &self,
        path: &Path,
        message: Bytes,
        more: &metadata::Metadata,
    ) -> Result<Incoming, Status> {
        let mut headers = self.headers.clone();
        more.add_to(&mut headers);
        let response = self.send(path, message, headers).await?;
        Incoming::of(response).await
    }

    async fn send(&self, path: &Path, message: Bytes, headers: HeaderMap) -> Result<ResponseFuture, Status> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path.0.clone());
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        let mut requests = self.links.ready().await?;
        let sent = requests.send_request(request, false).and_then(|(response, mut body)| {
            // It is kept below until the other side has room for it.
            body.send_data(message, true)?;
            Ok(response)
        });
        sent.map_err(|error| Status::of_http2(&error))
    }
}

/// gRPC takes at most eight digits.
fn patience_header(patience: Duration) -> HeaderValue {
    let millis = patience.as_millis();
    let text =
        if millis < 100_000_000 { format!("{millis}m") } else { format!("{}S", patience.as_secs().min(99_999_999)) };
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("99999999S"))
}

/// The messages of an answer.
pub(crate) struct Incoming {
    body: RecvStream,
    messages: Messages,
    /// An answer without a body says in its headers how it ended.
    ended: Option<Result<(), Status>>,
}

impl Incoming {
    async fn of(response: ResponseFuture) -> Result<Self, Status> {
        let (head, body) = response.await.map_err(|error| Status::of_http2(&error))?.into_parts();
        let ended = metadata::ended(&head.headers);
        if ended.is_none() {
            if head.status != StatusCode::OK {
                return Err(Status::of_http(head.status));
            }
            let kind = head.headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
            if !kind.starts_with(b"application/grpc") {
                let kind = String::from_utf8_lossy(kind);
                return Err(Status::new(Code::Unknown, format!("answered with {kind:?}, which is not gRPC's")));
            }
        }
        Ok(Self { body, messages: Messages::default(), ended })
    }

    /// The next message; None when the call has ended well.
    pub(crate) async fn message(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(ended) = &self.ended {
                return ended.clone().map(|()| None);
            }
            if let Some(message) = self.messages.next()? {
                return Ok(Some(message));
            }
            match poll_fn(|context| self.body.poll_data(context)).await {
                Some(Ok(piece)) => {
                    // What has been read may be followed by as much: whoever does not read on, holds the sender back.
                    let read = self.body.flow_control().release_capacity(piece.len());
                    read.map_err(|error| Status::of_http2(&error))?;
                    self.messages.feed(piece);
                }
                Some(Err(error)) => return Err(Status::of_http2(&error)),
                None => {
                    let trailers = self.body.trailers().await.map_err(|error| Status::of_http2(&error))?;
                    let said = trailers.as_ref().and_then(metadata::ended);
                    let incomplete = || Err(Status::new(Code::Internal, "the stream ended within a message"));
                    self.ended = Some(match said {
                        Some(Ok(())) if !self.messages.is_empty() => incomplete(),
                        Some(said) => said,
                        None => Err(Status::unavailable("Stream removed: it ended without a status")),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_takes_eight_digits_at_most() {
        assert_eq!(patience_header(Duration::from_millis(1_500)), "1500m");
        assert_eq!(patience_header(Duration::from_secs(99_999)), "99999000m");
        assert_eq!(patience_header(Duration::from_secs(1_000_000)), "1000000S");
        assert_eq!(patience_header(Duration::MAX), "99999999S");
    }
}
