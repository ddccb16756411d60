//! Proxies as they really are: those that serve, refuse, lie, stall and vanish, and whose word counts
//! about which one is used.

#![allow(clippy::unwrap_used)]

#[path = "common/certificates.rs"]
mod certificates;
mod common;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use certificates::Authority;
use common::{BOUND, HELLO, client_with, simulator, timed, wait_for};
use elkapi::{Billed, Cancel, Client, Config, Error, Kind, Limit, Phase};
use serde_json::json;

/// In the URLs of all proxies with a login, and decoded.
const LOGIN: &str = "Alfred:p%40ss%2Fw0rd";
const USER: &str = "Alfred";
const PASSWORD: &str = "p@ss/w0rd";
/// `Alfred:p@ss/w0rd` in base64.
const BASIC: &str = "QWxmcmVkOnBAc3MvdzByZA==";

const GRANTED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Nothing that a person or a program reads about an error may hold the login.
fn assert_no_login(error: &Error) {
    let words = format!("{error}\n{error:?}\n{}\n{}", error.document(), error.call_document());
    for secret in [USER, PASSWORD, "p@s", "p%40ss", "w0rd", BASIC, &BASIC[10..20]] {
        assert!(!words.contains(secret), "{secret} is shown: {words}");
    }
}

/// A proxy that does with every connection what it is told, and notes what it was asked for.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// One connection of a client to a proxy.
struct Guest {
    socket: TcpStream,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(serve: impl Fn(Guest) -> io::Result<()> + Send + Sync + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let (asked, serve) = (proxy.asked.clone(), Arc::new(serve));
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let (serve, asked) = (serve.clone(), asked.clone());
                socket.set_read_timeout(Some(BOUND)).unwrap();
                // A client that leaves is no failure of the proxy.
                thread::spawn(move || serve(Guest { socket, asked }));
            }
        });
        proxy
    }

    /// A good one for CONNECT, which may want `LOGIN` and may send the tunnel elsewhere.
    fn http(wants_login: bool, elsewhere: Option<SocketAddr>) -> Proxy {
        Proxy::start(move |mut guest| {
            let head = guest.read_head()?;
            if wants_login && !head.contains(&format!("\r\nProxy-Authorization: Basic {BASIC}\r\n")) {
                let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
                return guest.socket.write_all(refusal.as_bytes());
            }
            let place = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let target = match elsewhere {
                Some(address) => TcpStream::connect(address)?,
                None => TcpStream::connect(place)?,
            };
            guest.socket.write_all(GRANTED)?;
            guest.relay(target)
        })
    }

    /// One for CONNECT that gives this reply, byte for byte, and closes.
    fn replying(reply: impl Into<Vec<u8>>) -> Proxy {
        let reply = reply.into();
        Proxy::start(move |mut guest| {
            guest.read_head()?;
            guest.socket.write_all(&reply)?;
            guest.hang_up()
        })
    }

    /// A good one for SOCKS5, which may want `LOGIN` and may send the tunnel elsewhere.
    fn socks(wants_login: bool, elsewhere: Option<SocketAddr>) -> Proxy {
        Proxy::start(move |mut guest| {
            let place = guest.socks_request(wants_login)?;
            let Ok(target) = elsewhere.map_or_else(|| TcpStream::connect(&place), TcpStream::connect) else {
                return guest.socket.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
            };
            // A name as the bound address, whose length must be read over.
            guest.socket.write_all(b"\x05\x00\x00\x03\x05bound\x12\x34")?;
            guest.relay(target)
        })
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    fn url_with_login(&self, scheme: &str) -> String {
        format!("{scheme}://{LOGIN}@{}", self.address)
    }

    /// What it was asked for, one entry per connection.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Guest {
    fn note(&self, what: impl Into<String>) {
        self.asked.lock().unwrap().push(what.into());
    }

    /// Reads the head of a request, and notes it.
    fn read_head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.read::<1>()?[0]);
        }
        let head = String::from_utf8(head).unwrap();
        self.note(head.clone());
        Ok(head)
    }

    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.socket.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read_text(&mut self) -> io::Result<String> {
        let mut text = vec![0; usize::from(self.read::<1>()?[0])];
        self.socket.read_exact(&mut text)?;
        Ok(String::from_utf8(text).unwrap())
    }

    /// SOCKS5 up to the request, whose target is noted and returned.
    fn socks_request(&mut self, wants_login: bool) -> io::Result<String> {
        let [5, count] = self.read()? else { panic!("not SOCKS5") };
        let mut methods = vec![0; usize::from(count)];
        self.socket.read_exact(&mut methods)?;
        if wants_login {
            if !methods.contains(&2) {
                self.socket.write_all(&[5, 0xff])?;
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            self.socket.write_all(&[5, 2])?;
            assert_eq!(self.read()?, [1]);
            let login = (self.read_text()?, self.read_text()?);
            let good = login == (USER.to_owned(), PASSWORD.to_owned());
            self.socket.write_all(&[1, u8::from(!good)])?;
            if !good {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        } else {
            assert!(methods.contains(&0));
            self.socket.write_all(&[5, 0])?;
        }
        let [5, 1, 0, kind] = self.read()? else { panic!("not CONNECT") };
        let host = match kind {
            1 => format!("{}", std::net::Ipv4Addr::from(self.read::<4>()?)),
            3 => self.read_text()?,
            4 => format!("[{}]", std::net::Ipv6Addr::from(self.read::<16>()?)),
            other => panic!("address of type {other}"),
        };
        let place = format!("{host}:{}", u16::from_be_bytes(self.read()?));
        self.note(place.clone());
        Ok(place)
    }

    fn relay(self, target: TcpStream) -> io::Result<()> {
        let (mut from, mut to) = (self.socket.try_clone()?, target.try_clone()?);
        self.socket.set_read_timeout(None)?;
        let back = thread::spawn(move || {
            let (mut from, mut to) = (target, self.socket);
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
        let _ = back.join();
        Ok(())
    }

    /// Ends the connection in order, whatever still comes.
    fn hang_up(mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)?;
        io::copy(&mut self.socket, &mut io::sink()).map(drop)
    }

    /// Says nothing until the client leaves.
    fn fall_silent(mut self) -> io::Result<()> {
        self.socket.set_read_timeout(None)?;
        io::copy(&mut self.socket, &mut io::sink()).map(drop)
    }
}

/// A client of that gateway through that proxy.
fn through(proxy: &str, base_url: &str) -> Client {
    client_with(base_url, &json!({"proxy": proxy, "allow_http": true}).to_string())
}

/// Asks once; the error, which must come in time and show no login.
#[track_caller]
fn refusal(client: &Client) -> Error {
    let (outcome, took) = timed(|| client.chat_completions(HELLO, None));
    let error = match outcome {
        Err(error) => error,
        Ok(answer) => panic!("it was answered: {:?}", answer.text()),
    };
    assert!(took < BOUND, "it took {took:?}: {error}");
    assert_no_login(&error);
    error
}

/// That the proxy is at fault, that nothing was sent or billed, and whether it may pass.
#[track_caller]
fn assert_proxy(error: &Error, phase: Phase, retryable: bool, words: &str) {
    let facts = (error.kind(), error.phase(), error.billed(), error.status(), error.bytes_sent());
    assert_eq!(facts, (Kind::Proxy, Some(phase), Billed::No, None, 0), "{error}");
    assert_eq!(error.retryable(), retryable, "{error}");
    assert!(error.message().contains(words), "{words:?} is not said: {error}");
}

// ---- good ones ----------------------------------------------------------------------------------

#[test]
fn a_call_goes_through_a_tunnel_and_keeps_it_for_the_next() {
    let sim = simulator();
    for (proxy, scheme) in [(Proxy::http(false, None), "http"), (Proxy::socks(false, None), "socks5h")] {
        let client = through(&proxy.url(scheme), &sim.base_url());
        for _ in 0..3 {
            client.chat_completions(HELLO, None).unwrap();
        }
        assert_eq!(proxy.asked().len(), 1, "{scheme}: one tunnel for all calls");
        assert!(proxy.asked()[0].contains(&sim.address().to_string()), "{:?}", proxy.asked());
    }
    assert_eq!(sim.stats().requests, 6);
}

#[test]
fn connect_names_the_target_and_says_nothing_else() {
    let sim = simulator();
    let proxy = Proxy::http(false, Some(sim.address()));
    for (base_url, place) in [
        ("http://gateway.invalid/v1", "gateway.invalid:80"),
        ("http://gateway.invalid:8080/v1", "gateway.invalid:8080"),
        ("http://10.1.2.3/v1", "10.1.2.3:80"),
        ("http://[2001:db8::1]/v1", "[2001:db8::1]:80"),
    ] {
        through(&proxy.url("http"), base_url).chat_completions(HELLO, None).unwrap();
        let head = proxy.asked().pop().unwrap();
        assert_eq!(head, format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n"));
    }
}

#[test]
fn the_login_is_sent_to_the_proxy_and_to_nobody_else() {
    let sim = simulator();
    for (proxy, scheme) in [(Proxy::http(true, None), "http"), (Proxy::socks(true, None), "socks5h")] {
        through(&proxy.url_with_login(scheme), &sim.base_url()).chat_completions(HELLO, None).unwrap();
    }
    let gateway = common::one_reply(common::answer("moss"));
    let proxy = Proxy::http(true, None);
    through(&proxy.url_with_login("http"), &gateway.base_url).chat_completions(HELLO, None).unwrap();
    assert!(gateway.join().field("proxy-authorization").is_none());
}

#[test]
fn a_tunnel_carries_tls_to_the_gateway() {
    let authority = Authority::new("tunnel");
    let sim = authority.server().serve();
    for (proxy, scheme) in [
        (Proxy::http(true, None), "http"),
        (Proxy::socks(true, None), "socks5"),
        (Proxy::socks(true, None), "socks5h"),
    ] {
        let options = json!({"proxy": proxy.url_with_login(scheme), "ca_pem": authority.pem()}).to_string();
        let client = client_with(&sim.base_url(), &options);
        client.warm_up(None).unwrap();
        client.chat_completions(HELLO, None).unwrap();
        client.chat_completions(HELLO, None).unwrap();
        assert_eq!(proxy.asked().len(), 1, "{scheme}");
    }
    // The certificate is the target's business: a proxy that leads elsewhere is found out.
    let proxy = Proxy::http(false, Some(sim.address()));
    let options = json!({"proxy": proxy.url("http"), "ca_pem": authority.pem()}).to_string();
    let error = refusal(&client_with("https://gateway.invalid/v1", &options));
    assert_eq!((error.kind(), error.phase()), (Kind::Tls, Some(Phase::Tls)), "{error}");
}

#[test]
fn socks5_looks_names_up_here_and_socks5h_leaves_it_to_the_proxy() {
    let sim = simulator();
    let port = sim.address().port();
    let base_url = format!("http://localhost:{port}/v1");
    let proxy = Proxy::socks(false, None);
    through(&proxy.url("socks5h"), &base_url).chat_completions(HELLO, None).unwrap();
    assert_eq!(proxy.asked(), [format!("localhost:{port}")]);
    // Where this machine names itself by IPv6 first, the proxy cannot reach that, and IPv4 is next.
    let proxy = Proxy::socks(false, None);
    through(&proxy.url("socks5"), &base_url).chat_completions(HELLO, None).unwrap();
    assert_eq!(proxy.asked().last().unwrap(), &format!("127.0.0.1:{port}"));

    let proxy = Proxy::socks(false, Some(sim.address()));
    through(&proxy.url("socks5h"), "http://gateway.invalid/v1").chat_completions(HELLO, None).unwrap();
    through(&proxy.url("socks5h"), "http://10.1.2.3/v1").chat_completions(HELLO, None).unwrap();
    through(&proxy.url("socks5"), "http://[2001:db8::1]/v1").chat_completions(HELLO, None).unwrap();
    assert_eq!(proxy.asked(), ["gateway.invalid:80", "10.1.2.3:80", "[2001:db8::1]:80"]);
    let error = refusal(&through(&proxy.url("socks5"), "http://gateway.invalid/v1"));
    assert_eq!((error.kind(), error.phase()), (Kind::Dns, Some(Phase::Dns)), "{error}");
    assert_eq!(proxy.asked().len(), 3);
}

#[test]
fn a_tunnel_is_taken_however_it_is_granted() {
    let sim = simulator();
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Filter: looked at this, too\r\n".repeat(300));
    for granted in [
        "HTTP/1.0 200 Connection established\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 299 As you like\r\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nVia: a proxy of few words\n\n",
        &many,
    ] {
        let (reply, target) = (granted.to_owned(), sim.address());
        let proxy = Proxy::start(move |mut guest| {
            guest.read_head()?;
            // In pieces, which must be put together.
            for piece in reply.as_bytes().chunks(reply.len().min(700).div_ceil(3)) {
                guest.socket.write_all(piece)?;
                guest.socket.flush()?;
            }
            guest.relay(TcpStream::connect(target)?)
        });
        let answer = through(&proxy.url("http"), &sim.base_url()).chat_completions(HELLO, None);
        assert!(answer.is_ok(), "{granted:.60?}: {answer:?}");
    }
}

// ---- those that refuse --------------------------------------------------------------------------

#[test]
fn a_wrong_or_missing_login_is_told_apart() {
    let sim = simulator();
    for (proxy, scheme) in [(Proxy::http(true, None), "http"), (Proxy::socks(true, None), "socks5h")] {
        let error = refusal(&through(&proxy.url(scheme), &sim.base_url()));
        assert_proxy(&error, Phase::Proxy, false, "wants a login");
        let wrong = format!("{scheme}://{USER}:no-{PASSWORD}@{}", proxy.address).replace("/w", "%2Fw");
        let error = refusal(&through(&wrong, &sim.base_url()));
        assert_proxy(&error, Phase::Proxy, false, "refused the login");
        assert!(error.message().contains(&format!("The proxy {}", proxy.address)), "{error}");
    }
    let ntlm = "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n";
    let proxy = Proxy::replying(ntlm);
    let error = refusal(&through(&proxy.url_with_login("http"), &sim.base_url()));
    assert_proxy(
        &error,
        Phase::Proxy,
        false,
        "wants a login by NTLM or Negotiate (407), which is not supported",
    );
    // Some answer a wrong login like a server.
    let proxy = Proxy::replying("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n");
    let error = refusal(&through(&proxy.url_with_login("http"), &sim.base_url()));
    assert_proxy(&error, Phase::Proxy, false, "refused the login (401)");
    assert_eq!(sim.stats().accepted, 0);
}

#[test]
fn a_refused_tunnel_says_why_and_whether_it_may_pass() {
    for (status, retryable) in [
        ("301 Moved Permanently", false),
        ("400 Bad Request", false),
        ("403 Forbidden by policy", false),
        ("404 Not Found", false),
        ("405 Method Not Allowed", false),
        ("429 Too Many Requests", true),
        ("500 Internal Server Error", false),
        ("502 Bad Gateway", true),
        ("503 Service Unavailable", true),
        ("504 Gateway Timeout", true),
        ("101 Switching Protocols", false),
    ] {
        let body = "<html><body>It is <b>not</b> to be.</body></html>";
        let reply = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let proxy = Proxy::replying(reply);
        let error = refusal(&through(&proxy.url("http"), "https://gateway.invalid/v1"));
        let words =
            format!("The proxy {} refused the tunnel to gateway.invalid:443 with {status}.", proxy.address);
        assert_proxy(&error, Phase::Proxy, retryable, &words);
    }
}

#[test]
fn every_reply_code_of_socks5_is_put_into_words() {
    for (code, retryable, words) in [
        (1, true, "general failure"),
        (2, false, "its rules do not allow it"),
        (3, true, "network unreachable"),
        (4, true, "host unreachable"),
        (5, true, "connection refused"),
        (6, true, "time to live expired"),
        (7, false, "it does not know the command"),
        (8, false, "it does not know the type of address"),
        (9, false, "unknown code"),
        (255, false, "unknown code"),
    ] {
        let proxy = Proxy::start(move |mut guest| {
            guest.socks_request(false)?;
            // Some send no more than this.
            guest.socket.write_all(&[5, code, 0, 1])?;
            guest.hang_up()
        });
        let error = refusal(&through(&proxy.url("socks5h"), "https://gateway.invalid/v1"));
        let words = format!("refused the tunnel to gateway.invalid:443: {words} (SOCKS5 reply {code})");
        assert_proxy(&error, Phase::Proxy, retryable, &words);
    }
}

#[test]
fn only_failures_that_may_pass_are_tried_again() {
    let sim = simulator();
    let options =
        |proxy: &Proxy| json!({"proxy": proxy.url("http"), "max_retries": 2, "base_delay_ms": 1}).to_string();
    let proxy = Proxy::replying("HTTP/1.1 503 Busy\r\n\r\n");
    let error = refusal(&client_with(&sim.base_url(), &options(&proxy)));
    assert_eq!((proxy.asked().len(), error.attempts().len()), (3, 3), "{error}");
    let proxy = Proxy::replying("HTTP/1.1 403 No\r\n\r\n");
    let error = refusal(&client_with(&sim.base_url(), &options(&proxy)));
    assert_eq!((proxy.asked().len(), error.attempts().len()), (1, 1), "{error}");

    let (once, target) = (Mutex::new(true), sim.address());
    let proxy = Proxy::start(move |mut guest| {
        guest.read_head()?;
        if std::mem::replace(&mut *once.lock().unwrap(), false) {
            return guest.socket.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
        }
        guest.socket.write_all(GRANTED)?;
        guest.relay(TcpStream::connect(target)?)
    });
    client_with(&sim.base_url(), &options(&proxy)).chat_completions(HELLO, None).unwrap();
    assert_eq!(proxy.asked().len(), 2);
}

// ---- those that are none ------------------------------------------------------------------------

#[test]
fn what_does_not_speak_http_is_no_http_proxy() {
    for (reply, words) in [
        (&b"\x05\xff"[..], "does not speak HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "does not speak HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
        (b"\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/2 200 OK\r\n\r\n", "does not speak proper HTTP"),
        (b"HTTP/1.1 OK\r\n\r\n", "does not speak proper HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "does not speak proper HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n", "17 bytes that nobody asked for"),
    ] {
        // It does not close: nobody must wait for more.
        let proxy = Proxy::start(move |mut guest| {
            guest.read_head()?;
            guest.socket.write_all(reply)?;
            guest.fall_silent()
        });
        let error = refusal(&through(&proxy.url_with_login("http"), "https://gateway.invalid/v1"));
        assert_proxy(&error, Phase::Proxy, false, words);
    }
}

#[test]
fn what_does_not_speak_socks5_is_no_socks5_proxy() {
    for (reply, words) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "not speak SOCKS5 but HTTP; its URL begins with http://"),
        (b"\x00\x5b\x00\x00\x00\x00\x00\x00", "SOCKS4, which is not supported"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "its reply begins with byte 21"),
        (b"\x05\x01", "login by method 1, which was not offered"),
        (b"\x05\xff", "takes no login by user and password"),
        (b"\x05\x02\x07\x00", "its answer to the login is malformed"),
        (b"\x05\x00\x05\x00\x00\x02", "names an address of type 2"),
        (b"\x05\x00\x04\x00\x00\x01", "SOCKS4, which is not supported"),
    ] {
        let proxy = Proxy::start(move |mut guest| {
            guest.socket.write_all(reply)?;
            guest.fall_silent()
        });
        let error = refusal(&through(&proxy.url_with_login("socks5h"), "https://gateway.invalid/v1"));
        assert_proxy(&error, Phase::Proxy, false, words);
    }
}

#[test]
fn a_proxy_that_closes_is_at_fault_wherever_it_does() {
    for reply in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"HTT"] {
        let proxy = Proxy::replying(reply);
        let error = refusal(&through(&proxy.url("http"), "https://gateway.invalid/v1"));
        assert_proxy(&error, Phase::Proxy, true, "closed the connection");
    }
    for reply in
        [&b""[..], b"\x05", b"\x05\x02", b"\x05\x02\x01\x00\x05\x00", b"\x05\x00\x05\x00\x00\x01\x00"]
    {
        let proxy = Proxy::start(move |mut guest| {
            guest.socket.write_all(reply)?;
            guest.hang_up()
        });
        let error = refusal(&through(&proxy.url_with_login("socks5h"), "https://gateway.invalid/v1"));
        assert_proxy(&error, Phase::Proxy, true, "closed the connection");
    }
}

#[test]
fn an_endless_head_ends_at_its_limit() {
    let proxy = Proxy::start(|mut guest| {
        guest.read_head()?;
        guest.socket.write_all(b"HTTP/1.1 200 OK\r\n")?;
        while guest.socket.write_all(b"X-More: and more\r\n").is_ok() {}
        Ok(())
    });
    let error = refusal(&through(&proxy.url("http"), "https://gateway.invalid/v1"));
    assert_proxy(&error, Phase::Proxy, false, "a head of more than 16384 bytes");
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for scheme in ["http", "socks5h"] {
        let error = refusal(&through(&format!("{scheme}://{LOGIN}@{address}"), "https://gateway.invalid/v1"));
        assert_proxy(
            &error,
            Phase::Connect,
            true,
            &format!("No connection could be made to the proxy {address}"),
        );
    }
    let error =
        refusal(&through(&format!("http://{LOGIN}@proxy.invalid:3128"), "https://gateway.invalid/v1"));
    assert_proxy(&error, Phase::Dns, true, "The name of the proxy proxy.invalid:3128 could not be resolved");
}

// ---- those that stall ---------------------------------------------------------------------------

/// Proxies that stop at each place of a handshake, with the scheme that leads there.
fn stalling() -> Vec<(Proxy, &'static str)> {
    let silent_after = |bytes: &'static [u8]| {
        Proxy::start(move |mut guest| {
            guest.socket.write_all(bytes)?;
            guest.note("now");
            guest.fall_silent()
        })
    };
    let drip = Proxy::start(|mut guest| {
        guest.socket.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
        guest.note("now");
        // One byte at a time is no life sign that the limit for connecting would heed.
        while guest.socket.write_all(b"x").is_ok() {
            thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    });
    vec![
        (silent_after(b""), "http"),
        (silent_after(b"HTTP/1.1 200 OK\r\n"), "http"),
        (drip, "http"),
        (silent_after(b""), "socks5h"),
        (silent_after(b"\x05\x02"), "socks5h"),
        (silent_after(b"\x05\x00"), "socks5h"),
        (silent_after(b"\x05\x00\x05\x00\x00\x01\x7f"), "socks5h"),
    ]
}

#[test]
fn the_limits_for_connecting_and_for_the_whole_call_cover_the_handshake() {
    for (name, limit) in [("connect_timeout_ms", Limit::Connect), ("total_timeout_ms", Limit::Total)] {
        for (proxy, scheme) in stalling() {
            let options = json!({"proxy": proxy.url_with_login(scheme), name: 200}).to_string();
            let error = refusal(&client_with("https://gateway.invalid/v1", &options));
            let facts = (error.kind(), error.limit(), error.phase(), error.billed(), error.bytes_sent());
            assert_eq!(facts, (Kind::Timeout, Some(limit), Some(Phase::Proxy), Billed::No, 0), "{error}");
            assert_eq!(error.retryable(), limit == Limit::Connect, "{error}");
        }
    }
}

#[test]
fn a_cancel_ends_the_handshake_at_once() {
    for (proxy, scheme) in stalling() {
        let client = through(&proxy.url_with_login(scheme), "https://gateway.invalid/v1");
        let cancel = Cancel::new();
        let signal = cancel.clone();
        let asked = proxy.asked.clone();
        let canceller = thread::spawn(move || {
            wait_for("the handshake", || !asked.lock().unwrap().is_empty());
            thread::park_timeout(Duration::from_millis(50));
            signal.signal();
        });
        let (outcome, took) = timed(|| client.chat_completions(HELLO, Some(&cancel)));
        canceller.join().unwrap();
        let error = outcome.expect_err("it was answered");
        let facts = (error.kind(), error.phase(), error.billed());
        assert_eq!(facts, (Kind::Cancelled, Some(Phase::Proxy), Billed::No), "{error}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

// ---- secrets ------------------------------------------------------------------------------------

#[test]
fn a_login_that_the_proxy_echoes_is_not_shown() {
    for echo in [
        format!("HTTP/1.1 403 {USER}:{PASSWORD} may not\r\n\r\n"),
        format!("HTTP/1.1 502 {LOGIN} {BASIC}\r\n\r\n"),
        format!("HTTP/1.1 502 {}{PASSWORD}\r\n\r\n", "x".repeat(100 - PASSWORD.len() / 2)),
        format!("HTTP/1.1 407 {PASSWORD}\r\nProxy-Authenticate: {PASSWORD}\r\n\r\n"),
    ] {
        let error =
            refusal(&through(&Proxy::replying(echo).url_with_login("http"), "https://gateway.invalid/v1"));
        assert_eq!(error.kind(), Kind::Proxy, "{error}");
    }
    // Where there is no TLS, it may also answer in the gateway's name.
    let body = format!(r#"{{"error":{{"message":"no, {PASSWORD} and {BASIC}","code":"{PASSWORD}"}}}}"#);
    let reply = common::reply("401 Unauthorized", &["Content-Type: application/json"], body.as_bytes());
    let proxy = Proxy::start(move |mut guest| {
        guest.read_head()?;
        guest.socket.write_all(GRANTED)?;
        guest.read_head()?;
        guest.socket.write_all(&reply)?;
        guest.hang_up()
    });
    let error = refusal(&through(&proxy.url_with_login("http"), "http://gateway.invalid/v1"));
    assert_eq!((error.kind(), error.status()), (Kind::Authentication, Some(401)), "{error}");
}

#[test]
fn nothing_that_can_be_printed_shows_the_login() {
    let config = common::config("https://gateway.invalid/v1").proxy(format!("http://{LOGIN}@proxy.invalid"));
    let debug = format!("{config:?}");
    assert!(debug.contains("proxy") && !debug.contains(USER) && !debug.contains("w0rd"), "{debug}");
    let debug = format!("{:?}", Client::new(config).unwrap());
    assert!(!debug.contains(USER) && !debug.contains("w0rd"), "{debug}");
    for scheme in ["https", "socks4", "http://x/http"] {
        let config = common::config("https://gateway.invalid/v1").proxy(format!("{scheme}://{LOGIN}@p"));
        let error = Client::new(config).expect_err(scheme);
        assert_eq!((error.kind(), error.param()), (Kind::Config, Some("proxy")), "{error}");
        assert!(error.message().contains("option \"proxy\""), "{error}");
        assert_no_login(&error);
    }
}

#[test]
fn a_key_does_not_travel_in_clear_to_a_proxy_elsewhere() {
    let config = |base_url: &str| common::config(base_url).proxy("http://proxy.invalid:3128");
    let error = Client::new(config("http://127.0.0.1:1/v1")).expect_err("the key would leave in clear");
    assert_eq!((error.kind(), error.param()), (Kind::Config, Some("proxy")), "{error}");
    assert!(error.message().contains("unencrypted"), "{error}");
    assert!(Client::new(config("https://127.0.0.1:1/v1")).is_ok());
    assert!(Client::new(config("http://127.0.0.1:1/v1").no_proxy("127.0.0.1")).is_ok());
    assert!(Client::new(config("http://127.0.0.1:1/v1").allow_http(true)).is_ok());
}

// ---- whose word counts --------------------------------------------------------------------------

#[test]
fn no_proxy_and_an_empty_proxy_lead_straight_there() {
    let sim = simulator();
    let proxy = Proxy::http(false, None);
    for options in [
        json!({"proxy": proxy.url("http"), "no_proxy": "example.com, 127.0.0.0/8"}),
        json!({"proxy": proxy.url("http"), "no_proxy": "*"}),
        json!({"proxy": ""}),
    ] {
        client_with(&sim.base_url(), &options.to_string()).chat_completions(HELLO, None).unwrap();
    }
    assert_eq!(proxy.asked().len(), 0);
    let elsewhere = json!({"proxy": proxy.url("http"), "no_proxy": "example.com"}).to_string();
    client_with(&sim.base_url(), &elsewhere).chat_completions(HELLO, None).unwrap();
    assert_eq!(proxy.asked().len(), 1);
}

/// What a client says that is made in a process with these variables, and then asked once.
fn child(options: serde_json::Value, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", "child_that_asks_once"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.env("CHILD_OPTIONS", options.to_string()).envs(variables.iter().copied());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
#[ignore = "started by other tests, with an environment of its own"]
fn child_that_asks_once() {
    let Ok(options) = std::env::var("CHILD_OPTIONS") else { return };
    match Client::new(Config::from_json(&options).unwrap()) {
        Err(error) => println!("cannot be made: {error}"),
        Ok(client) => match client.chat_completions(HELLO, None) {
            Ok(_) => println!("was answered"),
            Err(error) => println!("failed with {}: {error}", error.kind()),
        },
    }
}

#[test]
fn the_environments_proxy_is_used_unless_something_says_otherwise() {
    let http = Proxy::replying("HTTP/1.1 403 by the proxy for http\r\n\r\n");
    let https = Proxy::replying("HTTP/1.1 403 by the proxy for https\r\n\r\n");
    let (http, https) = (http.url("http"), https.url("http"));
    let (http, https) = (http.as_str(), https.as_str());
    let to_https = json!({"base_url": "https://api.gateway.invalid/v1"});
    let to_http = json!({"base_url": "http://api.gateway.invalid/v1", "allow_http": true});
    let with = |base: &serde_json::Value, name: &str, value: serde_json::Value| {
        let mut options = base.clone();
        options[name] = value;
        options
    };
    let both = [("HTTPS_PROXY", https), ("http_proxy", http)];
    let and = |more: (&'static str, &'static str)| [both[0], both[1], more];
    for (options, variables, says) in [
        (to_https.clone(), &both[..], "by the proxy for https"),
        (to_http.clone(), &both[..], "by the proxy for http."),
        (to_https.clone(), &[("all_proxy", http)][..], "by the proxy for http."),
        (to_http.clone(), &[("HTTP_PROXY", http), ("REQUEST_METHOD", "POST")][..], "failed with dns"),
        (to_https.clone(), &and(("NO_PROXY", "other.invalid, gateway.invalid"))[..], "failed with dns"),
        (to_https.clone(), &and(("no_proxy", "*"))[..], "failed with dns"),
        (with(&to_https, "environment", json!(false)), &both[..], "failed with dns"),
        (with(&to_https, "proxy", json!("")), &both[..], "failed with dns"),
        (with(&to_https, "no_proxy", json!("gateway.invalid")), &both[..], "failed with dns"),
        (with(&to_https, "proxy", json!(http)), &both[..], "by the proxy for http."),
        (with(&to_https, "proxy", json!(http)), &and(("NO_PROXY", "*"))[..], "by the proxy for http."),
        (
            to_https.clone(),
            &[("HTTPS_PROXY", "https://Alfred:w0rd@p")][..],
            "cannot be made: The environment variable HTTPS_PROXY asks for TLS",
        ),
    ] {
        let mut options = options;
        options["api_key"] = json!(common::KEY);
        options["max_retries"] = json!(0);
        let said = child(options.clone(), variables);
        assert!(said.contains(says), "{options} {variables:?}: {said}");
        assert!(!said.contains("w0rd"), "{said}");
    }
}

#[test]
fn this_machine_is_not_looked_for_behind_the_environments_proxy() {
    let sim = simulator();
    let proxy = Proxy::http(false, None);
    let url = proxy.url("http");
    for host in ["127.0.0.1", "localhost"] {
        let base_url = format!("http://{host}:{}/v1", sim.address().port());
        let options = json!({"base_url": base_url, "api_key": common::KEY});
        let said = child(options, &[("HTTP_PROXY", &url), ("ALL_PROXY", &url)]);
        assert!(said.contains("was answered"), "{said}");
    }
    assert_eq!((sim.stats().requests, proxy.asked().len()), (2, 0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_variable_that_is_no_text_is_refused_like_any_wrong_url() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "child_that_asks_once"])
        .env("CHILD_OPTIONS", r#"{"api_key":"sk-test"}"#)
        .env("https_proxy", OsStr::from_bytes(b"http://pr\xffoxy"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("environment variable https_proxy has a character at byte 9"), "{said}");
}
