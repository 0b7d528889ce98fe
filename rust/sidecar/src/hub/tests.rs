//! The hub when its database fails: what was refused is undone, what was acknowledged is there, and work goes on.

use std::sync::mpsc;
use std::time::Duration;

use durabletask_proto::{ExecutionStartedEvent, OrchestrationInstance};

use super::{Handle, Hub, HubError, HubOptions, NewInstance, Offer};
use crate::store::Store;

fn start() -> Handle {
    let store = Store::open(None).expect("a database in memory");
    let options = HubOptions { app_id: "app".to_owned(), cache_bytes: 1 << 20 };
    let hub = Hub::new(store, options).expect("a new database can be read");
    let (sender, jobs) = mpsc::channel();
    std::thread::spawn(move || hub.run(&jobs));
    Handle::new(sender)
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
    let offer = Offer { stateful_history: false, max_turns: 0, max_activities: 0 };
    let small = instance("small", String::new());
    hub.call(move |hub| hub.start_instance(small)).await.expect("there is room");

    hub.call(|hub| Ok(hub.store.limit_pages(1)?)).await.expect("a limit");
    let large = instance("large", "x".repeat(1 << 20));
    let refused = hub.call(move |hub| hub.start_instance(large)).await;
    assert!(matches!(refused, Err(HubError::Storage(_))), "expected a refusal, found {refused:?}");
    let state = hub.call(|hub| hub.state("large", false)).await.expect("reading needs no room");
    assert_eq!(state, None, "what was refused is undone");

    hub.call(|hub| Ok(hub.store.limit_pages(0)?)).await.expect("no limit");
    let mut worker = hub.call(move |hub| Ok(hub.connect(offer))).await.expect("a stream");
    let item = tokio::time::timeout(Duration::from_secs(20), worker.items.recv()).await;
    assert!(item.is_ok_and(|item| item.is_some()), "what was acknowledged is handed out");
    let large = instance("large", "x".repeat(1 << 20));
    hub.call(move |hub| hub.start_instance(large)).await.expect("there is room again");
}
