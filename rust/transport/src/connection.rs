//! A connection to a sidecar, as the threads of a program have it.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::call::{Caller, Path};
use crate::inbox::{Inbox, Outcome, Taken};
use crate::links::Links;
use crate::message::framed;
use crate::metadata::Metadata;
use crate::reports::{Report, deliver};
use crate::status::{Code, Status};
use crate::target::Target;

/// What a caller waits beyond the time that it gives, before it takes the network's thread for dead.
const GRACE: Duration = Duration::from_secs(5);

/// Where to connect, and what goes with every call.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sidecar's address.
    pub target: Target,
    /// Goes with every call.
    pub metadata: Metadata,
}

enum Command {
    Call { path: Path, message: Bytes, patience: Duration, answer: SyncSender<Result<Bytes, Status>> },
    Stream { path: Path, message: Bytes, metadata: Metadata },
    Report(Report),
    Close,
}

/// A connection with at most one stream. It connects at the first call, and for good only once its calls fail.
///
/// `T` is what a report is known by.
pub struct Connection<T> {
    commands: UnboundedSender<Command>,
    inbox: Arc<Inbox<T>>,
}

impl<T: Send + 'static> Connection<T> {
    pub(crate) fn open(runtime: &Handle, settings: Settings) -> Result<Self, Status> {
        let caller = Caller::new(Links::to(settings.target), &settings.metadata)?;
        let (commands, receiver) = unbounded_channel();
        let inbox = Arc::new(Inbox::new());
        runtime.spawn(serve(receiver, Arc::new(caller), Ending(inbox.clone())));
        Ok(Self { commands, inbox })
    }

    /// Makes a call with one answer, and waits for it.
    pub fn call(&self, path: &str, message: &[u8], patience: Duration) -> Result<Bytes, Status> {
        let (answer, answered) = sync_channel(1);
        let command = Command::Call { path: Path::parse(path)?, message: framed(message)?, patience, answer };
        self.commands.send(command).map_err(|_| Status::closed())?;
        match answered.recv_timeout(patience.saturating_add(GRACE)) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(Status::timed_out()),
            Err(RecvTimeoutError::Disconnected) => Err(Status::closed()),
        }
    }

    /// Asks for the stream whose messages `take` gives.
    pub fn stream(&self, path: &str, message: &[u8], metadata: Metadata) -> Result<(), Status> {
        let command = Command::Stream { path: Path::parse(path)?, message: framed(message)?, metadata };
        self.commands.send(command).map_err(|_| Status::closed())
    }

    /// Waits for messages, for the end of the stream, or for what became of reports; takes all there is.
    ///
    /// What became of reports comes at once if this is `hastened`; else with the next messages, or within a moment.
    #[must_use]
    pub fn take(&self, hastened: bool) -> Taken<T> {
        self.inbox.take(hastened)
    }

    /// Waits so long, at most, for what became of reports. Messages stay where they are.
    #[must_use]
    pub fn take_outcomes(&self, patience: Duration) -> Vec<(T, Outcome)> {
        self.inbox.take_outcomes(patience)
    }

    /// Hastens a `take` that waits.
    pub fn hasten(&self) {
        self.inbox.hasten();
    }

    /// Hands a message over that is to get to the sidecar; `take` says what became of it, under the name of `report`.
    ///
    /// Gives `report` back if the connection is closed, or the message can not be sent.
    pub fn report(&self, path: &str, message: &[u8], report: T) -> Result<(), (T, Status)> {
        let (path, message) = match Path::parse(path).and_then(|path| Ok((path, framed(message)?))) {
            Ok(parts) => parts,
            Err(status) => return Err((report, status)),
        };
        let number = self.inbox.expect(report).map_err(|report| (report, Status::closed()))?;
        // Nobody takes it if the thread has ended; then the inbox is closed.
        let _ = self.commands.send(Command::Report(Report { path, message, number }));
        Ok(())
    }

    /// Gives everything up that is on its way: calls fail, `take` tells of reports that they are gone.
    pub fn close(&self) {
        self.inbox.close();
        let _ = self.commands.send(Command::Close);
    }
}

impl<T> Drop for Connection<T> {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// Tells the program when nothing goes on any more, whatever the reason.
struct Ending<T>(Arc<Inbox<T>>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// All that a connection does on the network's thread.
async fn serve<T: Send + 'static>(mut commands: UnboundedReceiver<Command>, caller: Arc<Caller>, ending: Ending<T>) {
    let mut running = JoinSet::new();
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            Some(_) = running.join_next(), if !running.is_empty() => continue,
        };
        match command {
            None | Some(Command::Close) => break,
            Some(Command::Report(report)) => {
                running.spawn(deliver(caller.clone(), ending.0.clone(), report));
            }
            Some(Command::Call { path, message, patience, answer }) => {
                let caller = caller.clone();
                running.spawn(async move {
                    // Whoever asked may have given up.
                    let _ = answer.try_send(caller.unary(&path, message, patience).await);
                });
            }
            Some(Command::Stream { path, message, metadata }) => {
                running.spawn(read(caller.clone(), ending.0.clone(), path, message, metadata));
            }
        }
    }
    drop(ending);
    // Ends their calls, of which the other side is told on the connections that are closed next.
    running.shutdown().await;
    if let Some(caller) = Arc::into_inner(caller) {
        caller.links.close().await;
    }
}

async fn read<T>(caller: Arc<Caller>, inbox: Arc<Inbox<T>>, path: Path, message: Bytes, metadata: Metadata) {
    let ended = async {
        let mut incoming = caller.stream(&path, message, &metadata).await?;
        loop {
            inbox.room().await;
            match incoming.message().await? {
                Some(message) => inbox.put(message),
                None => return Ok::<_, Status>(()),
            }
        }
    };
    let ended = match ended.await {
        Ok(()) => Ok(()),
        Err(status) if status.code == Code::Unavailable => Err(caller.links.explain(status).await),
        Err(status) => Err(status),
    };
    inbox.end(ended);
}
