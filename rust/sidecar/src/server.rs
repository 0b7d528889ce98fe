//! Starting and stopping a sidecar.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle as TaskHandle;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::access::{Access, AccessError};
use crate::clock::Clock;
use crate::connections::{Connections, Incoming};
use crate::hub::{Handle, Hub, HubOptions, Limits};
use crate::metrics::{MetricsServer, Source};
use crate::retention::Retention;
use crate::service::{Service, TaskHub, listing_service};
use crate::store::{Losses, OpenError, Store, StoreError};

/// Threads for connections. The hub's one thread has more to do for a message than the network has, so a second one only
/// wakes up to take work from the first.
pub(crate) const NETWORK_THREADS: usize = 1;
/// How often a connection that says nothing is asked whether its other end is still there. A worker whose machine is
/// gone closes nothing; its work is handed out again when it does not answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long connections get to end by themselves when the sidecar stops.
const DRAIN: Duration = Duration::from_secs(2);
/// How often it is looked whether workers have answered, when the sidecar is to stop.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// Calls at once in one connection: every wait of a client is one.
const MAX_CALLS: u32 = 1_000_000;
/// HTTP/2 flow control, in bytes: large histories should not wait for window updates.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// How many bytes of requests are taken in at once, unless two messages may be more.
const MOST_BYTES: usize = 512 * 1024 * 1024;

/// What a sidecar is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen: an address or a name.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The port that metrics are served on, for Prometheus; 0 takes a free one, none serves no metrics.
    pub metrics_port: Option<u16>,
    /// Where to listen for those who read metrics. TLS is not spoken there.
    pub metrics_host: String,
    /// The database file; none keeps everything in memory.
    pub db: Option<PathBuf>,
    /// Start also with a database whose write-ahead log is missing, without what was in it.
    pub accept_data_loss: bool,
    /// Who may talk to it.
    pub access: Access,
    /// The largest message that it takes, in bytes.
    pub max_message_bytes: usize,
    /// The application id that events carry.
    pub app_id: String,
    /// How many bytes of running instances' histories are kept in memory.
    pub cache_bytes: usize,
    /// How long a worker may have a turn in hand before it is given to another.
    pub turn_lease: Duration,
    /// For how long instances are kept once they have ended.
    pub retention: Retention,
    /// Lets time pass by itself, for tests; none follows the wall clock.
    pub virtual_time: Option<VirtualTime>,
}

/// A time that stands still while anybody is at work, and passes to the next timer when nobody is.
#[derive(Debug, Clone, Copy)]
pub struct VirtualTime {
    /// When it begins, in nanoseconds since the Unix epoch.
    pub start: i64,
    /// Makes the ids in histories the same each time.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
            metrics_port: None,
            metrics_host: "127.0.0.1".to_owned(),
            db: None,
            accept_data_loss: false,
            access: Access::default(),
            max_message_bytes: 256 * 1024 * 1024,
            app_id: "durabletask".to_owned(),
            cache_bytes: 256 * 1024 * 1024,
            turn_lease: Limits::default().turn_lease,
            retention: Retention::default(),
            virtual_time: None,
        }
    }
}

/// Why a sidecar does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can not be had.
    #[error("can not listen on {host}:{port}: {}", explain(.source, *.port))]
    Listen {
        /// As given.
        host: String,
        /// As given.
        port: u16,
        /// What the system says.
        source: std::io::Error,
    },
    /// What is to protect it does not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Certificates and key do not do.
    #[error("the certificates can not be used: {0}")]
    Tls(String),
    /// The database can not be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The database could be opened and not be read.
    #[error("the database can not be read: {0}")]
    Read(StoreError),
    /// The system gives no threads.
    #[error("can not start a thread: {0}")]
    Thread(std::io::Error),
}

async fn listen(host: String, port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = TcpListener::bind((host.as_str(), port))
        .await
        .and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    listener.map_err(|source| StartError::Listen { host, port, source })
}

fn reason_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}

fn explain(error: &std::io::Error, port: u16) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("port {port} is in use; stop the program that uses it, or choose another port (0 takes a free one)")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("not allowed to use port {port}; choose one above 1023")
        }
        _ => error.to_string(),
    }
}

/// An error with what is behind it; those of libraries keep to themselves what they come from.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A sidecar that is running.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use durabletask_sidecar::{Options, Sidecar};
///
/// let sidecar = Sidecar::start(Options::default()).await?;
/// println!("workers and clients connect to {}", sidecar.address());
/// sidecar.stop().await;
/// # Ok::<(), durabletask_sidecar::StartError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Sidecar {
    address: SocketAddr,
    handle: Handle,
    shutdown: oneshot::Sender<()>,
    server: TaskHandle<Result<(), tonic::transport::Error>>,
    metrics: Option<MetricsServer>,
    hub: JoinHandle<()>,
    /// Why it can not go on, if it can not.
    breakage: watch::Receiver<Option<String>>,
}

impl Sidecar {
    /// Opens the database and listens; when this returns, calls are answered.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Options { host, port, db, accept_data_loss, access, max_message_bytes, .. } = options;
        let Options { metrics_port, metrics_host, .. } = options;
        let Options { app_id, cache_bytes, turn_lease, retention, virtual_time, .. } = options;
        let (listener, address) = listen(host, port).await?;
        access.check(address)?;
        let metrics = match metrics_port {
            Some(port) => Some(listen(metrics_host, port).await?),
            None => None,
        };
        if let Some((_, address)) = metrics {
            access.check_plain(address)?;
        }
        let token = access.token()?;
        let mut builder = Server::builder();
        if let Some(tls) = access.tls()? {
            builder = builder.tls_config(tls).map_err(|error| StartError::Tls(in_full(&error)))?;
        }

        let losses = if accept_data_loss { Losses::Accept } else { Losses::Refuse };
        let store = Store::open(db.as_deref(), losses)?;
        let limits = Limits { turn_lease, ..Limits::default() };
        let clock = virtual_time.map_or_else(Clock::wall, |time| Clock::standing_at(time.start));
        let seed = virtual_time.map(|time| time.seed);
        let served = app_id.as_str().into();
        let options = HubOptions { app_id, cache_bytes, clock, limits, retention, seed };
        let hub = Hub::new(store, options).map_err(StartError::Read)?;
        let (sender, jobs) = mpsc::channel();
        let handle = Handle::new(sender);
        let (broken, breakage) = watch::channel(None);
        let hub = std::thread::Builder::new()
            .name("durabletask-hub".to_owned())
            .spawn(move || {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hub.run(&jobs)));
                if let Err(panic) = ended {
                    let reason = reason_of(&*panic);
                    tracing::error!(%reason, "the sidecar is broken and ends; what was acknowledged is kept");
                    let _ = broken.send(Some(reason));
                }
            })
            .map_err(StartError::Thread)?;

        let connections = Connections::new(MOST_BYTES.max(max_message_bytes.saturating_mul(2)));
        let metrics = metrics.map(|(listener, address)| {
            let source = Source { hub: handle.clone(), connections: Arc::clone(&connections) };
            MetricsServer::start(listener, address, source, token.clone())
        });
        let (shutdown, asked) = oneshot::channel();
        let listener = TcpIncoming::from(listener).with_nodelay(Some(true));
        let incoming = Incoming { listener, connections };
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<TaskHub>().await;
        let service = Service::new(handle.clone(), served);
        let answering = builder
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(MAX_CALLS)
            // Clients give up waits whenever they like; that is no attack.
            .http2_max_pending_accept_reset_streams(Some(4096))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .add_service(InterceptedService::new(TaskHub::new(service.clone(), max_message_bytes), token.clone()))
            .add_service(InterceptedService::new(listing_service(service, max_message_bytes), token))
            // Whoever watches over the process has no token.
            .add_service(health_service)
            .serve_with_incoming_shutdown(incoming, async move {
                let _ = asked.await;
            });
        let task = tokio::spawn(answering);
        tracing::debug!(%address, "listening");
        Ok(Self { address, handle, shutdown, server: task, metrics, hub, breakage })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics are read, with the real port.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|metrics| metrics.address)
    }

    /// What time it is in it, and lets it pass if it is virtual.
    #[must_use]
    pub fn time(&self) -> Time {
        Time(self.handle.clone())
    }

    /// Waits until it can not go on, because of a mistake in itself, and says why.
    pub async fn broken(&self) -> String {
        let mut breakage = self.breakage.clone();
        match breakage.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // It has ended well.
            Err(_) => std::future::pending().await,
        }
    }

    /// Hands out nothing more, and gives workers so long to answer what they have in hand.
    pub async fn drain(&self, patience: Duration) {
        let until = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < until {
            match self.handle.look(|hub| Ok(hub.drain())).await {
                Ok(in_hand) if in_hand > 0 => tokio::time::sleep(DRAIN_LOOK).await,
                _ => return,
            }
        }
    }

    /// Ends streams and waits, closes the database. What workers had in hand is handed out again at the next start.
    pub async fn stop(self) {
        let Self { handle, shutdown, mut server, hub, .. } = self;
        let _ = shutdown.send(());
        // The hub's end is the end of every stream and wait, and with that of the connections.
        handle.tell(Hub::stop);
        drop(handle);
        let ended = tokio::task::spawn_blocking(move || hub.join());
        // What there is to say of a panic was said when it happened.
        let _ = ended.await;
        match tokio::time::timeout(DRAIN, &mut server).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the server ended with an error"),
            Ok(Err(error)) => tracing::error!(%error, "the server did not end by itself"),
            Err(_) => {
                tracing::debug!("connections were still open and are cut");
                server.abort();
            }
        }
    }
}

/// A sidecar's time.
#[derive(Debug, Clone)]
pub struct Time(Handle);

impl Time {
    /// In nanoseconds since the Unix epoch; none if the sidecar has ended.
    pub async fn now(&self) -> Option<i64> {
        self.0.look(|hub| Ok(hub.now())).await.ok()
    }

    /// Lets virtual time pass by so much, with everything that happens on the way; returns what time it is then. It waits
    /// for those who are at work; none if the sidecar ends before.
    pub async fn skip(&self, by: Duration) -> Option<i64> {
        let (done, told) = oneshot::channel();
        self.0.tell(move |hub| hub.skip(by, done));
        told.await.ok()
    }
}
