//! `GetWorkItems` and `GetInstanceHistory`, apart from the generated service: what they answer stays as it was stored.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use durabletask_proto::prost::Message;
use durabletask_proto::server::TaskHubSidecarServiceServer;
use durabletask_proto::{
    GetInstanceHistoryRequest, GetInstanceRequest, GetWorkItemsRequest, HealthPing, WorkItem, WorkerCapability,
    work_item,
};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::{BoxFuture, Service as HttpService, http};
use tonic::metadata::MetadataMap;
use tonic::server::{NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};

use super::codec::encoded;
use super::waiting::{Wait, wait};
use super::{Service, shared};
use crate::connections::{Answering, Call, Counted};
use crate::hub::{Connected, Handle, Names, Offer, STREAM_BOUND, StreamId, Until};
use crate::wire::{EncodedMessage, encode_history};

const GET_WORK_ITEMS: &str = "/TaskHubSidecarService/GetWorkItems";
const GET_INSTANCE: &str = "/TaskHubSidecarService/GetInstance";
const WAIT_FOR_START: &str = "/TaskHubSidecarService/WaitForInstanceStart";
const WAIT_FOR_COMPLETION: &str = "/TaskHubSidecarService/WaitForInstanceCompletion";
const GET_INSTANCE_HISTORY: &str = "/TaskHubSidecarService/GetInstanceHistory";

/// After how long a stream of work items that has had none is said to be alive, to workers that know it. Proxies mostly
/// wait for a minute.
const SILENCE: Duration = Duration::from_secs(20);

/// The whole service, as the server sees it.
#[derive(Clone)]
pub(crate) struct TaskHub {
    methods: TaskHubSidecarServiceServer<Service>,
    service: Service,
    max_message_bytes: usize,
}

impl TaskHub {
    /// With a limit on what is taken, in bytes. What is sent is as large as its author made it: the other side says what it
    /// can take.
    pub(crate) fn new(service: Service, max_message_bytes: usize) -> Self {
        let methods = TaskHubSidecarServiceServer::new(service.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(max_message_bytes)
            .max_encoding_message_size(usize::MAX);
        Self { methods, service, max_message_bytes }
    }
}

impl NamedService for TaskHub {
    const NAME: &'static str = "TaskHubSidecarService";
}

impl HttpService<http::Request<Body>> for TaskHub {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.service.clone();
        let hub = service.hub.clone();
        let max = self.max_message_bytes;
        // It lasts until the call is answered, and a stream of work items for as long as that.
        let (request, call) = counted(request);
        match request.uri().path() {
            GET_WORK_ITEMS => Box::pin(async {
                Ok(as_others_say_it(encoded().server_streaming(WorkItems { hub, call }, request).await))
            }),
            GET_INSTANCE_HISTORY => Box::pin(async move {
                let _call = call;
                Ok(as_others_say_it(encoded().unary(History { hub }, request).await))
            }),
            GET_INSTANCE => Box::pin(async move {
                let _call = call;
                let work = move |asked: GetInstanceRequest| async move {
                    let GetInstanceRequest { instance_id, get_inputs_and_outputs, router } = asked;
                    service.for_this_app("GetInstance", router.as_ref())?;
                    Ok(hub.look(move |hub| hub.state_encoded(&instance_id, get_inputs_and_outputs)).await?)
                };
                Ok(as_others_say_it(shared::answer(request, max, work).await))
            }),
            path @ (WAIT_FOR_START | WAIT_FOR_COMPLETION) => {
                let until = if path == WAIT_FOR_START { Until::Started } else { Until::Finished };
                Box::pin(async move {
                    let _call = call;
                    let work = move |asked: GetInstanceRequest| async move {
                        let starting = until == Until::Started;
                        let what = if starting { "WaitForInstanceStart" } else { "WaitForInstanceCompletion" };
                        service.for_this_app(what, asked.router.as_ref())?;
                        let how = Wait { until, payloads: asked.get_inputs_and_outputs, impatient: false };
                        Ok(wait(&hub, asked.instance_id, how).await?)
                    };
                    Ok(as_others_say_it(shared::answer(request, max, work).await))
                })
            }
            _ => {
                let answer = self.methods.call(request);
                Box::pin(async move {
                    let _call = call;
                    answer.await.map(as_others_say_it)
                })
            }
        }
    }
}

/// A request whose bytes are counted as they arrive, and the call that it makes.
fn counted(request: http::Request<Body>) -> (http::Request<Body>, Option<Arc<Call>>) {
    let Some(call) = Call::of(&request) else {
        return (request, None);
    };
    let counted = Arc::clone(&call);
    (request.map(|body| Body::new(Counted { body, call: counted })), Some(call))
}

/// A generated service that says what is wrong as others say it.
#[derive(Clone)]
pub(crate) struct Corrected<S>(pub(super) S);

impl<S: NamedService> NamedService for Corrected<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> HttpService<http::Request<Body>> for Corrected<S>
where
    S: HttpService<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (request, call) = counted(request);
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = as_others_say_it(answer.await?);
            // A stream is under way as long as its body is.
            Ok(answer.map(|body| Body::new(Answering { body, _call: call })))
        })
    }
}

/// What is wrong with a request, as gRPC's own libraries say it. A message that is too large is `RESOURCE_EXHAUSTED`, and
/// workers know it by that; tonic calls it `OUT_OF_RANGE`, which nothing else here does. One that can not be decoded is
/// the caller's fault; tonic calls it an internal error.
fn as_others_say_it(mut response: http::Response<Body>) -> http::Response<Body> {
    let headers = response.headers_mut();
    let undecodable = || {
        let message = headers.get(Status::GRPC_MESSAGE).map(http::HeaderValue::as_bytes);
        message.is_some_and(|message| message.starts_with(b"failed%20to%20decode"))
    };
    let corrected = match headers.get(Status::GRPC_STATUS).map(http::HeaderValue::as_bytes) {
        Some(b"11") => "8",
        Some(b"13") if undecodable() => "3",
        _ => return response,
    };
    headers.insert(Status::GRPC_STATUS, http::HeaderValue::from_static(corrected));
    response
}

struct History {
    hub: Handle,
}

impl UnaryService<GetInstanceHistoryRequest> for History {
    type Response = EncodedMessage;
    type Future = BoxFuture<Response<EncodedMessage>, Status>;

    fn call(&mut self, request: Request<GetInstanceHistoryRequest>) -> Self::Future {
        let hub = self.hub.clone();
        let id = request.into_inner().instance_id;
        Box::pin(async move {
            let frames = hub.look(move |hub| hub.history(&id)).await?;
            let history = encode_history(&frames);
            history.map(Response::new).ok_or_else(|| Status::data_loss("the stored history is damaged"))
        })
    }
}

struct WorkItems {
    hub: Handle,
    call: Option<Arc<Call>>,
}

impl ServerStreamingService<GetWorkItemsRequest> for WorkItems {
    type Response = EncodedMessage;
    type ResponseStream = WorkItemStream;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<GetWorkItemsRequest>) -> Self::Future {
        let (hub, call) = (self.hub.clone(), self.call.take());
        let offer = offer_of(&request);
        let knows_pings = request.get_ref().capabilities().any(|it| it == WorkerCapability::HealthPing);
        Box::pin(async move {
            let id = hub.unique_id();
            // Before the job is sent: the call can be dropped at any await, and then nobody is to send anything there.
            let registration = Registration { id, hub: hub.clone() };
            let offer = offer?;
            let Connected { items, starved } = hub.look(move |hub| Ok(hub.connect(id, offer))).await?;
            let pings = knows_pings.then(|| Pings::after(SILENCE));
            Ok(Response::new(WorkItemStream { items, starved, registration, pings, _call: call }))
        })
    }
}

fn offer_of(request: &Request<GetWorkItemsRequest>) -> Result<Offer, Status> {
    let asked = request.get_ref();
    #[allow(deprecated, reason = "workers before Dapr 1.18 send them, and mean them")]
    let (turns, activities) = (asked.max_concurrent_orchestration_work_items, asked.max_concurrent_activity_work_items);
    Ok(Offer {
        stateful_history: asked.capabilities().any(|it| it == WorkerCapability::StatefulHistory),
        max_turns: usize::try_from(turns).unwrap_or(0),
        max_activities: usize::try_from(activities).unwrap_or(0),
        orchestrators: names_in(request.metadata(), "durabletask-orchestrators-bin")?,
        activities: names_in(request.metadata(), "durabletask-activities-bin")?,
    })
}

/// A worker that says what it has lists names, or pairs of a name and a version, in JSON.
fn names_in(metadata: &MetadataMap, key: &'static str) -> Result<Option<Names>, Status> {
    let Some(value) = metadata.get_bin(key) else {
        return Ok(None);
    };
    let refused = |why: String| {
        let expected = r#"expected a JSON array in UTF-8 of "name" and ["name", "version"]"#;
        Status::invalid_argument(format!("the metadata '{key}' can not be read: {why}; {expected}"))
    };
    let bytes = value.to_bytes().map_err(|error| refused(error.to_string()))?;
    let entries: Vec<Value> = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
    let mut names = Names::default();
    for entry in entries {
        match entry {
            Value::String(name) => names.add(name, None),
            Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
                Ok([Value::String(name), Value::String(version)]) => names.add(name, Some(version)),
                Ok(other) => return Err(refused(format!("{} is neither", Value::from(other.to_vec())))),
                Err(other) => return Err(refused(format!("{} is neither", Value::Array(other)))),
            },
            other => return Err(refused(format!("{other} is neither"))),
        }
    }
    Ok(Some(names))
}

/// Tells the hub that a stream has ended, however it ends.
struct Registration {
    id: StreamId,
    hub: Handle,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let id = self.id;
        self.hub.tell(move |hub| hub.disconnect(id));
    }
}

/// Work items on their way to one worker. When it is dropped the worker has gone.
struct WorkItemStream {
    items: mpsc::Receiver<EncodedMessage>,
    starved: Arc<AtomicBool>,
    registration: Registration,
    /// If the worker knows them.
    pings: Option<Pings>,
    /// Keeps the connection from being taken for an idle one.
    _call: Option<Arc<Call>>,
}

/// Something to say on a stream that has nothing to say: who passes it on may take it for dead.
struct Pings {
    silence: Duration,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Pings {
    fn after(silence: Duration) -> Self {
        Self { silence, since: Instant::now(), timer: Box::pin(tokio::time::sleep(silence)) }
    }

    /// Ready when nothing has been said for long enough; then it starts over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<EncodedMessage> {
        while self.timer.as_mut().poll(context).is_ready() {
            let due = self.since + self.silence;
            let is_due = due <= Instant::now();
            if is_due {
                self.since = Instant::now();
            }
            self.timer.as_mut().reset(self.since + self.silence);
            if is_due {
                let ping = work_item::Request::HealthPing(HealthPing {});
                let ping = WorkItem { request: Some(ping), completion_token: String::new() };
                return Poll::Ready(EncodedMessage { chunks: vec![ping.encode_to_vec().into()] });
            }
        }
        Poll::Pending
    }
}

impl Stream for WorkItemStream {
    type Item = Result<EncodedMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.items.poll_recv(context);
        if let Poll::Ready(Some(_)) = item
            && self.items.len() <= STREAM_BOUND / 2
            && self.starved.swap(false, Ordering::SeqCst)
        {
            // There is room again; any job makes the hub look for work to hand out.
            self.registration.hub.tell(|_| {});
        }
        if item.is_ready() {
            if let Some(pings) = &mut self.pings {
                pings.since = Instant::now();
            }
            return item.map(|item| item.map(Ok));
        }
        match &mut self.pings {
            Some(pings) => pings.poll(context).map(|ping| Some(Ok(ping))),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    /// A stream on which nothing is said for longer than that, and what is put into it.
    fn stream(pings: Option<Pings>) -> (mpsc::Sender<EncodedMessage>, WorkItemStream) {
        let (items, taken) = mpsc::channel(8);
        let (jobs, _) = std::sync::mpsc::channel();
        let registration = Registration { id: 1, hub: Handle::new(jobs) };
        (items, WorkItemStream { items: taken, starved: Arc::default(), registration, pings, _call: None })
    }

    async fn next(stream: &mut WorkItemStream) -> Option<WorkItem> {
        let next = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("something is said");
        let item = next?.expect("no error").chunks.concat();
        Some(WorkItem::decode(item.as_slice()).expect("a work item"))
    }

    #[tokio::test]
    async fn a_silent_stream_is_said_to_be_alive_again_and_again() {
        let silence = Duration::from_millis(30);
        let (items, mut stream) = stream(Some(Pings::after(silence)));
        let begin = Instant::now();
        for count in 1..4 {
            let ping = next(&mut stream).await.expect("the stream goes on");
            assert_eq!(ping.request, Some(work_item::Request::HealthPing(HealthPing {})));
            assert_eq!(ping.completion_token, "", "nobody is to answer");
            assert!(begin.elapsed() >= count * silence);
        }
        items.send(EncodedMessage { chunks: vec![] }).await.expect("the stream goes on");
        assert_eq!(next(&mut stream).await.map(|item| item.request), Some(None), "work goes first");
        drop(items);
        assert_eq!(next(&mut stream).await, None);
    }

    #[tokio::test]
    async fn a_stream_with_work_is_said_nothing_else_and_one_that_knows_no_pings_neither() {
        let (items, mut busy) = stream(Some(Pings::after(Duration::from_millis(200))));
        let until = Instant::now() + Duration::from_millis(500);
        while Instant::now() < until {
            items.send(EncodedMessage { chunks: vec![] }).await.expect("the stream goes on");
            assert_eq!(next(&mut busy).await.map(|item| item.request), Some(None));
        }
        let (_items, mut plain) = stream(None);
        let silence = tokio::time::timeout(Duration::from_millis(50), plain.next()).await;
        assert!(silence.is_err(), "nothing is said");
    }
}
