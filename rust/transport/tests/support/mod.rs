//! A gRPC server of the tests' own, on HTTP/2 itself, that does what a test tells it.

#![allow(dead_code, unreachable_pub, reason = "each test program uses some of it")]

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::server::{Connection, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpStream;

/// A call as it comes in; `connection` counts from 0.
pub struct Call {
    pub connection: usize,
    pub request: Request<RecvStream>,
    pub answer: SendResponse<Bytes>,
}

impl Call {
    pub fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// The request's message.
    pub async fn message(&mut self) -> Vec<u8> {
        let (mut found, body) = (Vec::new(), self.request.body_mut());
        while let Some(piece) = body.data().await {
            let piece = piece.expect("the request arrives");
            body.flow_control().release_capacity(piece.len()).expect("was held");
            found.extend_from_slice(&piece);
        }
        found.split_off(5)
    }

    pub fn begin(&mut self) -> SendStream<Bytes> {
        let response = Response::builder().header("content-type", "application/grpc").body(()).expect("is valid");
        self.answer.send_response(response, false).expect("the stream is open")
    }

    pub fn succeed(&mut self, message: &[u8]) {
        let mut body = self.begin();
        body.send_data(framed(message), false).expect("the stream is open");
        body.send_trailers(status("0", "")).expect("the stream is open");
    }

    pub fn fail(&mut self, code: &'static str, message: &str) {
        let mut response = Response::builder().header("content-type", "application/grpc").body(()).expect("is valid");
        response.headers_mut().extend(status(code, message));
        self.answer.send_response(response, true).expect("the stream is open");
    }
}

pub fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("is small"));
    framed.put_slice(message);
    framed.freeze()
}

pub fn status(code: &'static str, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailers.insert("grpc-message", HeaderValue::from_str(message).expect("is ASCII"));
    trailers
}

/// Serves until the test's process ends; each call is handled by itself.
pub fn serve<F: Future<Output = ()> + Send + 'static>(
    handle: impl Fn(Call) -> F + Send + Sync + 'static,
) -> SocketAddr {
    serve_connections(move |_, connection, number, handle| drive(connection, number, handle), handle)
}

/// The same, where the test also decides what becomes of each connection.
pub fn serve_connections<H: Send + Sync + 'static, D: Future<Output = ()> + Send + 'static>(
    drive: impl Fn(SocketAddr, Connection<TcpStream, Bytes>, usize, Arc<H>) -> D + Send + Sync + 'static,
    handle: H,
) -> SocketAddr {
    let (told, address) = channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("starts");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            told.send(listener.local_addr().expect("is bound")).expect("somebody waits");
            let handle = Arc::new(handle);
            for number in 0.. {
                let (socket, peer) = listener.accept().await.expect("accepts");
                socket.set_nodelay(true).expect("can be set");
                let connection = h2::server::Builder::new().initial_window_size(1 << 20).handshake(socket).await;
                if let Ok(connection) = connection {
                    tokio::spawn(drive(peer, connection, number, handle.clone()));
                }
            }
        });
    });
    address.recv_timeout(Duration::from_secs(10)).expect("the server starts")
}

pub async fn drive<F: Future<Output = ()> + Send + 'static>(
    mut connection: Connection<TcpStream, Bytes>,
    number: usize,
    handle: Arc<impl Fn(Call) -> F>,
) {
    while let Some(Ok((request, answer))) = connection.accept().await {
        tokio::spawn(handle(Call { connection: number, request, answer }));
    }
}

/// A listener that accepts and does what it is told with what it accepted.
pub fn listen(serve: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("is bound");
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            serve(socket.expect("accepts"));
        }
    });
    address
}
