//! The transport on servers that do what real ones do, well and badly.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use durabletask_transport::{Bytes, Code, Connection, Metadata, Outcome, Settings, Status, Target, Tls, Transport};
use h2::Reason;

use support::{Call, drive, framed, listen, serve, serve_connections, status};

const SOON: Duration = Duration::from_secs(20);

struct Client {
    connection: Connection<&'static str>,
    // Behind it: fields are dropped in order.
    transport: Transport,
}

fn client(address: SocketAddr) -> Client {
    client_with(Target { host: address.ip().to_string(), port: address.port(), tls: None }, Metadata::default())
}

fn client_with(target: Target, metadata: Metadata) -> Client {
    let transport = Transport::start().expect("threads can be started");
    let connection = transport.connection(Settings { target, metadata }).expect("is an address");
    Client { connection, transport }
}

impl Client {
    fn call(&self) -> Result<Bytes, Status> {
        self.connection.call("/S/Call", b"question", SOON)
    }

    fn stream(&self) {
        self.connection.stream("/S/Stream", b"", Metadata::default()).expect("is open");
    }

    /// The messages up to a number of them or to the end of the stream, and the end if it has come.
    fn messages(&self, count: usize) -> (Vec<Bytes>, Option<Result<(), Status>>) {
        let mut found = Vec::new();
        loop {
            let taken = self.connection.take(false);
            found.extend(taken.messages);
            if found.len() >= count || taken.ended.is_some() {
                return (found, taken.ended);
            }
        }
    }

    fn outcomes(&self, count: usize) -> Vec<(&'static str, Outcome)> {
        let (mut found, deadline) = (Vec::new(), Instant::now() + SOON);
        while found.len() < count {
            assert!(Instant::now() < deadline, "only {found:?} became known");
            found.extend(self.connection.take_outcomes(Duration::from_millis(100)));
        }
        found.sort_by_key(|(report, _)| *report);
        found
    }
}

#[test]
fn a_call_is_answered_and_its_metadata_and_time_go_with_it() {
    let address = serve(|mut call| async move {
        let question = String::from_utf8(call.message().await).expect("is text");
        let headers = call.request.headers().clone();
        let told = ["token", "b-bin", "te", "content-type", "grpc-timeout"]
            .map(|name| headers[name].to_str().expect("is text").to_owned());
        call.succeed(format!("{question} {}", told.join(" ")).as_bytes());
    });
    let metadata = Metadata::of([("token", &b"secret"[..]), ("b-bin", &[1, 2])]).expect("is valid");
    let client = client_with(Target { host: "localhost".into(), port: address.port(), tls: None }, metadata);
    let answer = client.call().expect("is answered");
    assert_eq!(answer, "question secret AQI trailers application/grpc 20000m");
}

#[test]
fn a_failed_call_has_the_code_and_the_words_of_the_other_side() {
    let client = client(serve(|mut call| async move { call.fail("16", "no token") }));
    assert_eq!(client.call(), Err(Status::new(Code::Unauthenticated, "no token")));
}

#[test]
fn a_call_that_is_not_answered_ends_in_time() {
    let client = client(serve(|call| async move {
        let _kept = call;
        std::future::pending::<()>().await;
    }));
    let ended = client.connection.call("/S/Call", b"", Duration::from_millis(50));
    assert_eq!(ended.map_err(|status| status.code), Err(Code::DeadlineExceeded));
}

#[test]
fn messages_of_a_stream_arrive_in_order_and_of_any_size() {
    let sizes = [0, 1, 70_000, 3, 9 << 20, 5];
    let address = serve(move |mut call| async move {
        let mut body = call.begin();
        for size in sizes {
            body.send_data(framed(&vec![7; size]), false).expect("the stream is open");
        }
        body.send_trailers(status("0", "")).expect("the stream is open");
    });
    let client = client(address);
    client.stream();
    let (found, ended) = client.messages(usize::MAX);
    assert_eq!(found.iter().map(Bytes::len).collect::<Vec<_>>(), sizes);
    assert_eq!(ended, Some(Ok(())));
}

#[test]
fn a_stream_that_breaks_ends_with_its_status_behind_its_messages() {
    let address = serve(|mut call| async move {
        let mut body = call.begin();
        body.send_data(framed(b"first"), false).expect("the stream is open");
        body.send_trailers(status("13", "broken")).expect("the stream is open");
    });
    let client = client(address);
    client.stream();
    let (found, ended) = client.messages(usize::MAX);
    assert_eq!(found, ["first"]);
    assert_eq!(ended, Some(Err(Status::new(Code::Internal, "broken"))));
}

#[test]
fn resets_are_told_as_grpc_tells_them_and_may_be_followed_by_another_attempt() {
    for (reason, code) in [
        (Reason::NO_ERROR, Code::Internal),
        (Reason::PROTOCOL_ERROR, Code::Internal),
        (Reason::INTERNAL_ERROR, Code::Internal),
        (Reason::FLOW_CONTROL_ERROR, Code::Internal),
        (Reason::REFUSED_STREAM, Code::Unavailable),
        (Reason::CANCEL, Code::Cancelled),
        (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
        (Reason::HTTP_1_1_REQUIRED, Code::Internal),
    ] {
        let client = client(serve(move |mut call| async move { call.answer.send_reset(reason) }));
        let status = client.call().expect_err("it was reset");
        assert_eq!(status.code, code, "{reason:?}: {status}");
        assert!(status.is_transient(), "{reason:?}: {status}");
    }
}

#[test]
fn reports_are_on_their_way_together_and_each_is_settled_by_its_own_answer() {
    let waiting = Arc::new(tokio::sync::Barrier::new(3));
    let address = serve(move |mut call| {
        let waiting = waiting.clone();
        async move {
            let message = call.message().await;
            waiting.wait().await; // none is answered before all have come
            if message == b"unwanted" { call.fail("5", "unknown") } else { call.succeed(b"") }
        }
    });
    let client = client(address);
    for report in ["one", "two", "unwanted"] {
        client.connection.report("/S/Complete", report.as_bytes(), report).expect("is open");
    }
    let refused = Outcome::Refused(Status::new(Code::NotFound, "unknown"));
    let expected = [("one", Outcome::Delivered), ("two", Outcome::Delivered), ("unwanted", refused)];
    assert_eq!(client.outcomes(3), expected);
}

#[test]
fn a_report_is_sent_again_after_what_may_pass() {
    let calls = Arc::new(AtomicUsize::new(0));
    let address = serve(move |mut call| {
        let calls = calls.clone();
        async move {
            match calls.fetch_add(1, Ordering::SeqCst) {
                0 => call.fail("14", "not now"),
                1 => call.answer.send_reset(Reason::INTERNAL_ERROR),
                2 => call.fail("10", "aborted"),
                _ => call.succeed(b""),
            }
        }
    });
    let client = client(address);
    client.connection.report("/S/Complete", b"", "report").expect("is open");
    assert_eq!(client.outcomes(1), [("report", Outcome::Delivered)]);
}

#[test]
fn reports_that_are_on_their_way_when_the_connection_is_closed_are_gone() {
    let client = client(serve(|call| async move {
        let _kept = call;
        std::future::pending::<()>().await;
    }));
    client.connection.report("/S/Complete", b"", "report").expect("is open");
    client.connection.close();
    assert_eq!(client.outcomes(1), [("report", Outcome::Gone)]);
    let late = client.connection.report("/S/Complete", b"", "late");
    assert_eq!(late, Err(("late", Status::new(Code::Cancelled, "the connection was closed"))));
    assert_eq!(client.call().map_err(|status| status.code), Err(Code::Cancelled));
    assert_eq!(client.messages(1).1.and_then(Result::err).map(|status| status.code), Some(Code::Cancelled));
}

#[test]
fn whoever_does_not_read_holds_the_sender_back_and_not_other_calls() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let address = serve(move |mut call| {
        let counted = counted.clone();
        async move {
            if call.path() != "/S/Stream" {
                return call.succeed(b"");
            }
            let message = framed(&vec![0; 64 * 1024]);
            let mut body = call.begin();
            for _ in 0..1_000 {
                body.reserve_capacity(message.len());
                while body.capacity() < message.len() {
                    std::future::poll_fn(|context| body.poll_capacity(context)).await;
                }
                body.send_data(message.clone(), false).expect("the stream is open");
                counted.fetch_add(1, Ordering::SeqCst);
            }
            body.send_trailers(status("0", "")).expect("the stream is open");
        }
    });
    let client = client(address);
    client.stream();
    let deadline = Instant::now() + SOON;
    let mut before = usize::MAX;
    // Calls pass as long as the stream does not; when no more comes, all that may be on its way is.
    while sent.load(Ordering::SeqCst) != before || before == 0 {
        before = sent.load(Ordering::SeqCst);
        assert!(Instant::now() < deadline, "the sender goes on for ever");
        for _ in 0..20 {
            client.call().expect("is answered");
        }
    }
    assert!(before * 64 * 1024 < 12 << 20, "{before} messages were sent and not read");
    let (found, ended) = client.messages(usize::MAX);
    assert_eq!((found.len(), ended), (1_000, Some(Ok(()))));
}

#[test]
fn calls_go_elsewhere_after_a_goaway_while_the_stream_lives_on() {
    let begun = Arc::new(tokio::sync::Notify::new());
    let drive_begun = begun.clone();
    let handle = move |mut call: Call| {
        let begun = begun.clone();
        async move {
            if call.path() != "/S/Stream" {
                return call.succeed(call.connection.to_string().as_bytes());
            }
            let mut body = call.begin();
            body.send_data(framed(b"before"), false).expect("the stream is open");
            begun.notify_one();
            tokio::time::sleep(Duration::from_millis(300)).await;
            body.send_data(framed(b"after"), false).expect("the stream is open");
            body.send_trailers(status("0", "")).expect("the stream is open");
        }
    };
    let address = serve_connections(
        move |_, mut connection, number, handle| {
            let begun = drive_begun.clone();
            async move {
                if number > 0 {
                    return drive(connection, number, handle).await;
                }
                loop {
                    tokio::select! {
                        accepted = connection.accept() => match accepted {
                            Some(Ok((request, answer))) => {
                                tokio::spawn(handle(Call { connection: number, request, answer }));
                            }
                            _ => return,
                        },
                        () = begun.notified() => connection.graceful_shutdown(),
                    }
                }
            }
        },
        handle,
    );
    let client = client(address);
    client.stream();
    assert_eq!(client.messages(1).0, ["before"]);
    let deadline = Instant::now() + SOON;
    while client.call().expect("is answered") != "1" {
        assert!(Instant::now() < deadline, "calls stay on the connection that says goodbye");
    }
    assert_eq!(client.messages(usize::MAX), (vec![Bytes::from_static(b"after")], Some(Ok(()))));
}

#[test]
fn what_is_no_grpc_server_is_told_in_one_line() {
    let http1 = listen(|mut socket| {
        let _ = socket.read(&mut [0; 64]);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    });
    let tls = listen(|mut socket| {
        let _ = socket.read(&mut [0; 64]);
        let _ = socket.write_all(&[0x15, 3, 1, 0, 2, 2, 70]);
    });
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("is bound");
    for (address, words) in [
        (http1, "answers with HTTP/1: no gRPC server"),
        (tls, "speaks TLS: use an address that begins with https://"),
        (closed, "Connection refused"),
        (listen(drop), ""),
    ] {
        let status = client(address).call().expect_err("there is no gRPC server");
        assert_eq!(status.code, Code::Unavailable, "{status}");
        assert!(status.message.contains(words) && !status.message.contains('\n'), "{status}");
    }
    let silent = listen(std::mem::forget);
    let status = client(silent).connection.call("/S/Call", b"", Duration::from_millis(50));
    assert_eq!(status.map_err(|status| status.code), Err(Code::DeadlineExceeded));
}

#[test]
fn a_server_without_tls_is_told_as_such() {
    let authority = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("is made");
    let tls = Tls::new(authority.cert.pem().as_bytes(), "localhost").expect("is valid");
    let plain = serve(|mut call| async move { call.succeed(b"") });
    let target = Target { host: "127.0.0.1".into(), port: plain.port(), tls: Some(tls) };
    let status = client_with(target, Metadata::default()).call().expect_err("there is no TLS");
    assert_eq!(status.code, Code::Unavailable);
    assert!(status.message.contains("does not speak TLS"), "{status}");
}

#[test]
fn answers_that_are_not_grpcs_are_failures() {
    let client = client(serve(|mut call| async move {
        let response = http::Response::builder().status(503).body(()).expect("is valid");
        call.answer.send_response(response, true).expect("the stream is open");
    }));
    let status = client.call().expect_err("it is no answer");
    assert_eq!(status.code, Code::Unavailable);
    assert!(status.message.contains("503"), "{status}");
}

#[test]
fn stopping_ends_what_waits_and_takes_no_time() {
    let client = client(listen(std::mem::forget));
    client.stream();
    std::thread::scope(|threads| {
        let calling = threads.spawn(|| client.call());
        let taking = threads.spawn(|| client.connection.take(false).ended);
        std::thread::sleep(Duration::from_millis(20));
        let began = Instant::now();
        client.connection.close();
        client.transport.stop();
        assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
        assert_eq!(calling.join().expect("returns").map_err(|status| status.code), Err(Code::Cancelled));
        assert!(matches!(taking.join().expect("returns"), Some(Err(_))));
    });
}
