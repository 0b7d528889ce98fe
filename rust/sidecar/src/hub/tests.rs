//! The hub when its database fails: what was refused is undone, what was acknowledged is there, and work goes on. And
//! trees of instances that are larger than a stack or a transaction.

use std::future::Future;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use durabletask_proto::{
    ExecutionStartedEvent, ExecutionTerminatedEvent, OrchestrationInstance, OrchestrationStatus, OrchestratorResponse,
};

use super::{Handle, Hub, HubError, HubOptions, Limits, NewInstance, Offer};
use crate::clock::Clock;
use crate::machine::Instance;
use crate::retention::Retention;
use crate::store::{Created, Key, Losses, Store, StoreError};

fn start() -> Handle {
    let store = Store::open(None, Losses::Refuse).expect("a database in memory");
    let hub = Hub::new(store, options()).expect("a new database can be read");
    let (sender, jobs) = mpsc::channel();
    std::thread::spawn(move || hub.run(&jobs));
    Handle::new(sender)
}

fn options() -> HubOptions {
    HubOptions {
        app_id: "app".to_owned(),
        cache_bytes: 1 << 20,
        clock: Clock::wall(),
        limits: Limits::default(),
        retention: Retention::default(),
        seed: None,
    }
}

/// A root that has ended; below it a chain of that many children that have ended, and as many beside each other; the last
/// of the chain, and every one of the others, is to start later.
fn family(path: &Path, count: u32) {
    let store = Store::open(Some(path), Losses::Refuse).expect("a new database");
    store.begin().expect("a transaction");
    let add = |id: &str, parent: Option<Key>, status: OrchestrationStatus| {
        let instance = Instance { id: id.to_owned(), status, ..Instance::default() };
        let not_before = (status == OrchestrationStatus::Pending).then_some(i64::MAX);
        store
            .create_instance(&Created { instance: &instance, parent, handed: None, not_before, now: 0 })
            .expect("a free id")
    };
    let root = add("root", None, OrchestrationStatus::Completed);
    let mut last = root;
    for n in 0..count {
        last = add(&format!("deep-{n}"), Some(last), OrchestrationStatus::Completed);
    }
    add("deepest", Some(last), OrchestrationStatus::Pending);
    for n in 0..count {
        add(&format!("wide-{n}"), Some(root), OrchestrationStatus::Pending);
    }
    store.commit().expect("room on the disk");
}

fn family_size() -> u32 {
    std::env::var("DURABLETASK_TEST_FAMILY").map_or(3_000, |size| size.parse().expect("a number of instances"))
}

#[test]
fn a_termination_reaches_the_end_of_any_tree_also_when_it_is_interrupted() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("family.db");
    let count = family_size();
    family(&path, count);
    let (_sender, jobs) = mpsc::channel();
    let all = ExecutionTerminatedEvent { input: None, recurse: true };

    let mut hub = Hub::new(Store::open(Some(&path), Losses::Refuse).expect("ours"), options()).expect("it can be read");
    hub.store.begin().expect("a transaction");
    hub.terminate("root", &all).expect("it exists");
    hub.store.commit().expect("room on the disk");
    hub.run_batch(None, &jobs);
    assert!(hub.cascading, "nobody is to wait until a whole tree is terminated");
    drop(hub);

    let mut hub = Hub::new(Store::open(Some(&path), Losses::Refuse).expect("ours"), options()).expect("it can be read");
    while hub.cascading {
        hub.run_batch(None, &jobs);
    }
    for id in ["deepest".to_owned(), "wide-0".to_owned(), format!("wide-{}", count - 1)] {
        let state = hub.state(&id, false).expect("readable").expect("it exists");
        assert_eq!(state.orchestration_status(), OrchestrationStatus::Terminated, "{id}");
    }
}

#[test]
fn a_tree_of_any_size_is_purged_from_its_leaves_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("family.db");
    let count = family_size();
    family(&path, count);
    let mut hub = Hub::new(Store::open(Some(&path), Losses::Refuse).expect("ours"), options()).expect("it can be read");

    let mut purge = hub.purge("root", true, false).expect("it exists");
    let refused = loop {
        match hub.purge_step(purge) {
            Ok(Err(rest)) => purge = rest,
            Ok(Ok(count)) => panic!("{count} instances are gone, of which most have not ended"),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, HubError::NotCompleted { .. }), "found {refused:?}");
    assert!(hub.state("deep-0", false).expect("readable").is_some(), "all or nothing");

    let mut purge = hub.purge("root", true, true).expect("it exists");
    hub.store.begin().expect("a transaction");
    let purged = loop {
        match hub.purge_step(purge).expect("all of it can go") {
            Ok(count) => break count,
            Err(rest) => purge = rest,
        }
        assert!(hub.state("root", false).expect("readable").is_some(), "what is left still hangs together");
    };
    hub.store.commit().expect("room on the disk");
    assert_eq!(purged, 2 * count as usize + 2);
    assert_eq!(hub.list(0, None).expect("readable").0, Vec::<String>::new());
}

fn instance(id: &str, input: String) -> NewInstance {
    let start = ExecutionStartedEvent {
        name: "greet".to_owned(),
        input: Some(input),
        orchestration_instance: Some(OrchestrationInstance {
            instance_id: id.to_owned(),
            execution_id: Some("run".to_owned()),
        }),
        ..ExecutionStartedEvent::default()
    };
    NewInstance { start, reuse: None, unique: false }
}

#[tokio::test]
async fn a_full_disk_refuses_what_does_not_fit_and_loses_nothing_else() {
    let hub = start();
    let small = instance("small", String::new());
    hub.call_alone(move |hub| hub.start_instance(small)).await.expect("there is room");

    hub.look(|hub| Ok(hub.store.limit_pages(1)?)).await.expect("a limit");
    let large = instance("large", "x".repeat(1 << 20));
    let refused = hub.call_alone(move |hub| hub.start_instance(large)).await;
    assert!(matches!(refused, Err(HubError::Database(StoreError::Full))), "expected a refusal, found {refused:?}");
    let state = hub.look(|hub| hub.state("large", false)).await.expect("reading needs no room");
    assert_eq!(state, None, "what was refused is undone");

    hub.look(|hub| Ok(hub.store.limit_pages(0)?)).await.expect("no limit");
    let mut worker = hub.look(move |hub| Ok(hub.connect(1, Offer::default()))).await.expect("a stream");
    let item = tokio::time::timeout(Duration::from_secs(20), worker.items.recv()).await;
    assert!(item.is_ok_and(|item| item.is_some()), "what was acknowledged is handed out");
    let large = instance("large", "x".repeat(1 << 20));
    hub.call_alone(move |hub| hub.start_instance(large)).await.expect("there is room again");
}

/// Has the hub do these all at once, as if they had arrived while it was at something else.
async fn together<T>(hub: &Handle, jobs: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T>
where
    T: Send + 'static,
{
    let (go, wait) = mpsc::channel::<()>();
    hub.tell(move |_| {
        let _ = wait.recv();
    });
    let mut tasks = Vec::new();
    for job in jobs {
        tasks.push(tokio::spawn(job));
        tokio::task::yield_now().await;
    }
    go.send(()).expect("the hub waits");
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("no panic"));
    }
    results
}

#[tokio::test]
async fn what_does_not_fit_is_refused_alone_and_not_with_what_arrived_beside_it() {
    let hub = start();
    hub.look(|hub| hub.store.leave_pages(8)).await.expect("a limit");
    let jobs = (0..20).map(|n| {
        let hub = hub.clone();
        let input = "x".repeat(if n == 7 { 60_000 } else { 10 });
        async move { hub.submit(instance(&format!("id-{n}"), input.clone()), input.len(), Hub::start_instance).await }
    });
    let results = together(&hub, jobs.collect()).await;
    for (n, result) in results.into_iter().enumerate() {
        let there = hub.look(move |hub| hub.state(&format!("id-{n}"), false)).await.expect("readable").is_some();
        assert_eq!(there, n != 7, "id-{n} was answered with {result:?}");
        match result {
            Err(HubError::Database(StoreError::Full)) if n == 7 => {}
            Ok(()) if n != 7 => {}
            other => panic!("id-{n} was answered with {other:?}"),
        }
    }
}

#[tokio::test]
async fn instances_can_be_forgotten_when_there_is_no_room_left() {
    let hub = start();
    for n in 0..10 {
        let new = instance(&format!("id-{n}"), "x".repeat(100_000));
        hub.call_alone(move |hub| hub.start_instance(new)).await.expect("there is room");
    }
    hub.look(|hub| hub.store.leave_pages(0)).await.expect("a limit");
    let new = || instance("new", "x".repeat(200_000));
    let refused = hub.submit(new(), 200_000, Hub::start_instance).await;
    assert!(matches!(refused, Err(HubError::Database(StoreError::Full))), "expected a refusal, found {refused:?}");
    for n in 0..10 {
        let mut purge = hub.look(move |hub| hub.purge(&format!("id-{n}"), true, true)).await.expect("it exists");
        while let Err(rest) = hub.call_freeing(move |hub| hub.purge_step(purge)).await.expect("it makes room") {
            purge = rest;
        }
    }
    hub.submit(new(), 200_000, Hub::start_instance).await.expect("there is room again");
}

/// The completion token and the instance of the turn in an encoded work item.
fn turn_in(item: &crate::wire::EncodedMessage) -> (String, String) {
    use durabletask_proto::prost::Message;
    let item = durabletask_proto::WorkItem::decode(item.chunks.concat().as_slice()).expect("a work item");
    let Some(durabletask_proto::work_item::Request::OrchestratorRequest(request)) = item.request else {
        panic!("expected a turn, found {:?}", item.request);
    };
    (item.completion_token, request.instance_id)
}

#[tokio::test]
async fn a_full_disk_takes_no_work_out_of_the_hands_of_workers() {
    let hub = start();
    let mut worker = hub.look(|hub| Ok(hub.connect(1, Offer::default()))).await.expect("a stream");
    let new = instance("one", String::new());
    hub.call_alone(move |hub| hub.start_instance(new)).await.expect("there is room");
    let item = tokio::time::timeout(Duration::from_secs(20), worker.items.recv()).await.expect("in time");
    let (token, instance_id) = turn_in(&item.expect("a turn"));

    hub.look(|hub| hub.store.leave_pages(0)).await.expect("a limit");
    let answer = |status: Option<String>| OrchestratorResponse {
        instance_id: instance_id.clone(),
        completion_token: token.clone(),
        custom_status: status,
        ..OrchestratorResponse::default()
    };
    for n in 0..20 {
        let large = instance(&format!("large-{n}"), "x".repeat(50_000));
        let refused = hub.submit(large, 50_000, Hub::start_instance).await;
        assert!(matches!(refused, Err(HubError::Database(StoreError::Full))), "found {refused:?}");
        let large = answer(Some("x".repeat(50_000)));
        let refused = hub.submit(large, 50_000, Hub::complete_turn).await;
        assert!(matches!(refused, Err(HubError::Database(StoreError::Full))), "found {refused:?}");
    }
    hub.look(|_| Ok(())).await.expect("the hub is at rest");
    assert!(worker.items.try_recv().is_err(), "the turn is still in its hands, and nobody else's");

    hub.look(|hub| Ok(hub.store.limit_pages(0)?)).await.expect("no limit");
    hub.submit(answer(None), 0, Hub::complete_turn).await.expect("the answer that was refused is taken");
}
