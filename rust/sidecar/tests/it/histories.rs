//! What workers and clients are told of the past: all of it, or what a worker does not have yet.

use durabletask_proto::{GetInstanceHistoryRequest, HistoryEvent};

use crate::support::actions::{complete, continue_as_new, schedule};
use crate::support::{Client, Worker, create, finished, kinds, raise, start};

async fn history(client: &mut Client, id: &str) -> Vec<HistoryEvent> {
    let request = GetInstanceHistoryRequest { instance_id: id.to_owned() };
    client.get_instance_history(request).await.expect("it exists").into_inner().events
}

#[tokio::test]
async fn a_finished_instance_s_history_can_be_read() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![schedule(1, "hello")]).await;
    let activity = worker.activity().await;
    worker.finish(&activity, "1").await;
    let turn = worker.turn().await;
    let committed = history(&mut client, "one").await;
    assert_eq!(committed, turn.request.past_events, "what the worker is sent is what is committed");
    worker.answer(&turn, vec![complete(2, "1")]).await;
    finished(&mut client, "one").await;

    let all = history(&mut client, "one").await;
    assert_eq!(all[..committed.len()], committed[..]);
    assert_eq!(all[committed.len()..committed.len() + 2], turn.request.new_events[..]);
    assert_eq!(kinds(&all).last().map(String::as_str), Some("ExecutionCompleted"));
    sidecar.stop().await;
}

#[tokio::test]
async fn a_worker_with_a_cache_is_sent_what_it_does_not_have() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::with_cache(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let mut known: Vec<HistoryEvent> = Vec::new();
    for step in 1..=5 {
        let turn = worker.turn().await;
        let request = &turn.request;
        match &request.cached_history {
            // Before a first turn that had a past there is nothing to leave out.
            None => assert!(step <= 2, "turn {step} came with the whole history"),
            Some(cached) => known.truncate(usize::try_from(cached.event_count).expect("a count")),
        }
        if request.cached_history.is_none() {
            known.clear();
        }
        known.extend(request.past_events.iter().cloned());
        assert_eq!(known, history(&mut client, "one").await, "cache and delta make the committed history");
        if step > 2 {
            // The new events of the turn before, and what it asked for.
            assert_eq!(request.past_events.len(), 3, "turn {step} was sent more than is new");
        }
        worker.answer(&turn, vec![schedule(step, "hello")]).await;
        let activity = worker.activity().await;
        worker.finish(&activity, "1").await;
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn a_new_stream_begins_with_the_whole_history() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::with_cache(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    for name in ["a", "b"] {
        let turn = worker.turn().await;
        worker.answer(&turn, vec![]).await;
        raise(&mut client, "one", name).await.expect("it runs");
    }
    let turn = worker.turn().await;
    assert!(turn.request.cached_history.is_some());
    drop(worker);

    let mut worker = Worker::with_cache(&client).await;
    let turn = worker.turn().await;
    assert_eq!(turn.request.cached_history, None);
    assert_eq!(turn.request.past_events.len(), 4);
    worker.answer(&turn, vec![continue_as_new(1, "1", vec![])]).await;
    let turn = worker.turn().await;
    assert_eq!(turn.request.cached_history, None, "nothing is known of a new execution");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_worker_without_a_cache_is_always_sent_everything() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    for count in [0, 2, 4] {
        let turn = worker.turn().await;
        assert_eq!(turn.request.cached_history, None);
        assert_eq!(turn.request.past_events.len(), count);
        worker.answer(&turn, vec![]).await;
        raise(&mut client, "one", "go").await.expect("it runs");
    }
    sidecar.stop().await;
}
