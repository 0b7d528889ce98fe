//! Many connections, and large messages on them: nobody takes from the others what all need.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use durabletask_proto::GetInstanceRequest;

use crate::command::Program;
use crate::support::actions::complete;
use crate::support::{Worker, connect, create, finished, soon, start};

#[cfg(unix)]
#[tokio::test]
async fn idle_connections_make_room_for_new_ones_and_workers_stay() {
    let program = Program::start_with_descriptors(128, &["--port", "0"]);
    let mut client = connect(program.address()).await;
    let mut worker = Worker::connect(&client).await;
    let mut idle: Vec<TcpStream> = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(program.address()).expect("the system takes it"));
    }
    // The newest client of all is served, and the worker is still there.
    let mut newcomer = connect(program.address()).await;
    create(&mut newcomer, "one", "greet").await.expect("it is answered");
    let turn = worker.turn().await;
    worker.answer(&turn, vec![complete(1, "1")]).await;
    finished(&mut newcomer, "one").await;
    create(&mut client, "two", "greet").await.expect("the worker's connection is the client's");
    // Those that were idle for the longest time are closed.
    let first = &mut idle[0];
    first.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    // What it is told before is the server's half of the handshake.
    let end = first.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
    assert!(end != Err(ErrorKind::WouldBlock), "it was not closed in time");
}

#[tokio::test]
async fn a_large_result_is_the_same_for_all_who_wait_for_it_and_ask_for_it() {
    let (sidecar, mut client) = start().await;
    let mut worker = Worker::connect(&client).await;
    create(&mut client, "one", "greet").await.expect("the id is free");
    let asked = GetInstanceRequest { instance_id: "one".to_owned(), get_inputs_and_outputs: true, router: None };
    let mut waits = Vec::new();
    for _ in 0..10 {
        let (mut client, asked) = (client.clone(), asked.clone());
        waits.push(tokio::spawn(async move { client.wait_for_instance_completion(asked).await }));
    }
    let turn = worker.turn().await;
    let result = format!("\"{}\"", "x".repeat(3_000_000));
    worker.answer(&turn, vec![complete(1, &result)]).await;
    let state = finished(&mut client, "one").await;
    assert_eq!(state.output.as_deref(), Some(result.as_str()));
    for wait in waits {
        let answer = soon("an answer", wait).await.expect("no panic").expect("an answer");
        assert!(answer.into_inner().orchestration_state.as_ref() == Some(&state), "all are told the same");
    }
    sidecar.stop().await;
}
