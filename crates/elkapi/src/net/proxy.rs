//! The handshakes with proxies: a tunnel by HTTP CONNECT (RFC 9110, 9.3.6) or by SOCKS5 (RFC 1928,
//! RFC 1929), over a socket to the proxy that the dialer opened.
//!
//! Whatever ends a handshake is of kind `proxy`, unless the caller stopped it or a limit passed.
//! Nothing of the request has left by then, so nothing is billed.

use std::io::IoSlice;
use std::net::IpAddr;

use super::socket::Socket;
use super::wait::{Stop, stopped, with_facts};
use crate::call::Call;
use crate::error::{Error, Kind, Phase};
use crate::proxy::{Login, Protocol, Proxy, SOCKS_TEXT};

/// The head of a reply to CONNECT at most. Proxies of companies add many field lines.
const HEAD: usize = 16 * 1024;
/// Of a reason phrase this much is passed on.
const REASON: usize = 100;

/// Where the tunnel is to end.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// For the proxy to look up.
    Name(&'a str),
    Address(IpAddr),
}

/// Why there is no tunnel.
pub(crate) enum NoTunnel {
    /// The call ends with this.
    For(Error),
    /// The proxy cannot reach this address; another one of the same host may do.
    ToThisAddress(Error),
}

impl From<Error> for NoTunnel {
    fn from(error: Error) -> NoTunnel {
        NoTunnel::For(error)
    }
}

/// An error of kind `proxy` with what is known of the call.
pub(crate) fn failure(call: &Call, detail: String, retryable: bool) -> Error {
    with_facts(Error::new(Kind::Proxy, detail), call).with_retryable(retryable)
}

/// Asks the proxy at the other end of the socket for a tunnel; after that the socket is the target's.
pub(crate) fn open_tunnel(
    socket: &mut Socket,
    proxy: &Proxy,
    target: Target<'_>,
    port: u16,
    call: &Call,
) -> Result<(), NoTunnel> {
    call.set_phase(Phase::Proxy);
    let mut talk = Talk { socket, proxy, call };
    match proxy.protocol {
        Protocol::Http => talk.connect(target, port).map_err(NoTunnel::For),
        Protocol::Socks5 | Protocol::Socks5h => talk.socks(target, port),
    }
}

/// A conversation with a proxy.
struct Talk<'a> {
    socket: &'a mut Socket,
    proxy: &'a Proxy,
    call: &'a Call,
}

impl Talk<'_> {
    /// `The proxy HOST:PORT <what>`, where repeating would not help.
    fn refused(&self, what: impl std::fmt::Display) -> Error {
        failure(self.call, format!("The proxy {} {what}", self.proxy.place()), false)
    }

    fn stopped(&self, stop: Stop) -> Error {
        match stop {
            Stop::Failed(error) => {
                let detail = format!("The connection to the proxy {} broke: {error}", self.proxy.place());
                failure(self.call, detail, true)
            }
            stop => stopped(self.call, stop),
        }
    }

    fn closed(&self, when: &str) -> Error {
        self.refused(format_args!("closed the connection {when}")).with_retryable(true)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.socket.send(&mut [IoSlice::new(bytes)], self.call, false).map_err(|stop| self.stopped(stop))
    }

    /// Receives some bytes; 0 at the end of the connection.
    fn receive(&mut self, room: &mut [u8]) -> Result<usize, Error> {
        self.socket.receive(room, self.call, None).map_err(|stop| self.stopped(stop))
    }

    /// Receives exactly that many bytes and none of what follows.
    fn receive_exactly(&mut self, room: &mut [u8], when: &str) -> Result<(), Error> {
        let mut at = 0;
        while at < room.len() {
            match self.receive(&mut room[at..])? {
                0 => return Err(self.closed(when)),
                received => at += received,
            }
        }
        Ok(())
    }

    // ---- HTTP -----------------------------------------------------------------------------------

    fn connect(&mut self, target: Target<'_>, port: u16) -> Result<(), Error> {
        let place = authority(target, port);
        let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
        if let Some(login) = self.proxy.authorization() {
            request.push_str("Proxy-Authorization: ");
            request.push_str(&login);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        self.send(request.as_bytes())?;
        let mut bytes = Vec::new();
        loop {
            let end = self.receive_head(&mut bytes)?;
            let head = Head::read(&bytes[..end])
                .ok_or_else(|| self.refused("does not speak proper HTTP: its reply has no status line"))?;
            let surplus = bytes.len() - end;
            match head.status {
                // What precedes the reply is no reply.
                100 | 102..=199 => drop(bytes.drain(..end)),
                200..=299 if surplus == 0 => return Ok(()),
                200..=299 => {
                    return Err(self.refused(format_args!(
                        "opened the tunnel and sent {surplus} bytes that nobody asked for"
                    )));
                }
                // tinyproxy answers a wrong login like a server.
                401 | 407 => return Err(self.login_refused(&head)),
                status => {
                    // Shortened last, lest half a password stay.
                    let reason: String = self.proxy.clean(&head.reason).chars().take(REASON).collect();
                    let answer = [status.to_string(), reason].join(" ");
                    let what = format!("refused the tunnel to {place} with {}", answer.trim_end());
                    // It could not reach the target at the moment, or is overloaded itself.
                    let passing = matches!(status, 408 | 429 | 502..=504);
                    return Err(self.refused(what).with_retryable(passing));
                }
            }
        }
    }

    /// Reads until `bytes` begins with a whole head; its length.
    fn receive_head(&mut self, bytes: &mut Vec<u8>) -> Result<usize, Error> {
        loop {
            if !b"HTTP/".starts_with(&bytes[..bytes.len().min(5)]) {
                return Err(self.refused("does not speak HTTP: its reply begins otherwise"));
            }
            if let Some(end) = end_of_head(bytes) {
                return Ok(end);
            }
            if bytes.len() >= HEAD {
                return Err(self.refused(format_args!("replied with a head of more than {HEAD} bytes")));
            }
            let mut room = [0; 2048];
            let most = room.len().min(HEAD - bytes.len());
            match self.receive(&mut room[..most])? {
                0 if bytes.is_empty() => return Err(self.closed("without a reply")),
                0 => return Err(self.closed("in the middle of its reply")),
                received => bytes.extend_from_slice(&room[..received]),
            }
        }
    }

    fn login_refused(&self, head: &Head) -> Error {
        const LOGINS: [&str; 6] = ["Basic", "Digest", "NTLM", "Negotiate", "Kerberos", "Bearer"];
        let asks = |login: &&str| head.challenges.iter().any(|asked| asked.eq_ignore_ascii_case(login));
        let status = head.status;
        let asked: Vec<&str> = LOGINS.into_iter().filter(asks).collect();
        if !asked.is_empty() && !asked.contains(&"Basic") {
            let asked = asked.join(" or ");
            return self.refused(format_args!(
                "wants a login by {asked} ({status}), which is not supported; Basic is"
            ));
        }
        match self.proxy.login {
            Some(_) => self.refused(format_args!("refused the login ({status})")),
            None => {
                self.refused(format_args!("wants a login ({status}); write user and password into its URL"))
            }
        }
    }

    // ---- SOCKS5 ---------------------------------------------------------------------------------

    fn socks(&mut self, target: Target<'_>, port: u16) -> Result<(), NoTunnel> {
        self.agree_on_login()?;
        let mut request = vec![5, 1, 0];
        match target {
            Target::Address(IpAddr::V4(address)) => {
                request.push(1);
                request.extend_from_slice(&address.octets());
            }
            Target::Address(IpAddr::V6(address)) => {
                request.push(4);
                request.extend_from_slice(&address.octets());
            }
            Target::Name(name) if name.len() <= SOCKS_TEXT => {
                request.push(3);
                request.push(name.len() as u8);
                request.extend_from_slice(name.as_bytes());
            }
            Target::Name(_) => {
                return Err(self.refused("cannot be told a host name of more than 255 bytes").into());
            }
        }
        request.extend_from_slice(&port.to_be_bytes());
        self.send(&request)?;

        const WHEN: &str = "before it opened the tunnel";
        let mut reply = [0; 4];
        self.receive_exactly(&mut reply, WHEN)?;
        self.check_version(&reply)?;
        if reply[1] != 0 {
            return Err(self.tunnel_refused(reply[1], target, port));
        }
        // The address of its own end: of no interest, but it stands before what the target sends.
        let length = match reply[3] {
            1 => 4,
            4 => 16,
            3 => {
                let mut length = [0];
                self.receive_exactly(&mut length, WHEN)?;
                usize::from(length[0])
            }
            other => {
                let what = format!("does not speak proper SOCKS5: it names an address of type {other}");
                return Err(self.refused(what).into());
            }
        };
        let mut bound = [0; SOCKS_TEXT + 2];
        self.receive_exactly(&mut bound[..length + 2], WHEN)?;
        Ok(())
    }

    fn agree_on_login(&mut self) -> Result<(), Error> {
        const NONE: u8 = 0;
        const PASSWORD: u8 = 2;
        let proxy = self.proxy;
        let greeting: &[u8] = if proxy.login.is_some() { &[5, 2, NONE, PASSWORD] } else { &[5, 1, NONE] };
        self.send(greeting)?;
        let mut reply = [0; 2];
        self.receive_exactly(&mut reply, "without a reply")?;
        self.check_version(&reply)?;
        match (reply[1], &proxy.login) {
            (NONE, _) => Ok(()),
            (PASSWORD, Some(login)) => self.log_in(login),
            (0xff, None) => Err(self.refused("wants a login; write user and password into its URL")),
            (0xff, Some(_)) => Err(self.refused("takes no login by user and password")),
            (other, _) => {
                Err(self.refused(format_args!("wants a login by method {other}, which was not offered")))
            }
        }
    }

    fn log_in(&mut self, login: &Login) -> Result<(), Error> {
        let mut request = vec![1];
        for text in [&login.user, &login.password] {
            // At most 255 bytes, checked with the URL.
            request.push(text.len() as u8);
            request.extend_from_slice(text);
        }
        self.send(&request)?;
        let mut reply = [0; 2];
        self.receive_exactly(&mut reply, "after the login")?;
        // Some proxies answer with the version of SOCKS in place of that of the login.
        match reply {
            [1 | 5, 0] => Ok(()),
            [1 | 5, _] => Err(self.refused("refused the login")),
            _ => Err(self.refused("does not speak proper SOCKS5: its answer to the login is malformed")),
        }
    }

    fn check_version(&self, reply: &[u8]) -> Result<(), Error> {
        match reply[0] {
            5 => Ok(()),
            b'H' => Err(self.refused("does not speak SOCKS5 but HTTP; its URL begins with http://")),
            0 | 4 => Err(self.refused("does not speak SOCKS5 but SOCKS4, which is not supported")),
            other => {
                Err(self.refused(format_args!("does not speak SOCKS5: its reply begins with byte {other}")))
            }
        }
    }

    fn tunnel_refused(&self, code: u8, target: Target<'_>, port: u16) -> NoTunnel {
        let (words, passing) = match code {
            1 => ("general failure", true),
            2 => ("its rules do not allow it", false),
            3 => ("network unreachable", true),
            4 => ("host unreachable", true),
            5 => ("connection refused", true),
            6 => ("time to live expired", true),
            7 => ("it does not know the command", false),
            8 => ("it does not know the type of address", false),
            _ => ("unknown code", false),
        };
        let place = authority(target, port);
        let what = format!("refused the tunnel to {place}: {words} (SOCKS5 reply {code})");
        let error = self.refused(what).with_retryable(passing);
        match code {
            1 | 3..=6 | 8 => NoTunnel::ToThisAddress(error),
            _ => NoTunnel::For(error),
        }
    }
}

/// `HOST:PORT` as CONNECT and messages have it.
fn authority(target: Target<'_>, port: u16) -> String {
    match target {
        Target::Address(IpAddr::V6(address)) => format!("[{address}]:{port}"),
        Target::Address(address) => format!("{address}:{port}"),
        Target::Name(name) => format!("{name}:{port}"),
    }
}

/// Where a head ends: behind its first empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// What matters in the head of a reply to CONNECT.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// The reason phrase, fit for a message.
    reason: String,
    /// The words of `Proxy-Authenticate`, the names of logins among them.
    challenges: Vec<String>,
}

impl Head {
    /// `None` where there is no status line of HTTP/1.
    fn read(bytes: &[u8]) -> Option<Head> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines();
        let (_, rest) = lines.next()?.strip_prefix("HTTP/1.")?.split_once(' ')?;
        let digits = rest.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        if !matches!(rest.as_bytes().get(3), None | Some(b' ')) {
            return None;
        }
        let reason = rest[3..].trim().chars().filter(|c| !c.is_control()).collect();
        let challenges = lines
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("proxy-authenticate"))
            .flat_map(|(_, value)| value.split([' ', ',']))
            .map(str::to_owned)
            .collect();
        Some(Head { status: digits.parse().ok()?, reason, challenges })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_end_behind_their_first_empty_line() {
        for (head, end) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(19)),
            ("HTTP/1.0 200 OK\n\nmore", Some(17)),
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\nmore", Some(25)),
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r", None),
            ("HTTP/1.1 200 OK\r\n", None),
            ("", None),
        ] {
            assert_eq!(end_of_head(head.as_bytes()), end, "{head:?}");
        }
    }

    #[test]
    fn status_lines_are_read_and_others_refused() {
        let read =
            |line: &str| Head::read(format!("{line}\r\n\r\n").as_bytes()).map(|h| (h.status, h.reason));
        assert_eq!(read("HTTP/1.1 200 Connection established"), Some((200, "Connection established".into())));
        assert_eq!(read("HTTP/1.0 200"), Some((200, String::new())));
        assert_eq!(read("HTTP/1.1 403 no\u{7}\u{1b}[31m way"), Some((403, "no[31m way".into())));
        for line in
            ["HTTP/2 200 OK", "HTTP/1.1", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/1.1 +20 x", "", "HTTP/1.1 é0"]
        {
            assert_eq!(read(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_logins_that_a_proxy_offers_are_found_in_all_their_field_lines() {
        let head = b"HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\nproxy-authenticate: Digest realm=\"a\", Basic realm=\"b\"\r\n\r\n";
        let challenges = Head::read(head).unwrap().challenges;
        for login in ["NTLM", "Digest", "Basic"] {
            assert!(challenges.iter().any(|word| word == login), "{challenges:?}");
        }
    }
}
