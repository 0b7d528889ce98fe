//! Metrics as Prometheus reads them.

use std::net::SocketAddr;

use durabletask_sidecar::{Access, Options, Sidecar, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::actions::{complete, schedule};
use crate::support::{Worker, create, finished, soon, start_with};

async fn get(address: SocketAddr, path: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer)).await.expect("text");
    answer
}

fn with_metrics() -> Options {
    Options { metrics_port: Some(0), ..Options::default() }
}

#[tokio::test]
async fn they_say_what_has_happened_and_what_is_under_way() {
    let (sidecar, mut client) = start_with(with_metrics()).await;
    let address = sidecar.metrics_address().expect("they are served");
    let mut worker = Worker::connect(&client).await;
    for id in ["done", "waiting", "open"] {
        create(&mut client, id, "greet").await.expect("the id is free");
        let turn = worker.turn().await;
        match id {
            "done" => worker.answer(&turn, vec![complete(1, "1")]).await,
            "open" => worker.answer(&turn, vec![schedule(1, "work")]).await,
            _ => {}
        }
    }
    finished(&mut client, "done").await;
    worker.activity().await;
    let answer = get(address, "/metrics", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{answer}");
    let (_, page) = answer.split_once("\r\n\r\n").expect("a page");
    for line in [
        "instances{status=\"COMPLETED\"} 1",
        "instances{status=\"RUNNING\"} 1",
        "instances{status=\"PENDING\"} 1",
        "instances_started_total 3",
        "instances_ended_total{status=\"COMPLETED\"} 1",
        "leased{kind=\"turn\"} 1",
        "leased{kind=\"activity\"} 1",
        "queued{kind=\"turn\"} 0",
        "answered_total{kind=\"turn\"} 2",
        "turn_seconds_count 2",
        "workers 1",
        "connections 1",
        "writes_refused_total 0",
    ] {
        let line = format!("durabletask_sidecar_{line}");
        assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
    }
    for name in ["write_seconds_count", "commit_seconds_count", "stored_bytes{part=\"database\"}"] {
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("durabletask_sidecar_{name} ")));
        let value: f64 = line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in\n{page}"));
        assert!(value > 0.0, "{name} is {value}");
    }
    // Every sample belongs to a family that is described before it.
    let mut described = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            described.push(rest.split(' ').next().expect("a name"));
        } else if !line.starts_with('#') {
            let last = described.last().expect("a description before the first sample");
            assert!(line.starts_with(last), "{line} is none of {last}");
        }
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn they_need_the_token_and_are_nowhere_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "secret").expect("a file");
    let access = Access { api_token_file: Some(file), ..Access::default() };
    let sidecar = Sidecar::start(Options { access, ..with_metrics() }).await.expect("a sidecar");
    let address = sidecar.metrics_address().expect("they are served");
    for (header, code) in [
        ("", "401"),
        ("Authorization: Bearer secre\r\n", "401"),
        ("Authorization: Bearer secret\r\n", "200"),
        ("dapr-api-token: secret\r\n", "200"),
    ] {
        let answer = get(address, "/metrics", header).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{header:?} is answered with {answer}");
    }
    let answer = get(address, "/", "dapr-api-token: secret\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    sidecar.stop().await;
}

#[tokio::test]
async fn they_are_not_shown_to_other_machines_unless_something_protects_them() {
    let exposed = Options { metrics_host: "0.0.0.0".to_owned(), ..with_metrics() };
    let refused = Sidecar::start(exposed.clone()).await;
    assert!(matches!(refused, Err(StartError::Access(_))), "{refused:?}");
    let access = Access { insecure: true, ..Access::default() };
    Sidecar::start(Options { access, ..exposed }).await.expect("it was meant").stop().await;
}
