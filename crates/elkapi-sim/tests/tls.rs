//! The simulator over TLS, as a library and as a program.

#![allow(clippy::unwrap_used)]

#[path = "../../elkapi/tests/common/certificates.rs"]
mod certificates;
mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use certificates::{Authority, Identity, for_names, serve};
use common::{chat, connect, wait_for};
use elkapi_sim::{Options, Simulator, TlsOptions, TlsVersions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned};

/// How a client that trusts this authority alone shakes hands.
fn trusting(authority: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn open(address: SocketAddr, config: &Arc<ClientConfig>) -> Stream {
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), connect(address))
}

/// Asks once, and reads the status line and what the connection brings until it ends.
fn ask(stream: &mut Stream, path: &str) -> std::io::Result<String> {
    let request = chat(path, "Hello", "").replace("Host: sim", "Host: sim\r\nConnection: close");
    stream.write_all(request.as_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

#[test]
fn it_answers_through_tls_in_the_versions_it_was_told() {
    let authority = Authority::new("elk");
    for (versions, spoken) in [
        (TlsVersions::Both, ProtocolVersion::TLSv1_3),
        (TlsVersions::Only13, ProtocolVersion::TLSv1_3),
        (TlsVersions::Only12, ProtocolVersion::TLSv1_2),
    ] {
        let sim = authority.server().serve_only(versions);
        assert_eq!(sim.base_url(), format!("https://{}/v1", sim.address()));
        let mut stream = open(sim.address(), &trusting(&authority.pem()));
        let reply = ask(&mut stream, "/v1").unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert_eq!(stream.conn.protocol_version(), Some(spoken));
    }
}

#[test]
fn handshakes_resumed_sessions_and_request_bytes_are_counted() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    let config = trusting(&authority.pem());
    for _ in 0..3 {
        ask(&mut open(sim.address(), &config), "/v1").unwrap();
    }
    let stats = sim.stats();
    assert_eq!((stats.accepted, stats.tls_handshakes, stats.tls_resumed), (3, 3, 2));
    assert!(stats.request_bytes > 300, "{}", stats.request_bytes);
    for member in ["\"tls_handshakes\":3", "\"tls_resumed\":2", "\"request_bytes\":"] {
        assert!(stats.to_json().contains(member), "{}", stats.to_json());
    }
    sim.reset();
    assert_eq!((sim.stats().request_bytes, sim.stats().tls_handshakes), (0, 0));
}

#[test]
fn nothing_is_counted_of_a_client_that_leaves_in_the_handshake() {
    let sim = Authority::new("elk").server().serve();
    let stranger = trusting(&Authority::new("moose").pem());
    assert!(ask(&mut open(sim.address(), &stranger), "/v1").is_err());
    connect(sim.address()).write_all(b"GET /v1/models HTTP/1.1\r\n\r\n").unwrap();
    wait_for("both are accepted", || sim.stats().accepted == 2);
    let stats = sim.stats();
    assert_eq!((stats.requests, stats.request_bytes, stats.tls_handshakes), (0, 0, 0));
}

#[test]
fn plain_connections_count_no_handshakes_but_their_bytes() {
    let sim = Simulator::start(Options::default()).unwrap();
    let request = chat("/v1", "Hello", "");
    common::ask(&sim, &request);
    let stats = sim.stats();
    assert_eq!((stats.request_bytes, stats.tls_handshakes), (request.len() as u64, 0));
}

#[test]
fn a_client_without_the_wanted_certificate_is_not_served() {
    let (servers, clients) = (Authority::new("elk"), Authority::new("herd"));
    let sim = serve(TlsOptions { client_ca_pem: Some(clients.pem()), ..servers.server().tls() });
    let error = ask(&mut open(sim.address(), &trusting(&servers.pem())), "/v1").unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    assert_eq!(sim.stats().request_bytes, 0);
}

#[test]
fn an_ordinary_end_is_said_in_tls_and_a_broken_one_is_not() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    let config = trusting(&authority.pem());
    assert!(ask(&mut open(sim.address(), &config), "/v1").is_ok());
    for fault in ["reset-before-reply", "reset-mid-body"] {
        let error = ask(&mut open(sim.address(), &config), &format!("/fault/{fault}/v1")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{fault}: {error}");
    }
}

#[test]
fn stopping_ends_handshakes_and_replies_under_way() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    let mut silent = connect(sim.address());
    let mut stalled = open(sim.address(), &trusting(&authority.pem()));
    stalled.write_all(chat("/fault/stall-mid-body/v1", "Hello", "").as_bytes()).unwrap();
    wait_for("the request is in flight", || sim.stats().in_flight == 1 && sim.stats().accepted == 2);
    drop(sim);
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    let _ = stalled.read_to_end(&mut Vec::new());
}

#[test]
fn texts_that_are_of_no_use_are_told() {
    let (one, other) = (Authority::new("elk").server(), Authority::new("elk").server());
    let mixed = Identity { key: other.key.clone(), ..one.clone() };
    for (tls, words) in [
        (TlsOptions::default(), "certificate chain"),
        (TlsOptions { key_pem: one.chain.clone(), ..one.tls() }, "key"),
        (mixed.tls(), "certificate or key"),
        (TlsOptions { client_ca_pem: Some("elk".to_owned()), ..one.tls() }, "client authority"),
    ] {
        let error = Simulator::start(Options { tls: Some(tls), ..Options::default() }).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
}

#[test]
fn the_program_serves_over_tls() {
    let authority = Authority::new("elk");
    let identity = authority.sign(for_names(&["localhost"]));
    let directory = Directory::new();
    let (cert, key) = (directory.file("cert.pem", &identity.chain), directory.file("key.pem", &identity.key));
    let program = || Command::new(env!("CARGO_BIN_EXE_elkapi-sim"));
    let mut child = program()
        .args(["--tls-cert", &cert, &format!("--tls-key={key}"), "--until-stdin-closes", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut base_url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut base_url).unwrap();
    let address = base_url.trim_end().strip_prefix("https://").and_then(|rest| rest.strip_suffix("/v1"));
    let address = address.unwrap_or_else(|| panic!("{base_url:?}")).parse().unwrap();
    let reply = ask(&mut open(address, &trusting(&authority.pem())), "/v1").unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());

    let mut with_client_ca = vec!["--tls-cert", &cert, "--tls-key", &key, "--tls-client-ca", &key];
    assert_eq!(
        program().args(&with_client_ca).output().unwrap().status.code(),
        Some(1),
        "a key is no authority"
    );
    with_client_ca.truncate(2);
    for arguments in
        [&with_client_ca[..], &["--tls-key", &key], &["--tls-client-ca", &cert], &["--tls-cert", "/no"]]
    {
        let output = program().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--tls-"), "{output:?}");
    }
}

/// A directory of a test's own, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        let path = std::env::temp_dir().join(format!("elkapi-sim-tls-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
