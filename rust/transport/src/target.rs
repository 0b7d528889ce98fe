//! Where a sidecar is, and getting there: names, sockets, TLS.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::status::Status;

/// Certificates or a name that TLS can not do anything with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTls(String);

/// What TLS needs to know.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// Trusts the authorities whose certificates `roots` has, in PEM; the sidecar has to show one for `name`.
    pub fn new(roots: &[u8], name: &str) -> Result<Self, InvalidTls> {
        let invalid = |problem: &dyn std::fmt::Display| InvalidTls(problem.to_string());
        let mut store = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(roots).collect::<Result<Vec<_>, _>>();
        let certificates =
            certificates.map_err(|error| invalid(&format!("the root certificates are no PEM: {error}")))?;
        // Some of those that come with systems are of kinds that nobody supports any more.
        if store.add_parsable_certificates(certificates).0 == 0 {
            return Err(invalid(&"there are no root certificates that could be used"));
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid(&error))?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| invalid(&format!("{name:?} is no name of a server: {error}")))?;
        Ok(Self { config: Arc::new(config), name })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A sidecar's address, and how to talk to it.
#[derive(Debug, Clone)]
pub struct Target {
    /// A name or a number, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// None: in the clear.
    pub tls: Option<Tls>,
}

impl Target {
    /// What HTTP calls it.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Connects, and says how the other side begins when it does.
    pub(crate) async fn connect(&self) -> Result<(Wire, Beginning), Status> {
        let stream = self.reach().await?;
        let failed = |error: io::Error| Status::unavailable(format!("no TLS with {}: {error}", self.authority()));
        let Some(tls) = &self.tls else {
            let beginning = Beginning::default();
            return Ok((Wire::Plain(Socket { stream, beginning: Some(beginning.clone()) }), beginning));
        };
        let socket = Socket { stream, beginning: None };
        match TlsConnector::from(tls.config.clone()).connect(tls.name.clone(), socket).await {
            Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Ok((Wire::Tls(Box::new(stream)), Beginning::default()))
            }
            Ok(_) => Err(Status::unavailable(format!("{} does not offer HTTP/2: no gRPC server", self.authority()))),
            Err(error) if error.to_string().contains("InvalidContentType") => {
                Err(Status::unavailable(format!("{} does not speak TLS", self.authority())))
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn reach(&self) -> Result<TcpStream, Status> {
        let mut last = None;
        for address in self.addresses().await? {
            match TcpStream::connect(address).await {
                Ok(socket) => {
                    // Without it, small messages would wait for others to go with them.
                    if let Err(error) = socket.set_nodelay(true) {
                        last = Some((address, error));
                        continue;
                    }
                    return Ok(socket);
                }
                Err(error) => last = Some((address, error)),
            }
        }
        Err(Status::unavailable(match last {
            Some((address, error)) => format!("failed to connect to {address}: {error}"),
            None => format!("{} has no address", self.host),
        }))
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, Status> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        match lookup_host((self.host.as_str(), self.port)).await {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => Err(Status::unavailable(format!("{} can not be resolved: {error}", self.host))),
        }
    }
}

/// How many bytes tell what it is that does not speak HTTP/2.
const TELLING: usize = 5;

/// The first bytes that came from the other side, for whoever has to say what went wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beginning(Arc<Mutex<Vec<u8>>>);

impl Beginning {
    /// What the other side speaks instead of HTTP/2, if that can be told.
    pub(crate) fn other_protocol(&self, authority: &str) -> Option<Status> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if first.starts_with(b"HTTP/") {
            Some(Status::unavailable(format!("{authority} answers with HTTP/1: no gRPC server")))
        } else if first.starts_with(&[0x15, 0x03]) {
            let advice = "use an address that begins with https://, or secure_channel=True";
            Some(Status::unavailable(format!("{authority} speaks TLS: {advice}")))
        } else {
            None
        }
    }

    /// Takes bytes in; true once it has enough.
    fn note(&self, news: &[u8]) -> bool {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = TELLING.saturating_sub(first.len()).min(news.len());
        first.extend_from_slice(&news[..missing]);
        first.len() >= TELLING
    }
}

/// A socket that remembers how the other side began, and that ends for both sides when it is dropped.
///
/// Closing alone would not end it if a forked process has it, too.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    beginning: Option<Beginning>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The other side may have ended it already.
        let _ = SockRef::from(&self.stream).shutdown(Shutdown::Both);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(beginning) = &self.beginning
            && beginning.note(&buffer.filled()[before..])
        {
            self.beginning = None;
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What HTTP/2 runs on.
pub(crate) enum Wire {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_version_6_have_brackets() {
        let target = |host: &str| Target { host: host.to_owned(), port: 1, tls: None }.authority();
        assert_eq!(target("localhost"), "localhost:1");
        assert_eq!(target("::1"), "[::1]:1");
    }

    #[test]
    fn the_first_bytes_tell_what_it_is_that_does_not_speak_http2() {
        let told = |pieces: &[&[u8]]| {
            let beginning = Beginning::default();
            for piece in pieces {
                beginning.note(piece);
            }
            beginning.other_protocol("here:1").map(|status| status.message)
        };
        assert_eq!(told(&[b"HT", b"TP/1.1 400"]).as_deref(), Some("here:1 answers with HTTP/1: no gRPC server"));
        assert!(told(&[b"\x15\x03\x01\x00\x02"]).is_some_and(|told| told.starts_with("here:1 speaks TLS")));
        assert_eq!(told(&[b"\0\0\x12\x04\0"]), None);
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn certificates_that_are_none_are_refused() {
        for roots in [&b""[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff"] {
            assert!(Tls::new(roots, "localhost").is_err());
        }
    }
}
