//! Instances that ended long enough ago are forgotten without anybody asking for it; the others are not.

use std::time::Duration;

use durabletask_sidecar::{Options, VirtualTime};

use crate::command::Program;
use crate::support::actions::{complete, terminated, timer_at};
use crate::support::{Client, Worker, connect, create, finished, soon, start_with, state, status};
use durabletask_proto::OrchestrationStatus;

const DAY: Duration = Duration::from_secs(86_400);

async fn gone(client: &mut Client, id: &str) {
    soon("an instance to be forgotten", async {
        while state(client, id).await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn each_status_has_its_own_time() {
    let retention = "COMPLETED=0.2s,FAILED=1d".parse().expect("two rules");
    let (sidecar, mut client) = start_with(Options { retention, ..Options::default() }).await;
    let mut worker = Worker::connect(&client).await;
    for (id, end) in [("completed", Some(complete(1, "1"))), ("terminated", Some(terminated(1))), ("open", None)] {
        create(&mut client, id, "greet").await.expect("the id is free");
        let turn = worker.turn().await;
        worker.answer(&turn, end.into_iter().collect()).await;
    }
    gone(&mut client, "completed").await;
    assert_eq!(status(&mut client, "terminated").await, OrchestrationStatus::Terminated, "there is no rule for it");
    assert_eq!(status(&mut client, "open").await, OrchestrationStatus::Running);
    create(&mut client, "completed", "greet").await.expect("its id is free again");
    sidecar.stop().await;
}

#[tokio::test]
async fn what_ended_before_a_restart_is_forgotten_too_and_a_thousand_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let db = path.to_str().expect("a path in UTF-8");
    let mut program = Program::start(&["--port", "0", "--db", db, "--retain", "COMPLETED=30d", "--log-level", "warn"]);
    let mut client = connect(program.address()).await;
    let mut worker = Worker::connect(&client).await;
    let open = create(&mut client, "open", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![]).await;
    for n in 0..1_000 {
        create(&mut client, &format!("done-{n}"), "greet").await.expect("the id is free");
        let turn = worker.turn().await;
        worker.answer(&turn, vec![complete(1, "1")]).await;
    }
    assert!(state(&mut client, "done-0").await.is_some());
    program.kill();

    let mut program = Program::start(&["--port", "0", "--db", db, "--retain", "completed=0s", "--log-level", "warn"]);
    let mut client = connect(program.address()).await;
    for n in [0, 500, 999] {
        gone(&mut client, &format!("done-{n}")).await;
    }
    assert!(state(&mut client, &open).await.is_some());
    program.kill();
    let database = rusqlite::Connection::open(&path).expect("a database");
    for (table, left) in [("instances", 1), ("results", 0), ("history", 1)] {
        let count: i64 =
            database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a count");
        assert_eq!(count, left, "in {table}");
    }
}

#[tokio::test]
async fn virtual_time_passes_over_it_and_never_for_it() {
    let retention = "COMPLETED=7d".parse().expect("a rule");
    let virtual_time = Some(VirtualTime { start: 0, seed: 0 });
    let (sidecar, mut client) = start_with(Options { retention, virtual_time, ..Options::default() }).await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "done", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "1")]).await;
    finished(&mut client, "done").await;

    // Somebody waits for what nothing brings about: that is no reason for a week to pass.
    create(&mut client, "open", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![]).await;
    let mut waiting = client.clone();
    let wait = tokio::spawn(async move { finished(&mut waiting, "open").await });
    assert_eq!(sidecar.time().skip(6 * DAY).await, Some(nanos(6 * DAY)));
    assert!(state(&mut client, "done").await.is_some());
    assert_eq!(sidecar.time().skip(2 * DAY).await, Some(nanos(8 * DAY)));
    assert_eq!(state(&mut client, "done").await, None, "it is gone by the time that time has passed");
    wait.abort();

    // A timer that fires later finds it gone, too.
    create(&mut client, "done", "greet").await.expect("its id is free again");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "1")]).await;
    finished(&mut client, "done").await;
    create(&mut client, "sleeper", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![timer_at(1, 18 * DAY)]).await;
    let mut waiting = client.clone();
    let wait = tokio::spawn(async move { finished(&mut waiting, "sleeper").await });
    let turn = worker.turn().await;
    assert_eq!(sidecar.time().now().await, Some(nanos(18 * DAY)));
    assert_eq!(state(&mut client, "done").await, None);
    worker.answer(&turn, vec![complete(2, "1")]).await;
    soon("the end of the sleeper", wait).await.expect("it is told of");
    sidecar.stop().await;
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).expect("a time in this century")
}

#[test]
fn rules_that_make_no_sense_are_said_in_one_line() {
    for rules in ["RUNNING=1d", "COMPLETED", "COMPLETED=1y"] {
        let message = crate::command::refused(&["--port", "0", "--retain", rules]);
        assert!(message.contains("expected STATUS=TIME"), "{message}");
    }
}
