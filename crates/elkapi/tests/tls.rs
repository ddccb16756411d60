//! TLS as servers really speak it: whom the client trusts, what it says when it does not, and that
//! requests reach nobody else.

#![allow(clippy::unwrap_used)]

#[path = "common/certificates.rs"]
mod certificates;
mod common;

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use certificates::{Authority, Identity, for_names, named, serve};
use common::{
    BOUND, HELLO, KEY, Random, Request, Server, accept, answer, client_with, reply, timed, wait_for,
};
use elkapi::{Billed, Cancel, Client, Config, Error, Kind, Limit, Phase};
use elkapi_sim::{TlsOptions, TlsVersions};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

const BOTH_VERSIONS: [TlsVersions; 2] = [TlsVersions::Only12, TlsVersions::Only13];

/// The options of a client that trusts this authority too.
fn trusting(authority: &str) -> String {
    json!({ "ca_pem": authority }).to_string()
}

/// Asks once; the error, which must come in time.
fn refusal(client: &Client) -> Error {
    let (outcome, took) = timed(|| client.chat_completions(HELLO, None));
    let error = match outcome {
        Err(error) => error,
        Ok(answer) => panic!("it was answered: {:?}", answer.text()),
    };
    assert!(took < BOUND, "it took {took:?}: {error}");
    error
}

/// That no trusted connection came about, which costs nothing, and that a person can see why.
fn assert_untrusted(error: &Error, host: &str, words: &str) {
    let facts = (error.kind(), error.phase(), error.billed(), error.status(), error.retryable());
    assert_eq!(facts, (Kind::Tls, Some(Phase::Tls), Billed::No, None, false), "{error}");
    assert!(error.message().contains(host), "{host} is not named: {error}");
    assert!(error.message().contains(words), "{words:?} is not said: {error}");
}

/// That a server with this certificate is refused in both versions of TLS and given nothing.
fn assert_refused(identity: &Identity, options: &str, words: &str) {
    for versions in BOTH_VERSIONS {
        let sim = identity.serve_only(versions);
        assert_untrusted(&refusal(&client_with(&sim.base_url(), options)), "127.0.0.1", words);
        let stats = sim.stats();
        assert_eq!((stats.accepted, stats.request_bytes), (1, 0), "{versions:?}");
        // The server is sound: a client that does not look gets its answer.
        let careless = client_with(&sim.base_url(), r#"{"insecure_skip_verify": true}"#);
        careless.chat_completions(HELLO, None).unwrap();
        assert_eq!(sim.stats().requests, 1, "{versions:?}");
    }
}

/// A directory of a test's own, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("elkapi-tls-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    /// The path of a new file with this text.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// ---- certificates that are refused --------------------------------------------------------------

#[test]
fn an_expired_certificate_is_refused_and_its_last_day_told() {
    let authority = Authority::new("elk");
    let mut params = for_names(&["127.0.0.1"]);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 2, 3);
    assert_refused(&authority.sign(params), &trusting(&authority.pem()), "expired on Wed, 03 Feb 2021");
}

#[test]
fn a_certificate_of_the_future_is_refused_and_the_clock_mentioned() {
    let authority = Authority::new("elk");
    let mut params = for_names(&["127.0.0.1"]);
    params.not_before = date_time_ymd(2999, 1, 1);
    params.not_after = date_time_ymd(3000, 1, 1);
    let words = "valid only from Tue, 01 Jan 2999 00:00:00 GMT; is the clock right?";
    assert_refused(&authority.sign(params), &trusting(&authority.pem()), words);
}

#[test]
fn a_certificate_of_another_host_is_refused_and_its_names_told() {
    let authority = Authority::new("elk");
    let other = authority.sign(for_names(&["api.example.com", "10.0.0.1"]));
    assert_refused(&other, &trusting(&authority.pem()), "it is for api.example.com, 10.0.0.1");
}

#[test]
fn a_common_name_alone_names_no_host() {
    let authority = Authority::new("elk");
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = named("127.0.0.1");
    assert_refused(&authority.sign(params), &trusting(&authority.pem()), "subjectAltName");
}

#[test]
fn a_self_signed_certificate_is_refused_unless_it_is_given_as_an_authority() {
    let identity = Identity::self_signed(for_names(&["127.0.0.1"]));
    assert_refused(&identity, "{}", "no authority known here has signed it");
    let sim = identity.serve();
    client_with(&sim.base_url(), &trusting(&identity.chain)).chat_completions(HELLO, None).unwrap();
}

#[test]
fn an_unknown_authority_is_refused_and_ca_file_mentioned() {
    let other = trusting(&Authority::new("moose").pem());
    assert_refused(&Authority::new("elk").server(), &other, "ca_file");
}

#[test]
fn a_chain_with_a_gap_is_refused_and_a_whole_one_accepted() {
    let root = Authority::new("elk");
    let between = root.intermediate("calf");
    let server = between.server();
    assert_refused(&server, &trusting(&root.pem()), "leaves out the certificates in between");
    let sim = server.and(&between).serve();
    client_with(&sim.base_url(), &trusting(&root.pem())).chat_completions(HELLO, None).unwrap();
}

#[test]
fn a_certificate_signed_by_one_that_is_no_authority_is_refused() {
    let root = Authority::new("elk");
    let mut params = for_names(&["calf.example.com"]);
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    let key = rcgen::KeyPair::generate().unwrap();
    let no_authority = root.sign(params.clone());
    let issuer = rcgen::Issuer::new(params, rcgen::KeyPair::from_pem(&no_authority.key).unwrap());
    let certificate = for_names(&["127.0.0.1"]).signed_by(&key, &issuer).unwrap();
    let chain = format!("{}{}", certificate.pem(), no_authority.chain);
    let identity = Identity { chain, key: key.serialize_pem() };
    assert_refused(&identity, &trusting(&root.pem()), "not trusted");
}

#[test]
fn a_certificate_for_clients_is_no_certificate_for_servers() {
    let authority = Authority::new("elk");
    let mut params = for_names(&["127.0.0.1"]);
    params.insert_extended_key_usage(ExtendedKeyUsagePurpose::ClientAuth);
    assert_refused(&authority.sign(params), &trusting(&authority.pem()), "not meant for servers");
}

#[test]
fn a_signature_with_a_short_key_is_refused() {
    let (identity, authority) = Identity::from_file(include_str!("certificates/short_rsa_key.pem"));
    assert_refused(&identity, &trusting(&authority), "RSA under 2048 bits");
}

#[test]
fn a_signature_with_sha_1_is_refused() {
    let (identity, authority) = Identity::from_file(include_str!("certificates/sha1.pem"));
    assert_refused(&identity, &trusting(&authority), "SHA-1");
}

#[test]
fn the_host_that_was_asked_for_is_named() {
    let sim = Authority::new("elk").server().serve();
    let base_url = sim.base_url().replace("127.0.0.1", "localhost");
    assert_untrusted(&refusal(&client_with(&base_url, "{}")), "of localhost is", "no authority");
}

#[test]
fn an_untrusted_server_is_not_tried_again() {
    let sim = Authority::new("elk").server().serve();
    let error = refusal(&client_with(&sim.base_url(), r#"{"max_retries": 3, "retry_risky": true}"#));
    assert_eq!((error.attempts().len(), sim.stats().accepted), (1, 1), "{error}");
}

// ---- certificates that are accepted -------------------------------------------------------------

#[test]
fn names_and_addresses_of_the_certificate_are_accepted() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    for host in ["127.0.0.1", "localhost"] {
        let client = client_with(&sim.base_url().replace("127.0.0.1", host), &trusting(&authority.pem()));
        assert_eq!(client.chat_completions(HELLO, None).unwrap().status(), 200, "{host}");
    }
    let by_address = authority.sign(for_names(&["127.0.0.1"])).serve();
    let client =
        client_with(&by_address.base_url().replace("127.0.0.1", "localhost"), &trusting(&authority.pem()));
    assert_untrusted(&refusal(&client), "localhost", "it is for 127.0.0.1");
}

#[test]
fn authorities_come_from_a_file_from_text_and_from_both() {
    let (elk, moose) = (Authority::new("elk"), Authority::new("moose"));
    let (of_elk, of_moose) = (elk.server().serve(), moose.server().serve());
    let directory = Directory::new();
    let both = format!("# two of them\n{}\nbetween\n{}", elk.pem(), moose.pem());
    let file = directory.file("both.pem", &both.replace('\n', "\r\n"));
    let elk_file = directory.file("elk.pem", &elk.pem());
    for options in [
        json!({ "ca_file": file }),
        json!({ "ca_pem": both }),
        json!({ "ca_file": elk_file, "ca_pem": moose.pem() }),
    ] {
        for sim in [&of_elk, &of_moose] {
            client_with(&sim.base_url(), &options.to_string()).chat_completions(HELLO, None).unwrap();
        }
    }
    let elk_only = client_with(&of_moose.base_url(), &json!({ "ca_file": elk_file }).to_string());
    assert_untrusted(&refusal(&elk_only), "127.0.0.1", "no authority");
}

#[test]
fn a_careless_client_accepts_whatever_is_shown_in_both_versions() {
    let mut params = for_names(&["api.example.com"]);
    params.not_after = date_time_ymd(2001, 1, 1);
    for versions in BOTH_VERSIONS {
        let sim = Identity::self_signed(params.clone()).serve_only(versions);
        let client = client_with(&sim.base_url(), r#"{"insecure_skip_verify": true}"#);
        assert_eq!(client.chat_completions(HELLO, None).unwrap().status(), 200);
    }
}

#[test]
fn a_client_opened_ahead_refuses_as_well() {
    let sim = Authority::new("elk").server().serve();
    let error = client_with(&sim.base_url(), "{}").warm_up(None).unwrap_err();
    assert_untrusted(&error, "127.0.0.1", "no authority");
}

// ---- versions -----------------------------------------------------------------------------------

#[test]
fn a_server_that_only_speaks_tls_1_1_is_refused() {
    // The alert `protocol_version`, and a ServerHello of TLS 1.1 (RFC 4346, section 7.4.1.3).
    let alert = b"\x15\x03\x02\x00\x02\x02\x46".to_vec();
    let mut hello = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02".to_vec();
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(b"\x00\xc0\x13\x00");
    for says in [alert, hello] {
        let server = Server::start(move |listener| {
            let mut socket = accept(&listener);
            let hello = read_record(&mut socket);
            socket.write_all(&says).unwrap();
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest);
            (hello, rest)
        });
        let error = refusal(&client_with(&https(&server.base_url), "{}"));
        assert_untrusted(&error, "127.0.0.1", "speaks no version of TLS that is accepted here (min_tls)");
        let (hello, rest) = server.join();
        assert_eq!(hello[0], 22, "a handshake message");
        // At most an alert comes back, and no request.
        assert!(rest.is_empty() || rest[0] == 21 && rest.len() == 7, "{rest:?}");
    }
}

#[test]
fn min_tls_refuses_older_servers_and_accepts_the_others() {
    let authority = Authority::new("elk");
    let options = |least: &str| json!({ "ca_pem": authority.pem(), "min_tls": least }).to_string();
    let old = authority.server().serve_only(TlsVersions::Only12);
    assert_untrusted(&refusal(&client_with(&old.base_url(), &options("1.3"))), "127.0.0.1", "min_tls");
    assert_eq!(old.stats().request_bytes, 0);
    client_with(&old.base_url(), &options("1.2")).chat_completions(HELLO, None).unwrap();
    for versions in [TlsVersions::Both, TlsVersions::Only13] {
        let sim = authority.server().serve_only(versions);
        client_with(&sim.base_url(), &options("1.3")).chat_completions(HELLO, None).unwrap();
    }
}

#[test]
fn a_server_without_tls_is_told_as_such() {
    let server = Server::start(|listener| {
        let mut socket = accept(&listener);
        read_record(&mut socket);
        socket.write_all(&reply("400 Bad Request", &["Connection: close"], b"this is an HTTP port")).unwrap();
    });
    let error = refusal(&client_with(&https(&server.base_url), "{}"));
    assert_untrusted(&error, "127.0.0.1", "does not speak TLS on this port");
    server.join();
}

#[test]
fn what_is_no_tls_at_all_ends_the_handshake() {
    for says in [&b"\0\0\0\0\0\0\0\0"[..], b"\x16\x03\x03\xff\xff", b"\x16\x03\x03\x00\x04\x02\xff\xff\xff"] {
        let server = Server::start(move |listener| {
            let mut socket = accept(&listener);
            read_record(&mut socket);
            let _ = socket.write_all(says);
            socket.shutdown(Shutdown::Write).unwrap();
            let _ = socket.read_to_end(&mut Vec::new());
        });
        let error = refusal(&client_with(&https(&server.base_url), "{}"));
        assert_eq!((error.phase(), error.billed()), (Some(Phase::Tls), Billed::No), "{error}");
        assert!(matches!(error.kind(), Kind::Tls | Kind::Connection), "{error}");
        server.join();
    }
}

// ---- client certificates ------------------------------------------------------------------------

#[test]
fn a_client_certificate_that_is_missing_is_asked_for_in_words() {
    let (servers, clients) = (Authority::new("elk"), Authority::new("herd"));
    for versions in BOTH_VERSIONS {
        let tls = TlsOptions { client_ca_pem: Some(clients.pem()), versions, ..servers.server().tls() };
        let sim = serve(tls);
        let client = client_with(&sim.base_url(), &trusting(&servers.pem()));
        assert_untrusted(&refusal(&client), "127.0.0.1", "wants a client certificate");
        // A large request is under way when the refusal comes.
        let large =
            json!({ "messages": [{ "role": "user", "content": "moss ".repeat(1 << 20) }] }).to_string();
        let error = client.chat_completions(&large, None).unwrap_err();
        assert_untrusted(&error, "127.0.0.1", "wants a client certificate");
        let stats = sim.stats();
        assert_eq!((stats.accepted, stats.tls_handshakes, stats.request_bytes), (2, 0, 0), "{versions:?}");
    }
}

#[test]
fn a_client_certificate_that_is_given_opens_the_door() {
    let (servers, clients) = (Authority::new("elk"), Authority::new("herd"));
    let between = clients.intermediate("calf");
    let identity = between.sign(for_names(&["client.example.com"])).and(&between);
    let directory = Directory::new();
    let options = json!({
        "ca_pem": servers.pem(),
        "client_cert_file": directory.file("cert.pem", &identity.chain),
        "client_key_file": directory.file("key.pem", &identity.key),
    });
    // Certificate and key may also stand in one file.
    let one = directory.file("one.pem", &format!("{}{}", identity.key, identity.chain));
    let in_one = json!({ "ca_pem": servers.pem(), "client_cert_file": one, "client_key_file": one });
    for versions in BOTH_VERSIONS {
        let tls = TlsOptions { client_ca_pem: Some(clients.pem()), versions, ..servers.server().tls() };
        let sim = serve(tls);
        for options in [&options, &in_one] {
            let client = client_with(&sim.base_url(), &options.to_string());
            assert_eq!(client.chat_completions(HELLO, None).unwrap().status(), 200, "{versions:?}");
            client.close_idle();
            assert_eq!(client.chat_completions(HELLO, None).unwrap().status(), 200, "{versions:?}");
        }
    }
}

#[test]
fn a_client_certificate_of_a_stranger_is_refused_by_the_server() {
    let (servers, clients) = (Authority::new("elk"), Authority::new("herd"));
    let stranger = Authority::new("wolf").sign(for_names(&["client.example.com"]));
    let directory = Directory::new();
    let options = json!({
        "ca_pem": servers.pem(),
        "client_cert_file": directory.file("cert.pem", &stranger.chain),
        "client_key_file": directory.file("key.pem", &stranger.key),
    })
    .to_string();
    for versions in BOTH_VERSIONS {
        let tls = TlsOptions { client_ca_pem: Some(clients.pem()), versions, ..servers.server().tls() };
        let sim = serve(tls);
        let client = client_with(&sim.base_url(), &options);
        assert_untrusted(&refusal(&client), "127.0.0.1", "does not accept the client certificate");
        assert_eq!(sim.stats().request_bytes, 0, "{versions:?}");
    }
}

#[test]
fn a_connection_opened_ahead_that_the_server_refused_later_tells_the_reason() {
    let (servers, clients) = (Authority::new("elk"), Authority::new("herd"));
    let sim = serve(TlsOptions { client_ca_pem: Some(clients.pem()), ..servers.server().tls() });
    let client = client_with(&sim.base_url(), &trusting(&servers.pem()));
    // In TLS 1.3 the server speaks last: opening may succeed before it refuses.
    let _ = client.warm_up(None);
    assert_untrusted(&refusal(&client), "127.0.0.1", "wants a client certificate");
}

// ---- the environment's authorities --------------------------------------------------------------

/// What the child below is told to ask, and says in return.
const ASK: &str = "ELKAPI_TLS_TEST_ASKS";

#[test]
#[ignore = "started by another test, with an environment of its own"]
fn child_that_asks_with_the_authorities_of_its_environment() {
    let Ok(base_url) = std::env::var(ASK) else { return };
    match client_with(&base_url, "{}").chat_completions(HELLO, None) {
        Ok(answer) => println!("<<answered {}>>", answer.status()),
        Err(error) => println!("<<{} {:?} {}>>", error.kind(), error.phase(), error.message()),
    }
}

/// What a process with these variables says of this server.
fn asked_by_child(base_url: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "child_that_asks_with_the_authorities_of_its_environment",
            "--nocapture",
        ])
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .env(ASK, base_url)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let inside = said.split_once("<<").and_then(|(_, rest)| rest.split_once(">>"));
    inside.unwrap_or_else(|| panic!("{output:?}")).0.to_owned()
}

#[test]
fn ssl_cert_file_and_ssl_cert_dir_replace_the_systems_authorities() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    let directory = Directory::new();
    let file = directory.file("elk.pem", &authority.pem());
    let path = directory.0.to_str().unwrap();
    let other = Directory::new();
    let others = other.file("moose.pem", &Authority::new("moose").pem());
    let ask = |variables: &[(&str, &str)]| asked_by_child(&sim.base_url(), variables);
    assert_eq!(ask(&[("SSL_CERT_FILE", &file)]), "answered 200");
    assert_eq!(ask(&[("SSL_CERT_DIR", path)]), "answered 200");
    assert_eq!(ask(&[("SSL_CERT_FILE", &others), ("SSL_CERT_DIR", path)]), "answered 200");
    assert!(ask(&[("SSL_CERT_FILE", &others)]).starts_with("tls Some(Tls) "), "{}", ask(&[]));
    assert!(ask(&[]).starts_with("tls Some(Tls) "), "{}", ask(&[]));
}

#[test]
fn ssl_cert_file_without_a_certificate_is_a_fault_of_the_configuration() {
    let sim = Authority::new("elk").server().serve();
    let directory = Directory::new();
    let empty = directory.file("empty.pem", "nothing\n");
    for (name, value) in [
        ("SSL_CERT_FILE", empty.as_str()),
        ("SSL_CERT_FILE", "/does/not/exist.pem"),
        ("SSL_CERT_FILE", ""),
        ("SSL_CERT_DIR", "/does/not/exist"),
    ] {
        let said = asked_by_child(&sim.base_url(), &[(name, value)]);
        assert!(said.starts_with("config "), "{name}={value}: {said}");
        assert!(said.contains(name) && said.contains(value), "{name}={value}: {said}");
    }
    assert_eq!(sim.stats().request_bytes, 0);
}

// ---- handshakes that break ----------------------------------------------------------------------

#[test]
fn a_handshake_that_hangs_ends_at_the_connect_limit() {
    for says in [&b""[..], b"\x16\x03\x03\x00\x40"] {
        let server = Server::start(move |listener| {
            let mut socket = accept(&listener);
            read_record(&mut socket);
            socket.write_all(says).unwrap();
            socket.read_to_end(&mut Vec::new()).unwrap()
        });
        let error = refusal(&client_with(&https(&server.base_url), r#"{"connect_timeout_ms": 200}"#));
        let facts = (error.kind(), error.limit(), error.phase(), error.billed(), error.retryable());
        let wanted = (Kind::Timeout, Some(Limit::Connect), Some(Phase::Tls), Billed::No, true);
        assert_eq!(facts, wanted, "{error}");
        assert_eq!(server.join(), 0, "bytes after the first message");
    }
}

#[test]
fn a_handshake_that_drips_ends_at_the_connect_limit_too() {
    let server = Server::start(move |listener| {
        let mut socket = accept(&listener);
        read_record(&mut socket);
        socket.write_all(b"\x16\x03\x03\x3f\xff").unwrap();
        while socket.write_all(&[2]).is_ok() {
            thread::park_timeout(std::time::Duration::from_millis(10));
        }
    });
    let error = refusal(&client_with(&https(&server.base_url), r#"{"connect_timeout_ms": 300}"#));
    assert_eq!((error.kind(), error.limit()), (Kind::Timeout, Some(Limit::Connect)), "{error}");
    server.join();
}

#[test]
fn a_handshake_that_the_server_closes_is_a_broken_connection_that_may_be_tried_again() {
    let server = Server::start(move |listener| {
        for _ in 0..2 {
            let mut socket = accept(&listener);
            read_record(&mut socket);
        }
        // One more finds nobody.
    });
    let client = client_with(&https(&server.base_url), r#"{"max_retries": 1, "base_delay_ms": 1}"#);
    let error = refusal(&client);
    let facts = (error.kind(), error.phase(), error.billed(), error.retryable());
    assert_eq!(facts, (Kind::Connection, Some(Phase::Tls), Billed::No, true), "{error}");
    assert!(error.message().contains("127.0.0.1 closed the connection during the TLS handshake"), "{error}");
    assert_eq!(error.attempts().len(), 2, "{error}");
    server.join();
}

#[test]
fn a_handshake_that_the_server_resets_names_the_host() {
    let server = Server::start(move |listener| {
        // Closing with unread bytes is a reset.
        let mut socket = accept(&listener);
        socket.read_exact(&mut [0; 8]).unwrap();
    });
    let error = refusal(&client_with(&https(&server.base_url), "{}"));
    let facts = (error.kind(), error.phase(), error.billed(), error.retryable());
    assert_eq!(facts, (Kind::Connection, Some(Phase::Tls), Billed::No, true), "{error}");
    assert!(error.message().contains("127.0.0.1"), "{error}");
    server.join();
}

// ---- sessions and connections -------------------------------------------------------------------

#[test]
fn ten_calls_are_one_connection_and_one_handshake() {
    let authority = Authority::new("elk");
    for versions in BOTH_VERSIONS {
        let sim = authority.server().serve_only(versions);
        let client = client_with(&sim.base_url(), &trusting(&authority.pem()));
        for _ in 0..10 {
            client.chat_completions(HELLO, None).unwrap();
        }
        let stats = sim.stats();
        assert_eq!((stats.requests, stats.accepted, stats.tls_handshakes), (10, 1, 1), "{versions:?}");
    }
}

#[test]
fn later_connections_resume_the_first_ones_session() {
    let authority = Authority::new("elk");
    for versions in BOTH_VERSIONS {
        let sim = authority.server().serve_only(versions);
        let client = client_with(&sim.base_url(), &trusting(&authority.pem()));
        for _ in 0..3 {
            client.chat_completions(HELLO, None).unwrap();
            client.close_idle();
        }
        let stats = sim.stats();
        assert_eq!((stats.accepted, stats.tls_handshakes, stats.tls_resumed), (3, 3, 2), "{versions:?}");
    }
}

#[test]
fn sessions_are_not_shared_among_clients() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    for _ in 0..2 {
        client_with(&sim.base_url(), &trusting(&authority.pem())).chat_completions(HELLO, None).unwrap();
    }
    assert_eq!((sim.stats().tls_handshakes, sim.stats().tls_resumed), (2, 0));
}

#[test]
fn a_connection_opened_ahead_serves_the_first_call_though_tickets_came_meanwhile() {
    let authority = Authority::new("elk");
    for versions in BOTH_VERSIONS {
        let sim = authority.server().serve_only(versions);
        let client = client_with(&sim.base_url(), &trusting(&authority.pem()));
        client.warm_up(None).unwrap();
        wait_for("the handshake ends", || sim.stats().tls_handshakes == 1);
        for _ in 0..2 {
            client.chat_completions(HELLO, None).unwrap();
        }
        assert_eq!(sim.stats().accepted, 1, "{versions:?}");
    }
}

#[test]
fn records_without_content_between_two_replies_do_not_cost_the_connection() {
    let authority = Authority::new("elk");
    let server = tls_server(&authority.server(), |listener, config| {
        let mut stream = tls_accept(&listener, config);
        Request::read(&mut stream);
        stream.write_all(&kept("one")).unwrap();
        // A new key is announced while the connection lies idle, as late tickets would be.
        stream.conn.refresh_traffic_keys().unwrap();
        stream.flush().unwrap();
        Request::read(&mut stream);
        stream.write_all(&kept("two")).unwrap();
    });
    let client = client_with(&https(&server.base_url), &trusting(&authority.pem()));
    for word in ["one", "two"] {
        assert_eq!(client.chat_completions(HELLO, None).unwrap().text(), word);
    }
    server.join();
}

#[test]
fn bytes_that_nobody_asked_for_are_never_read_as_a_reply() {
    let authority = Authority::new("elk");
    // The last fills what one read takes, so that the surplus stays behind it.
    for (records, writes, length) in [(1, 1, 0), (2, 1, 0), (2, 2, 0), (2, 1, 16_384)] {
        let (told, written) = mpsc::channel();
        let server = tls_server(&authority.server(), move |listener, config| {
            for word in ["one", "two"] {
                let mut stream = tls_accept(&listener, config.clone());
                Request::read(&mut stream);
                let mut reply = kept(word);
                if reply.len() < length {
                    // The length itself grows by three digits.
                    reply = kept(&format!("{word}{}", " ".repeat(length - reply.len() - 3)));
                    assert_eq!(reply.len(), length);
                }
                let surplus = kept("surplus");
                if records == 1 {
                    stream.conn.writer().write_all(&[reply, surplus].concat()).unwrap();
                } else {
                    stream.conn.writer().write_all(&reply).unwrap();
                    if writes == 2 {
                        stream.flush().unwrap();
                    }
                    stream.conn.writer().write_all(&surplus).unwrap();
                }
                stream.flush().unwrap();
                told.send(()).unwrap();
                let _ = stream.read(&mut [0]);
            }
        });
        let client = client_with(&https(&server.base_url), &trusting(&authority.pem()));
        for word in ["one", "two"] {
            let answer = client.chat_completions(HELLO, None).unwrap();
            assert_eq!(answer.text().trim_end(), word, "{records} records in {writes} writes");
            // All of it is there before the next call looks.
            written.recv_timeout(BOUND).unwrap();
        }
        drop(client);
        server.join();
    }
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_is_replaced_silently() {
    let authority = Authority::new("elk");
    for said in [true, false] {
        let (told, closed) = mpsc::channel();
        let server = tls_server(&authority.server(), move |listener, config| {
            for word in ["one", "two", "three"] {
                let mut stream = tls_accept(&listener, config.clone());
                Request::read(&mut stream);
                stream.write_all(&kept(word)).unwrap();
                if said {
                    say_the_end(&mut stream);
                }
                drop(stream);
                told.send(()).unwrap();
            }
        });
        let client = client_with(&https(&server.base_url), &trusting(&authority.pem()));
        for word in ["one", "two", "three"] {
            assert_eq!(client.chat_completions(HELLO, None).unwrap().text(), word, "said: {said}");
            closed.recv_timeout(BOUND).unwrap();
        }
        server.join();
    }
}

// ---- bodies -------------------------------------------------------------------------------------

/// A text of that many bytes, none of whose parts can be mistaken for another.
fn long_text(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    for number in 0u32.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&format!("{number} "));
    }
    text.truncate(bytes);
    text
}

#[test]
fn large_bodies_arrive_whole_both_ways_in_every_framing() {
    let authority = Authority::new("elk");
    let sent = json!({ "messages": [{ "role": "user", "content": long_text(12 << 20) }] }).to_string();
    let received = long_text(8 << 20);
    for framing in ["length", "chunked", "close"] {
        let body = body_of(&received);
        let server = tls_server(&authority.server(), move |listener, config| {
            let mut stream = tls_accept(&listener, config);
            let request = Request::read(&mut stream);
            match framing {
                "length" => stream.write_all(&reply("200 OK", &["Content-Type: application/json"], &body)),
                "chunked" => {
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                                Transfer-Encoding: chunked\r\n\r\n";
                    stream.write_all(head.as_bytes()).unwrap();
                    // Of sizes that meet no boundary of records or buffers.
                    for chunk in body.chunks(70_001) {
                        let line = format!("{:x}\r\n", chunk.len());
                        stream.write_all(&[line.as_bytes(), chunk, b"\r\n"].concat()).unwrap();
                    }
                    stream.write_all(b"0\r\n\r\n")
                }
                _ => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n").unwrap();
                    stream.write_all(&body)
                }
            }
            .unwrap();
            say_the_end(&mut stream);
            request.json()["messages"].clone()
        });
        let client = client_with(&https(&server.base_url), &trusting(&authority.pem()));
        let answer = client.chat_completions(&sent, None).unwrap();
        assert!(answer.text() == received, "{framing}: {} bytes came", answer.text().len());
        let wanted: Value = serde_json::from_str(&sent).unwrap();
        assert!(server.join() == wanted["messages"], "{framing}: the request came otherwise");
    }
}

/// The body of a good answer with this text.
fn body_of(text: &str) -> Vec<u8> {
    let mut bytes = answer(text);
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    bytes.split_off(head + 4)
}

#[test]
fn replies_in_records_of_every_size_arrive_whole() {
    let authority = Authority::new("elk");
    let text = long_text(2_000_000);
    // Beside equal ones a mixture, in which a long record ends just before many short ones.
    for record in [Some(1), Some(100), Some(4_096), Some(16_384), None] {
        let bytes = if record == Some(1) { kept("elk") } else { kept(&text) };
        let server = tls_server(&authority.server(), move |listener, config| {
            let mut stream = tls_accept(&listener, config);
            Request::read(&mut stream);
            stream.conn.set_buffer_limit(None);
            let mut random = Random(0x0e1c_a91e_5eed_0002);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let drawn = [16_384, 1 + random.below(300), 1 + random.below(5_000)][random.below(3)];
                let (now, later) = rest.split_at(record.unwrap_or(drawn).min(rest.len()));
                stream.conn.writer().write_all(now).unwrap();
                rest = later;
            }
            stream.flush().unwrap();
        });
        let client = client_with(&https(&server.base_url), &trusting(&authority.pem()));
        let answer = client.chat_completions(HELLO, None).unwrap();
        assert!(answer.text() == if record == Some(1) { "elk" } else { &text }, "records of {record:?}");
        server.join();
    }
}

#[test]
fn a_reply_that_only_the_end_completes_needs_the_end_to_be_said() {
    let authority = Authority::new("elk");
    for said in [true, false] {
        let server = tls_server(&authority.server(), move |listener, config| {
            let mut stream = tls_accept(&listener, config);
            Request::read(&mut stream);
            let body = body_of("elk");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n").unwrap();
            stream.write_all(&body).unwrap();
            if said {
                say_the_end(&mut stream);
            }
        });
        let client = client_with(&https(&server.base_url), &trusting(&authority.pem()));
        let outcome = client.chat_completions(HELLO, None);
        server.join();
        if said {
            assert_eq!(outcome.unwrap().text(), "elk");
            continue;
        }
        let error = outcome.unwrap_err();
        let facts = (error.kind(), error.status(), error.billed(), error.phase(), error.retryable());
        let wanted = (Kind::Connection, Some(200), Billed::Yes, Some(Phase::Read), false);
        assert_eq!(facts, wanted, "{error}");
        assert!(error.message().contains("without TLS saying so"), "{error}");
        assert!(!error.body().is_empty(), "what arrived is kept");
    }
}

#[test]
fn a_body_that_ends_before_its_announced_length_is_broken_whatever_tls_says() {
    let authority = Authority::new("elk");
    for said in [true, false] {
        let server = tls_server(&authority.server(), move |listener, config| {
            let mut stream = tls_accept(&listener, config);
            Request::read(&mut stream);
            let whole = kept("elk");
            stream.write_all(&whole[..whole.len() - 5]).unwrap();
            if said {
                say_the_end(&mut stream);
            }
        });
        let client = client_with(&https(&server.base_url), &trusting(&authority.pem()));
        let error = refusal(&client);
        let facts = (error.kind(), error.status(), error.billed(), error.phase());
        assert_eq!(facts, (Kind::Connection, Some(200), Billed::Yes, Some(Phase::Read)), "{error}");
        server.join();
    }
}

#[test]
fn a_connection_that_ends_before_the_reply_may_have_been_billed() {
    let authority = Authority::new("elk");
    for said in [true, false] {
        let server = tls_server(&authority.server(), move |listener, config| {
            let mut stream = tls_accept(&listener, config);
            Request::read(&mut stream);
            if said {
                say_the_end(&mut stream);
            }
        });
        let client = client_with(&https(&server.base_url), &trusting(&authority.pem()));
        let error = refusal(&client);
        let facts = (error.kind(), error.status(), error.billed(), error.phase(), error.retryable());
        assert_eq!(facts, (Kind::Connection, None, Billed::Maybe, Some(Phase::Wait), false), "{error}");
        assert!(error.message().contains("closed the connection before a reply"), "{error}");
        assert_eq!(error.bytes_received(), 0, "tickets are no reply");
        server.join();
    }
}

#[test]
fn an_alert_in_the_middle_may_have_been_billed() {
    let authority = Authority::new("elk");
    let server = tls_server(&authority.server(), move |listener, config| {
        let mut stream = tls_accept(&listener, config);
        Request::read(&mut stream);
        // Not a record of this connection: the client cannot decrypt it.
        stream.sock.write_all(b"\x17\x03\x03\x00\x20aaaabbbbccccddddaaaabbbbccccdddd").unwrap();
        let _ = stream.sock.read_to_end(&mut Vec::new());
    });
    let error = refusal(&client_with(&https(&server.base_url), &trusting(&authority.pem())));
    let facts = (error.kind(), error.billed(), error.phase(), error.retryable());
    assert_eq!(facts, (Kind::Connection, Billed::Maybe, Some(Phase::Wait), false), "{error}");
    assert!(error.message().contains("127.0.0.1"), "{error}");
    server.join();
}

#[test]
fn a_refusal_in_the_middle_of_a_large_request_is_heard() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    let large = json!({ "messages": [{ "role": "user", "content": "moss ".repeat(3 << 20) }] }).to_string();
    let client = client_with(&sim.url("/fault/body-too-large/v1"), &trusting(&authority.pem()));
    let (outcome, took) = timed(|| client.chat_completions(&large, None));
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::PayloadTooLarge, Some(413)), "{error}");
    assert!(took < BOUND, "{took:?}");
}

#[test]
fn faults_look_the_same_through_tls() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    for (fault, kind, status, phase, billed) in [
        ("close-before-reply", Kind::Connection, None, Phase::Wait, Billed::Maybe),
        ("reset-before-reply", Kind::Connection, None, Phase::Wait, Billed::Maybe),
        ("half-header", Kind::Connection, None, Phase::Wait, Billed::Maybe),
        ("truncate", Kind::Connection, Some(200), Phase::Read, Billed::Yes),
        ("reset-mid-body", Kind::Connection, Some(200), Phase::Read, Billed::Yes),
        ("long-length", Kind::Connection, Some(200), Phase::Read, Billed::Yes),
    ] {
        let client = client_with(&sim.url(&format!("/fault/{fault}/v1")), &trusting(&authority.pem()));
        let error = refusal(&client);
        let facts = (error.kind(), error.status(), error.phase(), error.billed());
        assert_eq!(facts, (kind, status, Some(phase), billed), "{fault}: {error}");
    }
}

#[test]
fn replies_in_single_bytes_arrive_whole() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    let client = client_with(&sim.url("/fault/one-byte-writes/v1"), &trusting(&authority.pem()));
    for _ in 0..2 {
        client.chat_completions(HELLO, None).unwrap();
    }
    assert_eq!(sim.stats().accepted, 1);
}

// ---- limits and stopping ------------------------------------------------------------------------

#[test]
fn session_tickets_are_not_the_first_byte_of_a_reply() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve_only(TlsVersions::Only13);
    let options = json!({ "ca_pem": authority.pem(), "idle_timeout_ms": 100 }).to_string();
    let client = client_with(&sim.url("/delay/1000/v1"), &options);
    client.chat_completions(HELLO, None).unwrap();
    let options = json!({ "ca_pem": authority.pem(), "first_byte_timeout_ms": 100 }).to_string();
    let error = refusal(&client_with(&sim.url("/fault/stall-before-headers/v1"), &options));
    let facts = (error.kind(), error.limit(), error.phase(), error.bytes_received());
    assert_eq!(facts, (Kind::Timeout, Some(Limit::FirstByte), Some(Phase::Wait), 0), "{error}");
    let options = json!({ "ca_pem": authority.pem(), "idle_timeout_ms": 100 }).to_string();
    let error = refusal(&client_with(&sim.url("/fault/stall-mid-body/v1"), &options));
    assert_eq!((error.limit(), error.phase()), (Some(Limit::Idle), Some(Phase::Read)), "{error}");
}

#[test]
fn the_total_holds_against_a_server_that_drips_through_tls() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    let options = json!({ "ca_pem": authority.pem(), "total_timeout_ms": 500 }).to_string();
    let error = refusal(&client_with(&sim.url("/fault/drip-20/v1"), &options));
    assert_eq!((error.kind(), error.limit()), (Kind::Timeout, Some(Limit::Total)), "{error}");
}

/// Cancels a call once `begun` holds, and checks when and as what it ends.
fn assert_cancelled(client: &Client, phase: Phase, billed: Billed, begun: impl FnMut() -> bool) {
    let cancel = Cancel::new();
    let (of_call, client) = (cancel.clone(), client.clone());
    let call = thread::spawn(move || client.chat_completions(HELLO, Some(&of_call)));
    wait_for("the call gets so far", begun);
    let (outcome, took) = timed(|| {
        cancel.signal();
        call.join().unwrap()
    });
    let error = outcome.unwrap_err();
    let facts = (error.kind(), error.phase(), error.billed());
    assert_eq!(facts, (Kind::Cancelled, Some(phase), billed), "{error}");
    assert!(took < BOUND, "{took:?}");
}

#[test]
fn cancel_during_the_tls_handshake_returns_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("https://{}/v1", listener.local_addr().unwrap());
    let client = client_with(&base_url, r#"{"connect_timeout_ms": 60000}"#);
    let accepting = thread::spawn(move || {
        let mut socket = accept(&listener);
        read_record(&mut socket);
        socket
    });
    assert_cancelled(&client, Phase::Tls, Billed::No, || accepting.is_finished());
    drop(accepting.join().unwrap());
}

#[test]
fn cancel_while_waiting_and_while_reading_through_tls_returns_at_once() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    for (fault, phase, billed) in
        [("stall-before-headers", Phase::Wait, Billed::Maybe), ("stall-mid-body", Phase::Read, Billed::Maybe)]
    {
        let client =
            client_with(&sim.url(&format!("/s/{fault}/fault/{fault}/v1")), &trusting(&authority.pem()));
        let mut looks = 0;
        assert_cancelled(&client, phase, billed, || {
            // The half reply has some milliseconds to arrive.
            looks += u32::from(sim.stats_of(fault).in_flight == 1);
            looks > 100
        });
    }
}

#[test]
fn cancel_while_sending_through_tls_returns_at_once() {
    let authority = Authority::new("elk");
    let sim = authority.server().serve();
    let client = client_with(&sim.url("/s/slow/fault/slow-read/v1"), &trusting(&authority.pem()));
    let cancel = Cancel::new();
    let of_call = cancel.clone();
    let large = json!({ "messages": [{ "role": "user", "content": "moss ".repeat(3 << 20) }] }).to_string();
    let call = thread::spawn(move || client.chat_completions(&large, Some(&of_call)));
    wait_for("the request is under way", || sim.stats_of("slow").in_flight == 1);
    cancel.signal();
    let error = call.join().unwrap().unwrap_err();
    let facts = (error.kind(), error.phase(), error.billed());
    assert_eq!(facts, (Kind::Cancelled, Some(Phase::Send), Billed::No), "{error}");
}

// ---- options ------------------------------------------------------------------------------------

/// The error of a client that cannot be made with these options.
fn unusable(options: Value) -> Error {
    let mut all = options;
    for (name, value) in [
        ("environment", json!(false)),
        ("api_key", json!(KEY)),
        ("base_url", json!("https://127.0.0.1:9/v1")),
    ] {
        all[name] = value;
    }
    let outcome = Config::from_json(&all.to_string()).and_then(Client::new);
    let error = outcome.err().unwrap_or_else(|| panic!("a client was made of {all}"));
    assert_eq!((error.kind(), error.billed()), (Kind::Config, Billed::No), "{error}");
    error
}

fn assert_says(error: &Error, option: &str, words: &[&str]) {
    assert_eq!(error.param(), Some(option), "{error}");
    for words in words {
        assert!(error.message().contains(words), "{words:?} is not said: {error}");
    }
}

#[test]
fn files_that_are_missing_or_hold_nothing_of_use_are_named() {
    let directory = Directory::new();
    let path = directory.0.to_str().unwrap();
    let empty = directory.file("empty.pem", "");
    let prose = directory.file("prose.pem", "An elk is a large deer.\n");
    let identity = Authority::new("elk").server();
    let (cert, key) = (directory.file("cert.pem", &identity.chain), directory.file("key.pem", &identity.key));
    let missing = format!("{path}/missing.pem");
    for file in [&missing, path, &empty, &prose, &key] {
        assert_says(&unusable(json!({ "ca_file": file })), "ca_file", &["\"ca_file\"", file]);
        let options = json!({ "client_cert_file": file, "client_key_file": key });
        assert_says(&unusable(options), "client_cert_file", &["\"client_cert_file\"", file]);
    }
    for file in [&missing, path, &empty, &prose, &cert] {
        let options = json!({ "client_cert_file": cert, "client_key_file": file });
        assert_says(&unusable(options), "client_key_file", &["\"client_key_file\"", file]);
    }
    for text in ["", "An elk is a large deer.", &identity.key] {
        assert_says(&unusable(json!({ "ca_pem": text })), "ca_pem", &["no certificate in PEM"]);
    }
}

#[test]
fn the_block_that_cannot_be_used_is_told() {
    let good = Authority::new("elk").pem();
    let directory = Directory::new();
    for bad in [
        "-----BEGIN CERTIFICATE-----\nMIIB!!!!\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nZWxr\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nZWxr\n",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    ] {
        let text = format!("{good}{bad}");
        assert_says(&unusable(json!({ "ca_pem": text })), "ca_pem", &["block 2 of the text"]);
        let file = directory.file("authorities.pem", &text);
        assert_says(&unusable(json!({ "ca_file": file })), "ca_file", &["block 2 of the file", &file]);
    }
}

#[test]
fn a_certificate_and_a_key_need_each_other() {
    let directory = Directory::new();
    let (one, other) = (Authority::new("elk").server(), Authority::new("elk").server());
    let (cert, key) = (directory.file("cert.pem", &one.chain), directory.file("key.pem", &one.key));
    let others = directory.file("others.pem", &other.key);
    assert_says(
        &unusable(json!({ "client_cert_file": cert })),
        "client_key_file",
        &["client_cert_file", "both"],
    );
    assert_says(
        &unusable(json!({ "client_key_file": key })),
        "client_cert_file",
        &["client_key_file", "both"],
    );
    let options = json!({ "client_cert_file": cert, "client_key_file": others });
    assert_says(&unusable(options), "client_key_file", &["is not the key of the first certificate"]);
}

#[test]
fn a_key_behind_a_password_is_told_as_such() {
    let directory = Directory::new();
    let cert = directory.file("cert.pem", &Authority::new("elk").server().chain);
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nZWxr\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let options = json!({ "client_cert_file": cert, "client_key_file": directory.file("key.pem", locked) });
    assert_says(&unusable(options), "client_key_file", &["protected by a password"]);
}

#[test]
fn min_tls_takes_two_values_only() {
    for nonsense in ["", "1.1", "1.4", "TLS 1.3", "1.2 ", "ł"] {
        let error = unusable(json!({ "min_tls": nonsense }));
        assert_says(&error, "min_tls", &["\"1.2\" or \"1.3\""]);
    }
    assert_says(&unusable(json!({ "min_tls": 1.3 })), "min_tls", &["a string"]);
    assert_says(
        &unusable(json!({ "insecure_skip_verify": "yes" })),
        "insecure_skip_verify",
        &["true or false"],
    );
}

#[test]
fn mutated_certificates_and_keys_never_do_worse_than_a_config_error() {
    let identity = Authority::new("elk").server();
    let directory = Directory::new();
    let mut random = Random(0x0e1c_a91e_5eed_0001);
    let mut outcomes = HashSet::new();
    for round in 0..250 {
        let mut chain = identity.chain.clone().into_bytes();
        let mut key = identity.key.clone().into_bytes();
        random.spoil(&mut chain);
        if round % 2 == 0 {
            random.spoil(&mut key);
        }
        let (cert_file, key_file) = (directory.0.join("cert.pem"), directory.0.join("key.pem"));
        fs::write(&cert_file, &chain).unwrap();
        fs::write(&key_file, &key).unwrap();
        for options in [
            json!({ "ca_pem": String::from_utf8_lossy(&chain) }),
            json!({ "ca_file": cert_file }),
            json!({ "client_cert_file": cert_file, "client_key_file": key_file }),
        ] {
            let mut all = options;
            all["environment"] = json!(false);
            all["api_key"] = json!(KEY);
            match Config::from_json(&all.to_string()).and_then(Client::new) {
                Ok(_) => {
                    outcomes.insert(None);
                }
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Config, "round {round}: {error}");
                    assert!(error.param().is_some(), "round {round}: {error}");
                    outcomes.insert(error.param().map(str::to_owned));
                }
            }
        }
    }
    assert!(outcomes.len() > 2, "the mutations meet little: {outcomes:?}");
}

impl Random {
    /// Changes some bytes of a PEM text.
    fn spoil(&mut self, text: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(text.len());
            match self.below(6) {
                0 => text.truncate(at),
                1 => text.insert(at, b"\0\n-=\xff A"[self.below(7)]),
                2 => {
                    let end = (at + self.below(80)).min(text.len());
                    text.drain(at..end);
                }
                3 => text.extend_from_within(at..),
                _ => {
                    if let Some(byte) = text.get_mut(at) {
                        // Mostly a letter that base64 knows, so that what is inside changes.
                        *byte = b"ABCxyz019+/="[self.below(12)];
                    }
                }
            }
        }
    }
}

// ---- servers made by hand -----------------------------------------------------------------------

fn https(base_url: &str) -> String {
    base_url.replace("http://", "https://")
}

/// One TLS record in clear: the client's first message.
fn read_record(socket: &mut TcpStream) -> Vec<u8> {
    let mut record = vec![0; 5];
    socket.read_exact(&mut record).unwrap();
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(5 + length, 0);
    socket.read_exact(&mut record[5..]).unwrap();
    record
}

type TlsStream = StreamOwned<ServerConnection, TcpStream>;

/// A server of TLS that does what it is told.
fn tls_server<T: Send + 'static>(
    identity: &Identity,
    serve: impl FnOnce(TcpListener, Arc<ServerConfig>) -> T + Send + 'static,
) -> Server<T> {
    let chain = CertificateDer::pem_slice_iter(identity.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Server::start(move |listener| serve(listener, Arc::new(config)))
}

fn tls_accept(listener: &TcpListener, config: Arc<ServerConfig>) -> TlsStream {
    StreamOwned::new(ServerConnection::new(config).unwrap(), accept(listener))
}

/// Ends the connection as TLS wants it.
fn say_the_end(stream: &mut TlsStream) {
    stream.conn.send_close_notify();
    stream.flush().unwrap();
}

/// A good reply after which the connection goes on.
fn kept(text: &str) -> Vec<u8> {
    reply("200 OK", &["Content-Type: application/json"], &body_of(text))
}
