//! Who may talk to a sidecar: its address, its token, its certificates.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic::{Request, Status};

use crate::connections::Connection;

/// Where callers put the token; Dapr's own name for it.
pub(crate) const TOKEN_METADATA: &str = "dapr-api-token";
/// How long a caller may take to agree on a connection.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What callers have to have.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Serve others than this machine although nothing protects the sidecar.
    pub insecure: bool,
    /// A file with a token that every call has to carry as `dapr-api-token`.
    pub api_token_file: Option<PathBuf>,
    /// The server's certificates in PEM, its own first; with `tls_key` it turns TLS on.
    pub tls_cert: Option<PathBuf>,
    /// The key to it, in PEM.
    pub tls_key: Option<PathBuf>,
    /// Certificates in PEM, one of which has to have signed a caller's.
    pub tls_client_ca: Option<PathBuf>,
}

/// Why a sidecar does not start as it was told to.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Anybody could do anything with it.
    #[error(
        "{0} can be reached from other machines, and nothing would protect the sidecar: give --api-token-file or \
         --tls-cert and --tls-key, or say --insecure"
    )]
    Exposed(SocketAddr),
    /// A file can not be used.
    #[error("'{}' {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// One option without the other.
    #[error("{0}")]
    Incomplete(&'static str),
}

impl Access {
    /// Refuses an address that everybody can reach, unless that is protected or meant.
    pub(crate) fn check(&self, address: SocketAddr) -> Result<(), AccessError> {
        if address.ip().is_loopback() {
            return Ok(());
        }
        let tls = self.tls_cert.is_some();
        let token = self.api_token_file.is_some();
        match (tls, token || self.tls_client_ca.is_some()) {
            (true, true) => tracing::warn!(%address, "the sidecar can be reached from other machines"),
            (true, false) => tracing::warn!(
                %address,
                "whoever can reach the sidecar can use it: nobody needs a token or a certificate"
            ),
            (false, true) => {
                tracing::warn!(%address, "the token and all payloads cross the network in the clear, since TLS is off");
            }
            (false, false) if self.insecure => {
                tracing::warn!(%address, "whoever can reach the sidecar can use it, read all and change all");
            }
            (false, false) => return Err(AccessError::Exposed(address)),
        }
        Ok(())
    }

    /// The same for an address where TLS is never spoken, and nothing can be changed.
    pub(crate) fn check_plain(&self, address: SocketAddr) -> Result<(), AccessError> {
        Self { tls_cert: None, tls_key: None, tls_client_ca: None, ..self.clone() }.check(address)
    }

    pub(crate) fn token(&self) -> Result<CheckToken, AccessError> {
        let Some(path) = &self.api_token_file else {
            return Ok(CheckToken { token: None });
        };
        let text = String::from_utf8(read(path)?).map_err(|_| unusable(path, "is not text in UTF-8"))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(unusable(path, "is empty, where an API token was expected"));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unusable(path, "holds more than one word of ASCII, where an API token was expected"));
        }
        Ok(CheckToken { token: Some(token.as_bytes().into()) })
    }

    pub(crate) fn tls(&self) -> Result<Option<ServerTlsConfig>, AccessError> {
        let (cert, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) if self.tls_client_ca.is_none() => return Ok(None),
            (None, None) => return Err(AccessError::Incomplete("--tls-client-ca needs --tls-cert and --tls-key")),
            _ => return Err(AccessError::Incomplete("--tls-cert and --tls-key need each other")),
        };
        let identity = Identity::from_pem(pem(cert, "CERTIFICATE")?, pem(key, "PRIVATE KEY")?);
        let mut tls = ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE);
        if let Some(authority) = &self.tls_client_ca {
            tls = tls.client_ca_root(Certificate::from_pem(pem(authority, "CERTIFICATE")?));
        }
        Ok(Some(tls))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, AccessError> {
    fs::read(path).map_err(|error| unusable(path, &format!("can not be read: {error}")))
}

fn pem(path: &Path, holding: &str) -> Result<Vec<u8>, AccessError> {
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let found = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(holding));
    if found { Ok(bytes) } else { Err(unusable(path, &format!("holds no {} in PEM", holding.to_lowercase()))) }
}

fn unusable(path: &Path, reason: &str) -> AccessError {
    AccessError::File { path: path.to_owned(), reason: reason.to_owned() }
}

/// Lets calls through that carry the token, or all if there is none.
#[derive(Debug, Clone)]
pub(crate) struct CheckToken {
    token: Option<std::sync::Arc<[u8]>>,
}

impl CheckToken {
    fn fits(&self, metadata: &MetadataMap) -> bool {
        self.is(metadata.get(TOKEN_METADATA).map(MetadataValue::as_bytes))
    }

    /// Whether this is the token; anything is if there is none.
    pub(crate) fn is(&self, given: Option<&[u8]>) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        // How much of a guess is right must not show in how long it takes to refuse it.
        given.is_some_and(|given| token.ct_eq(given).into())
    }
}

impl Interceptor for CheckToken {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.fits(request.metadata()) {
            if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
                connection.note_use();
            }
            return Ok(request);
        }
        let given = request.metadata().contains_key(TOKEN_METADATA);
        let problem = if given { "is another one" } else { "is missing" };
        Err(Status::unauthenticated(format!(
            "this sidecar wants an API token, as metadata '{TOKEN_METADATA}', and the call's {problem}; clients and \
             workers take it from the environment variable DAPR_API_TOKEN"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access_with_token(folder: &tempfile::TempDir, text: &str) -> Access {
        let path = folder.path().join("token");
        fs::write(&path, text).expect("a file");
        Access { api_token_file: Some(path), ..Access::default() }
    }

    #[test]
    fn an_address_that_others_can_reach_needs_protection_or_a_word() {
        let here: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let everywhere: SocketAddr = "0.0.0.0:1".parse().expect("an address");
        let file = || Some(PathBuf::from("file"));
        assert!(Access::default().check(here).is_ok());
        assert!(Access::default().check("[::1]:1".parse().expect("an address")).is_ok());
        assert!(matches!(Access::default().check(everywhere), Err(AccessError::Exposed(_))));
        for enough in [
            Access { insecure: true, ..Access::default() },
            Access { api_token_file: file(), ..Access::default() },
            Access { tls_cert: file(), tls_key: file(), ..Access::default() },
        ] {
            assert!(enough.check(everywhere).is_ok(), "{enough:?}");
        }
    }

    #[test]
    fn a_token_is_one_word_in_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        for (text, usable) in
            [("secret\n", true), ("  secret  ", true), ("", false), ("\n", false), ("two words", false)]
        {
            assert_eq!(access_with_token(&folder, text).token().is_ok(), usable, "{text:?}");
        }
        let missing = Access { api_token_file: Some(folder.path().join("none")), ..Access::default() };
        let error = missing.token().expect_err("there is no such file").to_string();
        assert!(error.contains("can not be read"), "{error}");
    }

    #[test]
    fn only_the_whole_token_fits() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = access_with_token(&folder, "secret").token().expect("a token");
        for (given, fits) in [(Some("secret"), true), (Some("secre"), false), (Some("secrets"), false), (None, false)] {
            let mut metadata = MetadataMap::new();
            if let Some(given) = given {
                metadata.insert(TOKEN_METADATA, given.parse().expect("ASCII"));
            }
            assert_eq!(check.fits(&metadata), fits, "{given:?}");
        }
    }
}
