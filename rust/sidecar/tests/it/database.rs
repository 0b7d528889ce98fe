//! The database as files: who can read them, and what happens when they are copied, deleted or torn apart.

use std::path::{Path, PathBuf};

use crate::command::{Program, refused, run};
use crate::support::actions::complete;
use crate::support::{Worker, connect, create, finished, state, status};
use durabletask_proto::OrchestrationStatus;
use tonic::Code;

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", text(path)))
}

/// A folder, and the path of a database in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    (folder, path)
}

fn serve(path: &Path) -> Program {
    Program::start(&["--port", "0", "--db", text(path)])
}

fn count_instances(path: &Path) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let reader = rusqlite::Connection::open_with_flags(path, flags).expect("it can be opened");
    reader.query_row("SELECT count(*) FROM instances", [], |row| row.get(0)).expect("it can be read")
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_but_its_owner_can_read_a_new_database() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = place();
    let program = serve(&path);
    let mut client = connect(program.address()).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
        seen += 1;
    }
    assert!(seen >= 3, "the database, its log and its lock");
}

#[tokio::test]
async fn others_can_read_beside_a_sidecar_that_is_at_work() {
    let (_folder, path) = place();
    let program = serve(&path);
    let mut client = connect(program.address()).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    assert_eq!(count_instances(&path), 1);
    create(&mut client, "two", "greet").await.expect("the reader does not hold it up");
    assert_eq!(count_instances(&path), 2);
}

#[tokio::test]
async fn a_backup_of_a_sidecar_that_is_at_work_holds_all_that_was_acknowledged() {
    let (folder, path) = place();
    let program = serve(&path);
    let mut client = connect(program.address()).await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "done", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "\"out\"")]).await;
    finished(&mut client, "done").await;
    for n in 0..50 {
        create(&mut client, &format!("id-{n}"), "greet").await.expect("the id is free");
    }

    let copy = folder.path().join("copy.db");
    let said = run(&["--db", text(&path), "--backup", text(&copy)]);
    assert!(said.contains("copied"), "{said}");
    create(&mut client, "later", "greet").await.expect("the sidecar is still at work");
    let message = refused(&["--db", text(&path), "--backup", text(&copy)]);
    assert!(message.contains("there is such a file already"), "{message}");

    let second = serve(&copy);
    let mut client = connect(second.address()).await;
    assert_eq!(state(&mut client, "done").await.and_then(|state| state.output).as_deref(), Some("\"out\""));
    assert_eq!(status(&mut client, "id-49").await, OrchestrationStatus::Pending);
    assert_eq!(state(&mut client, "later").await, None);
}

#[test]
fn what_can_not_be_backed_up_is_said_in_one_line() {
    let (folder, path) = place();
    let copy = folder.path().join("copy.db");
    let message = refused(&["--db", text(&path), "--backup", text(&copy)]);
    assert!(message.contains("there is no such file"), "{message}");
    assert!(!path.exists() && !copy.exists());
    let message = refused(&["--backup", text(&copy)]);
    assert!(message.contains("--db"), "{message}");
    std::fs::write(&path, "Dear reader, this is no database. ".repeat(40)).expect("a file");
    let message = refused(&["--db", text(&path), "--backup", text(&copy)]);
    assert!(message.contains("can not be backed up"), "{message}");
    assert!(!copy.exists() && !beside(&copy, ".part").exists(), "nothing is left of the attempt");
}

#[cfg(unix)]
#[tokio::test]
async fn a_database_that_is_deleted_while_it_is_in_use_takes_nothing_more() {
    for suffix in ["", "-wal"] {
        let (_folder, path) = place();
        let program = serve(&path);
        let mut client = connect(program.address()).await;
        create(&mut client, "one", "greet").await.expect("the id is free");
        std::fs::remove_file(beside(&path, suffix)).expect("it is there");
        let error = create(&mut client, "two", "greet").await.expect_err("it would be lost");
        assert_eq!(error.code(), Code::DataLoss, "{error}");
        assert!(error.message().contains("was deleted while it was in use"), "{error}");
        let error = create(&mut client, "three", "greet").await.expect_err("nor anything after it");
        assert_eq!(error.code(), Code::DataLoss, "{error}");
        assert!(state(&mut client, "one").await.is_some(), "what is there can still be read");
        assert_eq!(state(&mut client, "two").await, None, "what was refused is not there");
    }
}

#[tokio::test]
async fn a_database_without_the_log_that_it_had_when_it_crashed_is_not_taken_for_whole() {
    let (_folder, path) = place();
    let mut program = serve(&path);
    let mut client = connect(program.address()).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    program.kill();
    let log = beside(&path, "-wal");
    let kept = std::fs::read(&log).expect("a log is left by the crash");
    std::fs::remove_file(&log).expect("it is there");

    let serve_again = ["--port", "0", "--db", text(&path)];
    for _ in 0..2 {
        let message = refused(&serve_again);
        assert!(message.contains("hub.db-wal") && message.contains("--accept-data-loss"), "{message}");
    }
    std::fs::write(&log, kept).expect("it is put back");
    let mut program = serve(&path);
    let mut client = connect(program.address()).await;
    assert!(state(&mut client, "one").await.is_some(), "with its log, the database is whole");
    program.kill();

    std::fs::remove_file(&log).expect("it is there");
    let program = Program::start(&["--port", "0", "--accept-data-loss", "--db", text(&path)]);
    let mut client = connect(program.address()).await;
    create(&mut client, "two", "greet").await.expect("it works again");
}

#[tokio::test]
async fn a_database_that_others_have_tidied_up_after_a_crash_is_whole() {
    let (_folder, path) = place();
    let mut program = serve(&path);
    let mut client = connect(program.address()).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    program.kill();
    // The last program that closes a database takes its log over, and deletes it.
    let other = rusqlite::Connection::open(&path).expect("it can be opened");
    other.query_row("SELECT count(*) FROM instances", [], |row| row.get::<_, i64>(0)).expect("it can be read");
    other.close().expect("it can be closed");
    assert!(!beside(&path, "-wal").exists(), "the log is gone, and nothing is lost");
    let program = serve(&path);
    let mut client = connect(program.address()).await;
    assert!(state(&mut client, "one").await.is_some());
}

#[tokio::test]
async fn a_log_without_its_database_is_not_started_over() {
    let (_folder, path) = place();
    let mut program = serve(&path);
    let mut client = connect(program.address()).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    program.kill();
    std::fs::remove_file(&path).expect("it is there");
    let message = refused(&["--port", "0", "--db", text(&path)]);
    assert!(message.contains("put the database back"), "{message}");
    assert!(!path.exists(), "nothing is put in its place");
}

#[test]
fn names_that_mean_something_else_to_sqlite_are_no_files() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["file:hub?mode=memory", ":memory:", ""] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_durabletask-sidecar"))
            .args(["--port", "0", &format!("--db={name}")])
            .current_dir(folder.path())
            .output()
            .expect("the program can be started");
        assert_eq!(output.status.code(), Some(1), "{name}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains("is no path of a file") || message.contains("a value is required"), "{message}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "and none is made");
}

#[cfg(unix)]
#[test]
fn a_database_serves_one_sidecar_whatever_it_is_called() {
    let (folder, path) = place();
    let first = serve(&path);
    let alias = folder.path().join("alias.db");
    std::os::unix::fs::symlink(&path, &alias).expect("a link");
    let message = refused(&["--port", "0", "--db", text(&alias)]);
    assert!(message.contains(&format!("in use by another process ({})", first.pid())), "{message}");
}
