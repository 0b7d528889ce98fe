//! Durable timers and scheduled starts.

use std::time::{Duration, SystemTime};

use durabletask_proto::CreateInstanceRequest;
use durabletask_proto::history_event::EventType;

use crate::support::actions::{at, complete, continue_as_new, timer};
use crate::support::{Worker, create, finished, kinds, start, status};

#[tokio::test]
async fn timers_fire_in_the_order_of_their_time_and_not_before() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    let begun = SystemTime::now();
    let (late, early) = (Duration::from_millis(300), Duration::from_millis(100));
    worker.answer(&turn, vec![timer(1, late), timer(2, early), timer(3, Duration::from_secs(86_400 * 365))]).await;

    let mut fired = Vec::new();
    while fired.len() < 2 {
        let turn = worker.turn().await;
        for event in &turn.request.new_events {
            if let Some(EventType::TimerFired(event)) = &event.event_type {
                fired.push(event.timer_id);
            }
        }
        worker.answer(&turn, vec![]).await;
    }
    assert_eq!(fired, [2, 1]);
    assert!(begun.elapsed().expect("time goes on") >= late);
    sidecar.stop().await;
}

#[tokio::test]
async fn many_timers_at_once_are_no_trouble() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    let count = 3_000;
    worker.answer(&turn, (1..=count).map(|id| timer(id, Duration::ZERO)).collect()).await;
    let mut fired = 0;
    while fired < count {
        let turn = worker.turn().await;
        fired += i32::try_from(turn.request.new_events.len()).expect("few") - 1;
        worker.answer(&turn, vec![]).await;
    }
    assert_eq!(fired, count);
    sidecar.stop().await;
}

#[tokio::test]
async fn a_scheduled_start_waits_for_its_time() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    let when = Duration::from_millis(400);
    let begun = SystemTime::now();
    let request = CreateInstanceRequest {
        instance_id: "later".to_owned(),
        name: "greet".to_owned(),
        scheduled_start_timestamp: Some(at(when)),
        ..CreateInstanceRequest::default()
    };
    client.start_instance(request).await.expect("the id is free");
    // An event does not wake it up early.
    crate::support::raise(&mut client, "later", "early").await.expect("it exists");
    create(&mut client, "now", "greet").await.expect("the id is free");
    assert_eq!(worker.turn().await.id(), "now");

    let turn = worker.turn().await;
    assert!(begun.elapsed().expect("time goes on") >= when);
    assert_eq!(turn.id(), "later");
    assert_eq!(kinds(&turn.request.new_events), ["OrchestratorStarted", "ExecutionStarted", "EventRaised"]);
    worker.answer(&turn, vec![complete(1, "1")]).await;
    finished(&mut client, "later").await;
    sidecar.stop().await;
}

#[tokio::test]
async fn timers_of_the_execution_before_do_not_fire_in_the_next() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "loop").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![timer(1, Duration::from_millis(100))]).await;
    crate::support::raise(&mut client, "one", "go").await.expect("it runs");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![continue_as_new(2, "2", vec![])]).await;
    let turn = worker.turn().await;
    worker.answer(&turn, vec![timer(5, Duration::from_millis(300))]).await;
    let turn = worker.turn().await;
    let Some(EventType::TimerFired(event)) = &turn.request.new_events[1].event_type else {
        panic!("expected timerFired, found {:?}", kinds(&turn.request.new_events));
    };
    assert_eq!(event.timer_id, 5);
    assert_eq!(status(&mut client, "one").await, durabletask_proto::OrchestrationStatus::Running);
    sidecar.stop().await;
}
