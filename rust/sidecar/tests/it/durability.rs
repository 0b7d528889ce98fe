//! What was acknowledged is there after a restart, also after one that nobody asked for.

use std::time::Duration;

use durabletask_proto::OrchestrationStatus;

use crate::command::Program;
use crate::support::actions::{complete, schedule, timer};
use crate::support::{Worker, connect, create, finished, kinds, raise, start_on, status};

#[tokio::test]
async fn instances_timers_and_activities_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = folder.path().join("hub.db");
    let (sidecar, mut client) = start_on(&db).await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "done", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "\"out\"")]).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "hello"), timer(2, Duration::from_millis(1))]).await;
    let _activity = worker.activity().await;
    crate::support::soon("the sidecar's end", sidecar.stop()).await;

    let (sidecar, mut client) = start_on(&db).await;
    assert_eq!(finished(&mut client, "done").await.output.as_deref(), Some("\"out\""));
    assert_eq!(status(&mut client, "one").await, OrchestrationStatus::Running);
    let mut worker = Worker::connect(&client).await;
    let (mut fired, mut run) = (false, false);
    while !(fired && run) {
        let item = worker.next().await.expect("a work item");
        match item.request {
            Some(durabletask_proto::work_item::Request::OrchestratorRequest(it)) => {
                fired |= kinds(&it.new_events).contains(&"TimerFired".to_owned());
                let past = kinds(&it.past_events);
                assert_eq!(past, ["OrchestratorStarted", "ExecutionStarted", "TaskScheduled", "TimerCreated"]);
            }
            Some(durabletask_proto::work_item::Request::ActivityRequest(it)) => run |= it.name == "hello",
            other => panic!("unexpected {other:?}"),
        }
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = folder.path().join("hub.db");
    let db = db.to_str().expect("a path in UTF-8");
    let mut program = Program::start(&["--port", "0", "--db", db]);
    let mut client = connect(program.address()).await;
    let mut worker = Worker::connect(&client).await;
    for n in 0..20 {
        create(&mut client, &format!("id-{n}"), "greet").await.expect("the id is free");
    }
    for n in 0..20 {
        let turn = worker.turn().await;
        worker.answer(&turn, if n % 2 == 0 { vec![complete(1, "1")] } else { vec![schedule(1, "hello")] }).await;
    }
    raise(&mut client, "id-19", "go").await.expect("it runs");
    program.kill();

    let program = Program::start(&["--port", "0", "--db", db]);
    let mut client = connect(program.address()).await;
    let mut states = [0, 0];
    for n in 0..20 {
        match status(&mut client, &format!("id-{n}")).await {
            OrchestrationStatus::Completed => states[0] += 1,
            OrchestrationStatus::Running => states[1] += 1,
            other => panic!("id-{n} is {other:?}"),
        }
    }
    assert_eq!(states, [10, 10]);
    let mut worker = Worker::connect(&client).await;
    let (mut activities, mut events) = (0, 0);
    while activities < 10 || events < 1 {
        match worker.next().await.expect("a work item").request {
            Some(durabletask_proto::work_item::Request::ActivityRequest(_)) => activities += 1,
            Some(durabletask_proto::work_item::Request::OrchestratorRequest(turn)) => {
                assert_eq!(turn.instance_id, "id-19");
                events += 1;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}
