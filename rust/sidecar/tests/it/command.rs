//! The program: the line it prints, how it ends, and what it says when it can not start.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};

use crate::support::{connect, create};

/// A sidecar in a process of its own, killed when dropped.
pub(crate) struct Program {
    child: Child,
    address: SocketAddr,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durabletask-sidecar"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Program {
    /// Starts it and waits for the line that says where it listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(command(arguments))
    }

    /// The same, with so many descriptors at most.
    #[cfg(unix)]
    pub(crate) fn start_with_descriptors(most: u32, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_durabletask-sidecar")]);
        shell.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::spawn(shell)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the program can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
        let address = line
            .strip_prefix("durabletask-sidecar is listening on ")
            .and_then(|rest| rest.split(' ').next())
            .and_then(|address| address.parse().ok());
        let Some(address) = address else {
            let mut errors = String::new();
            let _ = child.stderr.as_mut().expect("its errors").read_to_string(&mut errors);
            panic!("expected a line with an address, found {line:?}; it said: {errors}");
        };
        Self { child, address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end that nobody can prepare for.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }

    /// Ends it in good order; returns what it logged.
    #[cfg(unix)]
    pub(crate) fn end_and_read_log(&mut self) -> String {
        assert_eq!(self.signal("TERM").code(), Some(0));
        let mut log = String::new();
        self.child.stderr.as_mut().expect("its log").read_to_string(&mut log).expect("text");
        log
    }

    #[cfg(unix)]
    fn signal(&mut self, name: &str) -> std::process::ExitStatus {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill can be run").success());
        self.child.wait().expect("it ends")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs it to its end, which is to be a good one; returns what it says.
pub(crate) fn run(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = command(arguments).output().expect("the program can be started");
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

pub(crate) fn refused(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = command(arguments).output().expect("the program can be started");
    assert_eq!(status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&stdout), "");
    let message = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(message.lines().count(), 1, "one line says it: {message}");
    message
}

#[cfg(unix)]
#[tokio::test]
async fn it_serves_until_it_is_told_to_end_and_then_ends_well_and_soon() {
    for signal in ["INT", "TERM"] {
        let mut program = Program::start(&["--port", "0"]);
        let mut client = connect(program.address()).await;
        create(&mut client, "one", "greet").await.expect("the id is free");
        // It never answers what it has in hand.
        let mut worker = crate::support::Worker::connect(&client).await;
        worker.turn().await;
        let told = std::time::Instant::now();
        let status = program.signal(signal);
        assert_eq!(status.code(), Some(0), "after SIG{signal}");
        assert!(told.elapsed() < std::time::Duration::from_secs(5), "it took {:?}", told.elapsed());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn told_to_end_it_waits_for_answers_and_hands_out_nothing_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let db = path.to_str().expect("a path in UTF-8");
    let mut program = Program::start(&["--port", "0", "--db", db]);
    let mut client = connect(program.address()).await;
    let mut worker = crate::support::Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    Command::new("kill").args(["-TERM", &program.pid().to_string()]).status().expect("kill can be run");
    let mut log = BufReader::new(program.child.stderr.take().expect("its log"));
    let mut line = String::new();
    while !line.contains("stopping") {
        line.clear();
        assert!(log.read_line(&mut line).expect("text") > 0, "it ended without a word");
    }
    create(&mut client, "two", "greet").await.expect("calls are still answered");
    worker.answer(&turn, vec![crate::support::actions::complete(1, "1")]).await;
    assert!(worker.next().await.is_none(), "nothing more is handed out, and the stream ends");
    assert_eq!(program.child.wait().expect("it ends").code(), Some(0));

    let program = Program::start(&["--port", "0", "--db", db]);
    let mut client = connect(program.address()).await;
    let status = crate::support::status(&mut client, "one").await;
    assert_eq!(status, durabletask_proto::OrchestrationStatus::Completed, "the answer was taken");
}

#[tokio::test]
async fn it_says_once_that_work_waits_and_nobody_comes_for_it() {
    let mut program = Program::start(&["--port", "0"]);
    let mut client = connect(program.address()).await;
    for id in ["one", "two"] {
        create(&mut client, id, "greet").await.expect("the id is free");
    }
    let mut log = BufReader::new(program.child.stderr.take().expect("its log"));
    let (mut line, mut started) = (String::new(), 0);
    while !line.contains("no worker is connected") {
        started += usize::from(line.contains("an instance is started"));
        line.clear();
        assert!(log.read_line(&mut line).expect("text") > 0, "it ended without a word");
    }
    assert!(line.contains("turns=2"), "{line}");
    assert_eq!(started, 2, "each is told of");
}

#[test]
fn a_port_in_use_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let message = refused(&["--port", &port]);
    assert!(message.contains(&format!("port {port} is in use")), "{message}");
}

#[test]
fn wrong_arguments_are_said_in_one_line() {
    assert!(refused(&["--port", "many"]).contains("--port"));
    assert!(refused(&["--nonsense"]).contains("--nonsense"));
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("letter.txt");
    let text = "Dear reader, this is no database, and it is longer than the header of one. ".repeat(20);
    std::fs::write(&path, &text).expect("a file");
    let message = refused(&["--port", "0", "--db", path.to_str().expect("a path in UTF-8")]);
    assert!(message.contains("is not a SQLite database"), "{message}");
    assert_eq!(std::fs::read_to_string(&path).expect("it is still there"), text);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("photos.db");
    let other = rusqlite::Connection::open(&path).expect("a database");
    other.execute_batch("CREATE TABLE photos (name TEXT)").expect("a table");
    drop(other);
    let before = std::fs::read(&path).expect("a file");
    let message = refused(&["--port", "0", "--db", path.to_str().expect("a path in UTF-8")]);
    assert!(message.contains("database of another program"), "{message}");
    assert_eq!(std::fs::read(&path).expect("it is still there"), before);
}

#[test]
fn a_database_of_a_newer_sidecar_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let db = path.to_str().expect("a path in UTF-8");
    Program::start(&["--port", "0", "--db", db]).kill();
    let newer = rusqlite::Connection::open(&path).expect("a database");
    newer.pragma_update(None, "user_version", 99).expect("a version");
    drop(newer);
    let message = refused(&["--port", "0", "--db", db]);
    assert!(message.contains("schema version 99"), "{message}");
}

#[test]
fn a_database_serves_one_sidecar_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let db = path.to_str().expect("a path in UTF-8");
    let _first = Program::start(&["--port", "0", "--db", db]);
    let message = refused(&["--port", "0", "--db", db]);
    assert!(message.contains("in use by another process"), "{message}");
}

#[test]
fn a_database_that_can_not_be_written_is_said_to_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("no").join("such").join("hub.db");
    let message = refused(&["--port", "0", "--db", missing.to_str().expect("a path in UTF-8")]);
    assert!(message.contains("there is no directory"), "{message}");
    let message = refused(&["--port", "0", "--db", folder.path().to_str().expect("a path in UTF-8")]);
    assert!(message.contains("it is a directory"), "{message}");
}
