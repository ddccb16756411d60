//! One connection at byte level: reads requests, writes bytes, pauses, resets.
//!
//! Written by hand because the simulator must be able to misbehave between any two bytes.
//! Works over any [`Stream`], so TLS can be put underneath; knows nothing about what is answered.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Go's default limit for a request head, which the gateway keeps.
const MAX_HEAD_BYTES: usize = 1 << 20;
/// How much is asked of the socket at once while a head is read.
const READ_BYTES: usize = 16 * 1024;

/// What carries the bytes of a connection: a socket, or TLS above one.
pub(crate) trait Stream: Read + Write + Send {
    /// Says in the protocol's own way that nothing follows; a socket says so by being closed.
    fn end(&mut self) {}
}

/// A plain socket, shared with whoever must be able to shut it down.
pub(crate) struct Plain(pub(crate) Arc<TcpStream>);

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Stream for Plain {}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Request line and field lines.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// The target as it was sent, query included.
    pub(crate) target: String,
    /// In the order they came, names as they were spelt.
    pub(crate) headers: Vec<(String, String)>,
    /// What the protocol version and the `Connection` field say.
    pub(crate) keep_alive: bool,
    body: BodyFraming,
}

impl Head {
    /// The first field of that name, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// How the end of a request body is found.
#[derive(Debug, Clone, Copy, PartialEq)]
enum BodyFraming {
    None,
    Length(u64),
    Chunked,
}

/// Why a request could not be read.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The bytes are not a request; the sentence goes to the client with status 400 or the like.
    Malformed(u16, &'static str),
    /// The body is longer than the limit.
    TooLarge,
    /// The client left, or the socket failed, in the middle of a request.
    Gone,
}

impl From<io::Error> for RequestError {
    fn from(_: io::Error) -> RequestError {
        RequestError::Gone
    }
}

/// One accepted connection.
pub(crate) struct Connection {
    /// Its number, counted from 1.
    pub(crate) id: u64,
    /// How many requests came on it so far.
    pub(crate) requests: u64,
    stream: Box<dyn Stream>,
    socket: Arc<TcpStream>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were already used up.
    used: usize,
}

impl Connection {
    /// `socket` is the one that `stream` stands on.
    pub(crate) fn new(id: u64, stream: Box<dyn Stream>, socket: Arc<TcpStream>) -> Connection {
        Connection { id, requests: 0, stream, socket, buffer: Vec::new(), used: 0 }
    }

    /// Waits for the next request's head; `None` when the client closed between two requests.
    pub(crate) fn read_head(&mut self) -> Result<Option<Head>, RequestError> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let mut searched = 0usize;
        let end = loop {
            let from = searched.saturating_sub(3);
            if let Some(at) = find(&self.buffer[from..], b"\r\n\r\n") {
                break from + at;
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(RequestError::Malformed(431, "431 Request Header Fields Too Large"));
            }
            searched = self.buffer.len();
            match self.fill() {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(RequestError::Gone),
                Ok(_) => {}
                Err(_) if self.buffer.is_empty() => return Ok(None),
                Err(_) => return Err(RequestError::Gone),
            }
        };
        self.used = end + 4;
        self.requests += 1;
        parse_head(&self.buffer[..end]).map(Some)
    }

    /// Reads the body that belongs to `head`, answering `Expect: 100-continue` unless told not to.
    pub(crate) fn read_body(
        &mut self,
        head: &Head,
        limit: u64,
        answer_expect: bool,
    ) -> Result<Vec<u8>, RequestError> {
        let mut body = Vec::new();
        if head.body == BodyFraming::None {
            return Ok(body);
        }
        if matches!(head.body, BodyFraming::Length(length) if length > limit) {
            return Err(RequestError::TooLarge);
        }
        let expects = head.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        if expects && answer_expect {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        match head.body {
            BodyFraming::Length(length) => self.read_exactly(length, &mut body)?,
            _ => self.read_chunked(limit, &mut body)?,
        }
        Ok(body)
    }

    fn read_chunked(&mut self, limit: u64, body: &mut Vec<u8>) -> Result<(), RequestError> {
        const MALFORMED: RequestError =
            RequestError::Malformed(400, "400 Bad Request: malformed chunked encoding");
        loop {
            let line = self.read_line()?;
            let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
            let size = std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
            let Some(size) = size else {
                return Err(MALFORMED);
            };
            if size == 0 {
                while !self.read_line()?.is_empty() {}
                return Ok(());
            }
            if size > limit || body.len() as u64 + size > limit {
                return Err(RequestError::TooLarge);
            }
            self.read_exactly(size, body)?;
            if !self.read_line()?.is_empty() {
                return Err(MALFORMED);
            }
        }
    }

    /// Reads one line that ends in CRLF; the line comes without it.
    fn read_line(&mut self) -> Result<Vec<u8>, RequestError> {
        loop {
            if let Some(at) = find(&self.buffer[self.used..], b"\r\n") {
                let line = self.buffer[self.used..self.used + at].to_vec();
                self.used += at + 2;
                return Ok(line);
            }
            if self.buffer.len() - self.used > MAX_HEAD_BYTES {
                return Err(RequestError::Malformed(400, "400 Bad Request: line too long"));
            }
            if self.fill()? == 0 {
                return Err(RequestError::Gone);
            }
        }
    }

    fn read_exactly(&mut self, length: u64, body: &mut Vec<u8>) -> Result<(), RequestError> {
        let length = usize::try_from(length).map_err(|_| RequestError::TooLarge)?;
        let buffered = length.min(self.buffer.len() - self.used);
        body.reserve(length);
        body.extend_from_slice(&self.buffer[self.used..self.used + buffered]);
        self.used += buffered;
        let missing = (length - buffered) as u64;
        if missing > 0 && (&mut self.stream).take(missing).read_to_end(body)? as u64 != missing {
            return Err(RequestError::Gone);
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<usize> {
        let filled = self.buffer.len();
        self.buffer.resize(filled + READ_BYTES, 0);
        let read = loop {
            match self.stream.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Hands all `bytes` to the kernel, in one write where it takes them.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Waits, but not longer than the client stays: an error says that it closed.
    pub(crate) fn pause(&self, length: Duration) -> io::Result<()> {
        self.pause_until(Instant::now() + length)
    }

    /// [`Connection::pause`] up to a moment, for pacing that does not drift.
    pub(crate) fn pause_until(&self, until: Instant) -> io::Result<()> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if left < Duration::from_millis(1) {
                thread::sleep(left);
                continue;
            }
            if self.poll(CLOSED_BY_PEER, left)? & CLOSED_BY_PEER != 0 {
                return Err(io::Error::new(ErrorKind::ConnectionAborted, "the client closed the connection"));
            }
        }
    }

    /// Keeps the client waiting until it leaves (or for an hour).
    pub(crate) fn stall(&self) -> io::Result<()> {
        self.pause(Duration::from_secs(3_600))
    }

    /// Whether bytes of a further request come within `length`.
    pub(crate) fn more_within(&self, length: Duration) -> bool {
        if self.used < self.buffer.len() {
            return true;
        }
        matches!(self.poll(libc::POLLIN, length), Ok(events) if events != 0)
    }

    fn poll(&self, events: libc::c_short, length: Duration) -> io::Result<libc::c_short> {
        let mut entry = libc::pollfd { fd: self.socket.as_raw_fd(), events, revents: 0 };
        let milliseconds = libc::c_int::try_from(length.as_millis()).unwrap_or(libc::c_int::MAX);
        // SAFETY: `entry` is one valid pollfd for the length of the call; the socket is open
        // because `self` holds it.
        let ready = unsafe { libc::poll(&mut entry, 1, milliseconds) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == ErrorKind::Interrupted { Ok(0) } else { Err(error) };
        }
        Ok(entry.revents)
    }

    /// Says that no further reply follows.
    pub(crate) fn end(&mut self) {
        self.stream.end();
    }

    /// Makes the coming close an abortive one: the client gets a reset instead of an end.
    pub(crate) fn reset_on_close(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        self.set_option(libc::SO_LINGER, &linger);
    }

    /// Takes little from the client before it must wait.
    pub(crate) fn shrink_receive_buffer(&self) {
        let bytes: libc::c_int = 4_096;
        self.set_option(libc::SO_RCVBUF, &bytes);
    }

    fn set_option<T>(&self, option: libc::c_int, value: &T) {
        // SAFETY: `value` points to a whole T, whose size is passed, and the socket is open
        // because `self` holds it. A refusal changes nothing and is not worth more than a test's failure.
        unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (value as *const T).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        };
    }

    /// Ends the reply side, then gives the client half a second to read before the close turns
    /// into a reset, as Go's server does for requests that it did not read to the end.
    pub(crate) fn linger(&mut self) {
        self.stream.end();
        let _ = self.socket.shutdown(Shutdown::Write);
        let _ = self.pause(Duration::from_millis(500));
    }
}

/// The poll events that mean "the client closed".
#[cfg(target_os = "linux")]
const CLOSED_BY_PEER: libc::c_short = libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR | libc::POLLNVAL;
#[cfg(not(target_os = "linux"))]
const CLOSED_BY_PEER: libc::c_short = libc::POLLHUP | libc::POLLERR | libc::POLLNVAL;

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn parse_head(bytes: &[u8]) -> Result<Head, RequestError> {
    const MALFORMED: RequestError = RequestError::Malformed(400, "400 Bad Request");
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(MALFORMED);
    };
    let current = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => {
            return Err(RequestError::Malformed(505, "505 HTTP Version Not Supported"));
        }
    };
    let mut headers = Vec::with_capacity(16);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            return Err(MALFORMED);
        };
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(MALFORMED);
        }
        headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let mut head = Head {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        keep_alive: current,
        body: BodyFraming::None,
    };
    if current && head.header("host").is_none() {
        return Err(RequestError::Malformed(400, "400 Bad Request: missing required Host header"));
    }
    if let Some(connection) = head.header("connection") {
        let says = |word: &str| connection.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
        head.keep_alive = if current { !says("close") } else { says("keep-alive") };
    }
    head.body = body_framing(&head)?;
    Ok(head)
}

fn body_framing(head: &Head) -> Result<BodyFraming, RequestError> {
    let mut length = None;
    for (_, value) in head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        let parsed = value.parse::<u64>().ok().filter(|_| value.bytes().all(|byte| byte.is_ascii_digit()));
        match (length, parsed) {
            (None, Some(parsed)) => length = Some(parsed),
            (Some(known), Some(parsed)) if known == parsed => {}
            _ => {
                return Err(RequestError::Malformed(400, "400 Bad Request: bad Content-Length"));
            }
        }
    }
    match (head.header("transfer-encoding"), length) {
        (Some(_), Some(_)) => {
            Err(RequestError::Malformed(400, "400 Bad Request: Content-Length beside Transfer-Encoding"))
        }
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(BodyFraming::Chunked),
        (Some(_), None) => Err(RequestError::Malformed(501, "501 Unsupported transfer encoding")),
        (None, Some(0)) | (None, None) => Ok(BodyFraming::None),
        (None, Some(length)) => Ok(BodyFraming::Length(length)),
    }
}
