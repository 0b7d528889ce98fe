//! The `durabletask-sidecar` command, for the program and for Python's console script.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::access::Access;
use crate::connections::raise_limit;
use crate::retention::Retention;
use crate::server::{NETWORK_THREADS, Options, Sidecar, StartError};
use crate::store::back_up;

/// Runs a Durable Task sidecar until it is interrupted: workers and clients connect to it over gRPC.
#[derive(Debug, Parser)]
#[command(name = "durabletask-sidecar", version, max_term_width = 100)]
struct Arguments {
    /// The port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 4001)]
    port: u16,

    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: String,

    /// The port to serve metrics on for Prometheus, at /metrics; 0 takes a free one; without it there are none
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,

    /// The address to serve metrics on
    #[arg(long, value_name = "HOST", requires = "metrics_port", default_value = "127.0.0.1")]
    metrics_host: String,

    /// The database file, made if there is none; without it everything is kept in memory and ends with the process
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    /// Start also with a database whose write-ahead log is missing, without what was in it
    #[arg(long, requires = "db")]
    accept_data_loss: bool,

    /// Copy the database to this new file, consistently also while a sidecar is at work on it, and end
    #[arg(long, value_name = "FILE", requires = "db")]
    backup: Option<PathBuf>,

    /// Serve other machines although nothing protects the sidecar
    #[arg(long)]
    insecure: bool,

    /// A file with a token that every call has to carry, as metadata dapr-api-token
    #[arg(long, value_name = "FILE")]
    api_token_file: Option<PathBuf>,

    /// The server's certificates in PEM, its own first; turns TLS on
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The key to it, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Certificates in PEM, one of which has to have signed a caller's
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// The largest message that is taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Options::default().max_message_bytes)]
    max_message_bytes: usize,

    /// How long a worker may have a turn in hand before it is given to another, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = positive_seconds)]
    turn_lease: Duration,

    /// For how long instances are kept that have ended, by status, as COMPLETED=7d,FAILED=30d (s, m, h, d, w); others are
    /// kept until they are purged
    #[arg(long, value_name = "STATUS=TIME,...", default_value = None)]
    retain: Option<Retention>,

    /// What to log, to stderr
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Info)]
    log_level: LogLevel,

    /// How to log it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// How long workers get to answer what they have in hand when the sidecar is told to end. With what it takes to close
/// connections, it has ended within 5 seconds.
const DRAIN: std::time::Duration = std::time::Duration::from_millis(2_500);

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// Runs the command with these arguments, the first of which is the program's name; returns the exit code.
pub fn run<I, T>(arguments: I) -> i32
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // A closed pipe is the reader's choice.
            let _ = write!(std::io::stdout(), "{error}");
            return 0;
        }
        Err(error) => return complain(&one_line(&error)),
    };
    if let (Some(db), Some(to)) = (&arguments.db, &arguments.backup) {
        return copy(db, to);
    }
    log_to_stderr(arguments.log_level, arguments.log_format);
    raise_limit();
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = match threads.worker_threads(NETWORK_THREADS).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&StartError::Thread(error).to_string()),
    };
    let code = runtime.block_on(serve(arguments));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}

impl Arguments {
    fn options(self) -> Options {
        Options {
            host: self.host,
            port: self.port,
            metrics_port: self.metrics_port,
            metrics_host: self.metrics_host,
            db: self.db,
            accept_data_loss: self.accept_data_loss,
            access: Access {
                insecure: self.insecure,
                api_token_file: self.api_token_file,
                tls_cert: self.tls_cert,
                tls_key: self.tls_key,
                tls_client_ca: self.tls_client_ca,
            },
            max_message_bytes: self.max_message_bytes,
            turn_lease: self.turn_lease,
            retention: self.retain.unwrap_or_default(),
            ..Options::default()
        }
    }
}

async fn serve(arguments: Arguments) -> i32 {
    let mut signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => return complain(&format!("can not listen to signals: {error}")),
    };
    let kept = arguments.db.as_ref().map_or("in memory".to_owned(), |path| format!("in {}", path.display()));
    let sidecar = match Sidecar::start(arguments.options()).await {
        Ok(sidecar) => sidecar,
        Err(error) => return complain(&error.to_string()),
    };
    // Whoever started us waits for this line, and may not care to read on.
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "durabletask-sidecar is listening on {} (state is kept {kept})", sidecar.address());
    if let Some(address) = sidecar.metrics_address() {
        let _ = writeln!(stdout, "metrics are on http://{address}/metrics");
    }
    let _ = stdout.flush();
    let broken = tokio::select! {
        () = signals.next() => None,
        reason = sidecar.broken() => Some(reason),
    };
    tracing::info!("stopping");
    tokio::select! {
        () = sidecar.drain(DRAIN) => {}
        // Whoever says it twice means now.
        () = signals.next() => {}
    }
    sidecar.stop().await;
    broken.map_or(0, |reason| complain(&format!("broken: {reason}; please report it, what was acknowledged is kept")))
}

fn copy(db: &Path, to: &Path) -> i32 {
    match back_up(db, to) {
        Ok(bytes) => {
            let _ = writeln!(std::io::stdout(), "copied {} to {} ({bytes} bytes)", db.display(), to.display());
            0
        }
        Err(error) => complain(&error.to_string()),
    }
}

fn positive_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if duration.is_zero() { Err("expected more than 0 seconds".to_owned()) } else { Ok(duration) }
}

fn complain(message: &str) -> i32 {
    let _ = writeln!(std::io::stderr(), "durabletask-sidecar: {message}");
    1
}

/// Clap says what is wrong in its first paragraph; the others repeat the usage.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let first = lines.join(" ");
    let first = first.strip_prefix("error: ").unwrap_or(&first);
    format!("{first} (--help shows what can be given)")
}

fn log_to_stderr(level: LogLevel, format: LogFormat) {
    let level = LevelFilter::from(level);
    // Libraries below us are heard when something is wrong with them; their frames and polls are nobody's business here.
    let filter = Targets::new().with_target("durabletask_sidecar", level).with_default(level.min(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    if tracing_subscriber::registry().with(lines).with(filter).try_init().is_err() {
        // The process has a subscriber already, which gets our logs.
        tracing::debug!("logging is set up already");
    }
}

/// Ctrl-C, and what a process manager sends.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn install() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    #[allow(clippy::unnecessary_wraps, reason = "as on Unix")]
    fn install() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
