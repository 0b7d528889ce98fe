//! Who may talk to a sidecar, and how much at once.

use std::path::{Path, PathBuf};

use durabletask_proto::client::TaskHubSidecarServiceClient;
use durabletask_proto::sidecar::CountInstancesRequest;
use durabletask_proto::sidecar::client::SidecarServiceClient;
use durabletask_proto::{CreateInstanceRequest, GetWorkItemsRequest};
use durabletask_sidecar::{Access, Options, Sidecar, StartError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::codec::CompressionEncoding;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::command::{Program, refused};
use crate::support::{connect, create, soon, start, state};

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

async fn start_with(options: Options) -> Sidecar {
    Sidecar::start(options).await.expect("it starts")
}

fn hello<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("dapr-api-token", token.parse().expect("ASCII"));
    }
    request
}

#[tokio::test]
async fn every_call_needs_the_token_and_health_checks_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let api_token_file = Some(file(folder.path(), "token", "secret\n"));
    let access = Access { api_token_file, ..Access::default() };
    let sidecar = start_with(Options { access, ..Options::default() }).await;
    let mut client = connect(sidecar.address()).await;
    for wrong in [None, Some("secre"), Some("another")] {
        let error = client.hello(hello((), wrong)).await.expect_err("it has no token");
        assert_eq!(error.code(), Code::Unauthenticated);
        assert!(error.message().contains("DAPR_API_TOKEN"), "{error}");
        let error = client.get_work_items(hello(GetWorkItemsRequest::default(), wrong)).await.map(|_| ());
        assert_eq!(error.expect_err("streams need it too").code(), Code::Unauthenticated);
    }
    client.hello(hello((), Some("secret"))).await.expect("that is the token");

    let channel = Endpoint::from_shared(format!("http://{}", sidecar.address())).expect("an address").connect_lazy();
    let mut own = SidecarServiceClient::new(channel.clone());
    let error = own.count_instances(hello(CountInstancesRequest {}, None)).await.expect_err("it has no token");
    assert_eq!(error.code(), Code::Unauthenticated);
    own.count_instances(hello(CountInstancesRequest {}, Some("secret"))).await.expect("that is the token");
    let mut health = HealthClient::new(channel);
    for service in ["", "TaskHubSidecarService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.expect("no token is needed").into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service:?}");
    }
    sidecar.stop().await;
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// A certificate for this machine and its key, in PEM.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}

#[tokio::test]
async fn connections_are_encrypted_and_callers_show_who_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let (cert, key) = authority.issue();
    let access = Access {
        tls_cert: Some(file(folder.path(), "cert.pem", &cert)),
        tls_key: Some(file(folder.path(), "key.pem", &key)),
        tls_client_ca: Some(file(folder.path(), "ca.pem", &authority.issuer.pem())),
        ..Access::default()
    };
    let sidecar = start_with(Options { access, ..Options::default() }).await;
    let port = sidecar.address().port();
    let endpoint = || Endpoint::from_shared(format!("https://localhost:{port}")).expect("an address");
    let trusting = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.issuer.pem()));

    let (cert, key) = authority.issue();
    let known = endpoint().tls_config(trusting().identity(Identity::from_pem(cert, key))).expect("certificates");
    let channel = soon("a connection", known.connect()).await.expect("the caller is known");
    TaskHubSidecarServiceClient::new(channel).hello(()).await.expect("an answer");

    let (cert, key) = Authority::new().issue();
    for strange in [trusting(), trusting().identity(Identity::from_pem(cert, key))] {
        let endpoint = endpoint().tls_config(strange).expect("certificates");
        let refused = match soon("a connection", endpoint.connect()).await {
            // The server's refusal may come after the client has taken the connection for made.
            Ok(channel) => TaskHubSidecarServiceClient::new(channel).hello(()).await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "a caller that nobody vouches for is not served");
    }
    sidecar.stop().await;
}

#[test]
fn what_does_not_protect_is_said_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = file(folder.path(), "empty", "");
    let empty = empty.to_str().expect("a path in UTF-8");
    let message = refused(&["--port", "0", "--host", "0.0.0.0"]);
    assert!(message.contains("--insecure") && message.contains("--api-token-file"), "{message}");
    let message = refused(&["--port", "0", "--api-token-file", empty]);
    assert!(message.contains("is empty"), "{message}");
    let message = refused(&["--port", "0", "--tls-cert", empty]);
    assert!(message.contains("--tls-key"), "{message}");
    let message = refused(&["--port", "0", "--tls-cert", empty, "--tls-key", empty]);
    assert!(message.contains("holds no certificate"), "{message}");
}

#[tokio::test]
async fn a_certificate_that_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let cert = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let access = Access {
        tls_cert: Some(file(folder.path(), "cert.pem", cert)),
        tls_key: Some(file(folder.path(), "key.pem", key)),
        ..Access::default()
    };
    let error = Sidecar::start(Options { access, ..Options::default() }).await.expect_err("they are no certificates");
    assert!(matches!(error, StartError::Tls(_)), "{error}");
}

#[tokio::test]
async fn other_machines_are_served_with_a_token_or_when_it_is_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = file(folder.path(), "token", "secret");
    let token = token.to_str().expect("a path in UTF-8");
    for arguments in [vec!["--insecure"], vec!["--api-token-file", token]] {
        let _program = Program::start(&[&["--port", "0", "--host", "0.0.0.0"], arguments.as_slice()].concat());
    }
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_as_workers_expect_it() {
    let sidecar = start_with(Options { max_message_bytes: 10_000, ..Options::default() }).await;
    let mut client = connect(sidecar.address()).await;
    let request = |size: usize| CreateInstanceRequest {
        instance_id: "one".to_owned(),
        name: "greet".to_owned(),
        input: Some("x".repeat(size)),
        ..CreateInstanceRequest::default()
    };
    let error = client.start_instance(request(10_001)).await.expect_err("it is too large");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    client.start_instance(request(9_000)).await.expect("it is not");
    let mut zipping = client.clone().send_compressed(CompressionEncoding::Gzip);
    let error = zipping.start_instance(request(100_000_000)).await.expect_err("it is too large once it is unpacked");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
    sidecar.stop().await;
}

#[tokio::test]
async fn compressed_messages_are_understood() {
    let (sidecar, mut client) = start().await;
    let mut zipping = client.clone().send_compressed(CompressionEncoding::Gzip);
    let id = create(&mut zipping, "one", "greet").await.expect("it is understood");
    assert_eq!(state(&mut client, &id).await.and_then(|state| state.input).as_deref(), Some("\"in\""));
    sidecar.stop().await;
}

#[cfg(unix)]
#[test]
fn logs_can_be_json() {
    let mut program = Program::start(&["--port", "0", "--log-format", "json", "--log-level", "debug"]);
    let log = program.end_and_read_log();
    assert!(log.lines().count() > 0);
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}
