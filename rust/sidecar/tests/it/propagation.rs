//! Histories that calls hand on: to activities, to children, from generation to generation.

use std::path::Path;

use durabletask_proto::orchestrator_action::OrchestratorActionType;
use durabletask_proto::prost::Message;
use durabletask_proto::{
    HistoryEvent, HistoryPropagationScope, OrchestrationStatus, OrchestratorAction, PropagatedHistory,
    PurgeInstancesRequest, purge_instances_request,
};

use crate::command::Program;
use crate::support::actions::{child, complete, continue_as_new, schedule};
use crate::support::{Worker, connect, create, finished, kinds, raise, soon, start, start_on};

const OWN: HistoryPropagationScope = HistoryPropagationScope::OwnHistory;
const LINEAGE: HistoryPropagationScope = HistoryPropagationScope::Lineage;

fn showing(mut action: OrchestratorAction, scope: HistoryPropagationScope) -> OrchestratorAction {
    let scope = Some(scope.into());
    match &mut action.orchestrator_action_type {
        Some(OrchestratorActionType::ScheduleTask(asked)) => asked.history_propagation_scope = scope,
        Some(OrchestratorActionType::CreateSubOrchestration(asked)) => asked.history_propagation_scope = scope,
        other => panic!("{other:?} hands nothing on"),
    }
    action
}

/// Of each history whose it is, and its events in short.
fn told(history: Option<&PropagatedHistory>) -> Vec<String> {
    let chunks = history.map_or(&[][..], |history| &history.chunks);
    let tell = |chunk: &durabletask_proto::PropagatedHistoryChunk| {
        let events = chunk.raw_events.iter().map(|event| HistoryEvent::decode(event.as_slice()).expect("an event"));
        let events: Vec<String> = kinds(&events.collect::<Vec<_>>());
        assert_eq!(chunk.app_id, "durabletask");
        format!("{} {} {}", chunk.instance_id, chunk.workflow_name, events.join(" "))
    };
    chunks.iter().map(tell).collect()
}

/// How many histories are kept, and how often they are shown.
fn kept(db: &Path) -> (i64, i64) {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let reader = rusqlite::Connection::open_with_flags(db, flags).expect("it can be opened");
    let sql = "SELECT (SELECT count(*) FROM propagated_chunks), (SELECT count(*) FROM propagated)";
    reader.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("it can be read")
}

#[tokio::test]
async fn an_activity_is_shown_its_caller_s_history_up_to_the_call() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "order").await.expect("the id is free");
    let turn = worker.turn().await;
    let actions = vec![schedule(1, "a"), showing(schedule(2, "b"), OWN), showing(schedule(3, "c"), LINEAGE)];
    worker.answer(&turn, actions).await;

    let unshown = worker.activity().await;
    assert!(unshown.request.propagated_history.is_none());
    let second = worker.activity().await.request.propagated_history;
    let until = "one order OrchestratorStarted ExecutionStarted TaskScheduled TaskScheduled";
    assert_eq!(told(second.as_ref()), [until]);
    assert_eq!(second.expect("a history").scope(), OWN);
    let third = worker.activity().await.request.propagated_history;
    assert_eq!(told(third.as_ref()), [format!("{until} TaskScheduled")]);
    assert_eq!(third.expect("a history").scope(), LINEAGE);

    // The past counts too.
    worker.finish(&unshown, "1").await;
    let turn = worker.turn().await;
    worker.answer(&turn, vec![showing(schedule(4, "d"), OWN)]).await;
    let fourth = worker.activity().await.request.propagated_history;
    let now = "TaskScheduled OrchestratorStarted TaskCompleted TaskScheduled";
    assert_eq!(told(fourth.as_ref()), [format!("{until} {now}")]);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_child_is_shown_its_parent_s_history_in_every_turn_and_hands_on_the_line() {
    let (sidecar, mut client) = start().await;
    // Also where the rest of its history stays with the worker.
    let mut worker = Worker::with_cache(&client).await;
    create(&mut client, "a", "order").await.expect("the id is free");
    let turn = worker.turn().await;
    assert!(turn.request.propagated_history.is_none());
    worker.answer(&turn, vec![showing(child(1, "b", "ship"), OWN)]).await;

    let parents = "a order OrchestratorStarted ExecutionStarted SubOrchestrationInstanceCreated";
    let turn = worker.turn().await;
    assert_eq!(told(turn.request.propagated_history.as_ref()), [parents]);
    worker.answer(&turn, vec![showing(child(1, "c", "pack"), LINEAGE), showing(child(2, "d", "pack"), OWN)]).await;

    let own = "b ship OrchestratorStarted ExecutionStarted SubOrchestrationInstanceCreated";
    for expected in [vec![parents.to_owned(), own.to_owned()], vec![format!("{own} SubOrchestrationInstanceCreated")]] {
        let turn = worker.turn().await;
        assert_eq!(told(turn.request.propagated_history.as_ref()), expected, "{}", turn.id());
        worker.answer(&turn, vec![]).await;
    }
    raise(&mut client, "b", "go").await.expect("it runs");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![]).await;
    raise(&mut client, "b", "go").await.expect("it runs");
    let turn = worker.turn().await;
    assert_eq!((turn.id(), told(turn.request.propagated_history.as_ref())), ("b", vec![parents.to_owned()]));
    assert!(turn.request.cached_history.is_some(), "the worker holds the rest");
    worker.answer(&turn, vec![schedule(3, "x")]).await;
    let activity = worker.activity().await;
    assert!(activity.request.propagated_history.is_none(), "what it is shown itself goes no further by itself");
    sidecar.stop().await;
}

#[tokio::test]
async fn who_continues_as_new_is_shown_where_it_comes_from_if_it_was_shown_something_before() {
    for (scope, line) in [(LINEAGE, 2), (OWN, 1)] {
        let (sidecar, mut client) = start().await;
        let mut worker = Worker::connect(&client).await;
        create(&mut client, "a", "order").await.expect("the id is free");
        let turn = worker.turn().await;
        worker.answer(&turn, vec![showing(child(1, "b", "ship"), scope)]).await;
        let turn = worker.turn().await;
        worker.answer(&turn, vec![schedule(1, "x")]).await;
        let activity = worker.activity().await;
        worker.finish(&activity, "1").await;
        let turn = worker.turn().await;
        worker.answer(&turn, vec![continue_as_new(2, "1", vec![])]).await;

        let turn = worker.turn().await;
        let before = "a order OrchestratorStarted ExecutionStarted SubOrchestrationInstanceCreated".to_owned();
        let parting =
            "b ship OrchestratorStarted ExecutionStarted TaskScheduled OrchestratorStarted TaskCompleted".to_owned();
        assert_eq!(told(turn.request.propagated_history.as_ref()), [before, parting][2 - line..], "{scope:?}");
        sidecar.stop().await;
    }

    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "root", "order").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![continue_as_new(1, "1", vec![])]).await;
    assert!(worker.turn().await.request.propagated_history.is_none(), "a root was shown nothing and is shown nothing");
    sidecar.stop().await;
}

#[tokio::test]
async fn many_calls_of_a_turn_share_what_they_are_shown_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = folder.path().join("hub.db");
    let (sidecar, mut client) = start_on(&db).await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "parent", "order").await.expect("the id is free");
    create(&mut client, "taken", "other").await.expect("the id is free");
    let turn = worker.turn().await;
    let other = worker.turn().await;
    let mut actions: Vec<_> = (1..=30).map(|id| showing(schedule(id, "a"), LINEAGE)).collect();
    actions.push(showing(child(31, "child", "ship"), LINEAGE));
    worker.answer(&turn, actions).await;
    worker.answer(&other, vec![showing(child(1, "parent", "order"), OWN)]).await;
    assert_eq!(kept(&db), (1, 31), "a child that can not be started keeps nothing");

    let (mut activities, mut turns) = (Vec::new(), Vec::new());
    while activities.len() < 30 || turns.len() < 2 {
        let item = worker.next().await.expect("a work item");
        match item.request.expect("a request") {
            durabletask_proto::work_item::Request::ActivityRequest(request) => {
                let shown = request.propagated_history.as_ref().expect("a history");
                assert_eq!(shown.chunks[0].raw_events.len(), 2 + usize::try_from(request.task_id).expect("an id"));
                activities.push(crate::support::Activity { request, token: item.completion_token });
            }
            durabletask_proto::work_item::Request::OrchestratorRequest(request) => {
                turns.push(crate::support::Turn { request, token: item.completion_token });
            }
            durabletask_proto::work_item::Request::HealthPing(_) => {}
        }
    }
    for activity in activities.iter().take(29) {
        worker.finish(activity, "1").await;
    }
    assert_eq!(kept(&db), (1, 2));
    let child_turn = turns.iter().find(|turn| turn.id() == "child").expect("the child's");
    worker.answer(child_turn, vec![complete(1, "1")]).await;
    finished(&mut client, "child").await;
    assert_eq!(kept(&db), (1, 1), "who has ended looks at nothing any more");
    let purge = PurgeInstancesRequest {
        request: Some(purge_instances_request::Request::InstanceId("parent".to_owned())),
        force: Some(true),
        ..PurgeInstancesRequest::default()
    };
    client.purge_instances(purge).await.expect("it goes by force");
    assert_eq!(kept(&db), (0, 0));
    sidecar.stop().await;
}

#[tokio::test]
async fn what_is_shown_outlives_the_sidecar_s_sudden_end_and_whoever_shows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = folder.path().join("hub.db");
    let arguments = ["--port", "0", "--db", db.to_str().expect("a path in UTF-8")];
    let mut program = Program::start(&arguments);
    let mut client = connect(program.address()).await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "a", "order").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![showing(child(1, "b", "ship"), LINEAGE), showing(schedule(2, "x"), LINEAGE)]).await;
    program.kill();

    let mut program = Program::start(&arguments);
    let mut client = connect(program.address()).await;
    let mut worker = Worker::connect(&client).await;
    let turn = worker.turn().await;
    let parents = "a order OrchestratorStarted ExecutionStarted SubOrchestrationInstanceCreated";
    assert_eq!(told(turn.request.propagated_history.as_ref()), [parents]);
    let activity = worker.activity().await;
    assert_eq!(told(activity.request.propagated_history.as_ref()), [format!("{parents} TaskScheduled")]);
    let purge = PurgeInstancesRequest {
        request: Some(purge_instances_request::Request::InstanceId("a".to_owned())),
        force: Some(true),
        ..PurgeInstancesRequest::default()
    };
    client.purge_instances(purge).await.expect("it goes by force");
    program.kill();

    let program = Program::start(&arguments);
    let mut client = connect(program.address()).await;
    let mut worker = Worker::connect(&client).await;
    let turn = worker.turn().await;
    assert_eq!((turn.id(), told(turn.request.propagated_history.as_ref())), ("b", vec![parents.to_owned()]));
    worker.answer(&turn, vec![complete(1, "1")]).await;
    let state = soon("the child's end", finished(&mut client, "b")).await;
    assert_eq!(state.orchestration_status(), OrchestrationStatus::Completed);
    assert_eq!(kept(&db), (0, 0));
}
