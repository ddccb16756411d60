//! A connection to the server, plain or TLS, that exchanges follow one another on.

use std::io::IoSlice;
use std::time::Instant;

use super::socket::{Idle, Socket};
use super::tls::Tls;
use super::wait::Stop;
use crate::call::Call;
use crate::error::Error;

/// Room for the head of a reply with what comes along with it.
const ROOM: usize = 16 * 1024;

/// A body of at most so many bytes is copied behind its head.
const TOGETHER: usize = 8 * 1024;

/// A connection, and what was read of it ahead.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    window: Vec<u8>,
    /// The part of the window that nobody has taken yet.
    start: usize,
    end: usize,
}

#[derive(Debug)]
enum Wire {
    Plain(Socket),
    Tls(Box<Tls>),
}

impl Connection {
    pub fn plain(socket: Socket) -> Connection {
        Connection::over(Wire::Plain(socket))
    }

    pub fn tls(tls: Tls) -> Connection {
        Connection::over(Wire::Tls(Box::new(tls)))
    }

    fn over(wire: Wire) -> Connection {
        Connection { wire, window: Vec::new(), start: 0, end: 0 }
    }

    fn socket(&mut self) -> &mut Socket {
        match &mut self.wire {
            Wire::Plain(socket) => socket,
            Wire::Tls(tls) => tls.socket(),
        }
    }

    /// An exchange begins.
    pub fn begin(&mut self) {
        self.socket().begin();
    }

    /// Sends the request's head and what follows it, in one go as far as the kernel takes it.
    pub fn send_head(&mut self, mut head: Vec<u8>, more: &[&[u8]], call: &Call) -> Result<(), Stop> {
        let amount: usize = more.iter().map(|piece| piece.len()).sum();
        if amount <= TOGETHER {
            // One piece is one record of TLS, and cheaper for the kernel.
            more.iter().for_each(|piece| head.extend_from_slice(piece));
            return self.send(&head, call);
        }
        let pieces = [&head[..]].into_iter().chain(more.iter().copied());
        send(&mut self.wire, &mut pieces.map(IoSlice::new).collect::<Vec<_>>(), call)
    }

    /// Sends more of the request.
    pub fn send(&mut self, bytes: &[u8], call: &Call) -> Result<(), Stop> {
        send(&mut self.wire, &mut [IoSlice::new(bytes)], call)
    }

    /// Whether the server reads no further: its reply waits.
    pub fn drops_output(&mut self) -> bool {
        self.socket().drops_output()
    }

    /// All of the request was sent.
    pub fn request_left(&mut self, call: &Call) {
        self.socket().request_left(call);
    }

    /// What was read and not taken.
    pub fn ahead(&self) -> &[u8] {
        &self.window[self.start..self.end]
    }

    /// So many bytes of it are done with.
    pub fn take(&mut self, amount: usize) {
        self.start += amount;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads more behind what was read and not taken; 0 at the end of the connection.
    pub fn read_ahead(&mut self, call: &Call) -> Result<usize, Stop> {
        if self.start > 0 {
            self.window.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.window.len() {
            self.window.resize((2 * self.end).max(ROOM), 0);
        }
        let received = receive(&mut self.wire, &mut self.window[self.end..], call, None)?;
        self.end += received;
        Ok(received)
    }

    /// Takes what was read ahead, and where there is nothing, waits for more, `until` then where the caller
    /// has no more patience; 0 at the end of the connection.
    pub fn read(&mut self, room: &mut [u8], call: &Call, until: Option<Instant>) -> Result<usize, Stop> {
        let ahead = self.ahead();
        if ahead.is_empty() {
            return receive(&mut self.wire, room, call, until);
        }
        let length = ahead.len().min(room.len());
        room[..length].copy_from_slice(&ahead[..length]);
        self.take(length);
        Ok(length)
    }

    /// The same behind what the vector holds, for whose growing room the caller sees.
    pub fn read_into(
        &mut self,
        out: &mut Vec<u8>,
        call: &Call,
        until: Option<Instant>,
    ) -> Result<usize, Stop> {
        let ahead = self.ahead();
        if !ahead.is_empty() {
            let length = ahead.len();
            out.extend_from_slice(ahead);
            self.take(length);
            return Ok(length);
        }
        match &mut self.wire {
            Wire::Plain(socket) => socket.receive_into(out, call, until),
            Wire::Tls(tls) => {
                let length = out.len();
                // A record of TLS at once.
                out.resize(length + ROOM.min(out.capacity() - length), 0);
                let received = tls.receive(&mut out[length..], call, until);
                out.truncate(length + received.as_ref().map_or(0, |received| *received));
                received
            }
        }
    }

    /// The connection ended where the head of a reply was due.
    pub fn ended(&mut self, call: &Call) -> Error {
        self.socket().ended(call)
    }

    /// An exchange came to its end; whether the connection may serve another one.
    pub fn is_at_rest(&mut self) -> bool {
        if !self.socket().is_sound() || self.start < self.end {
            return false;
        }
        if self.window.len() > ROOM {
            self.window = Vec::new();
        }
        match &mut self.wire {
            Wire::Plain(_) => true,
            Wire::Tls(tls) => tls.is_at_rest(),
        }
    }

    /// Whether it is still as it was when it was laid aside: one system call, mostly.
    pub fn is_silent(&mut self) -> bool {
        self.socket().is_sound()
            && match &mut self.wire {
                Wire::Plain(socket) => socket.idle() == Idle::Silent,
                Wire::Tls(tls) => tls.is_silent(),
            }
    }
}

fn send(wire: &mut Wire, pieces: &mut [IoSlice<'_>], call: &Call) -> Result<(), Stop> {
    match wire {
        Wire::Plain(socket) => socket.send(pieces, call, true),
        Wire::Tls(tls) => tls.send(pieces, call),
    }
}

fn receive(wire: &mut Wire, room: &mut [u8], call: &Call, until: Option<Instant>) -> Result<usize, Stop> {
    match wire {
        Wire::Plain(socket) => socket.receive(room, call, until),
        Wire::Tls(tls) => tls.receive(room, call, until),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::Duration;

    use crate::config::Limits;

    /// A connection that served one exchange, and the server's end of it.
    fn used_once() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut connection = Connection::plain(Socket::new(client.into()));
        let call = call();
        send_hello(&mut connection, &call);
        let reply = std::thread::spawn(move || {
            let mut request = [0; 5];
            server.read_exact(&mut request).unwrap();
            server.write_all(b"hi").unwrap();
            server
        });
        while connection.ahead() != b"hi" {
            assert!(connection.read_ahead(&call).unwrap() > 0);
        }
        connection.take(2);
        assert!(connection.is_at_rest(), "it may go back to the pool");
        (connection, reply.join().unwrap())
    }

    fn call() -> Arc<Call> {
        let limits = Limits {
            connect: None,
            write: None,
            first_byte: None,
            idle: None,
            total: Some(Duration::from_secs(10)),
        };
        Call::new(&limits, [], None)
    }

    fn send_hello(connection: &mut Connection, call: &Call) {
        connection.begin();
        connection.send_head(b"hel".to_vec(), &[b"l", b"o"], call).unwrap();
        connection.request_left(call);
    }

    #[test]
    fn a_connection_that_ended_before_anything_was_acknowledged_is_stale() {
        let (mut connection, server) = used_once();
        drop(server);
        let call = call();
        send_hello(&mut connection, &call);
        assert_eq!(connection.read_ahead(&call).unwrap(), 0);
        connection.ended(&call);
        assert!(call.is_stale());
        assert!(!connection.is_at_rest());
    }

    #[test]
    fn a_connection_that_ended_after_the_request_was_taken_is_not_stale() {
        let (mut connection, mut server) = used_once();
        let call = call();
        send_hello(&mut connection, &call);
        let reader = std::thread::spawn(move || server.read_exact(&mut [0; 5]).unwrap());
        assert_eq!(connection.read_ahead(&call).unwrap(), 0);
        reader.join().unwrap();
        let error = connection.ended(&call);
        assert!(!call.is_stale());
        assert_eq!((error.kind(), error.bytes_sent()), (crate::error::Kind::Connection, 5));
    }

    #[test]
    fn idle_connections_are_refused_when_the_server_ended_or_said_more() {
        let (mut connection, server) = used_once();
        assert!(connection.is_silent());
        drop(server);
        assert!(!connection.is_silent());
        let (mut connection, mut server) = used_once();
        server.write_all(b"stray").unwrap();
        assert!(!connection.is_silent());
    }

    #[test]
    fn a_body_that_does_not_fit_behind_the_head_is_sent_from_where_it_stands() {
        let (mut connection, mut server) = used_once();
        let call = call();
        connection.begin();
        let body = vec![b'x'; 300_000];
        let reader = std::thread::spawn(move || {
            let mut request = vec![0; 300_006];
            server.read_exact(&mut request).unwrap();
            request
        });
        connection.send_head(b"head".to_vec(), &[b"", &body, b"ok"], &call).unwrap();
        assert!(reader.join().unwrap() == [b"head", &body[..], b"ok"].concat());
        assert_eq!(call.sent(), 300_006);
    }
}
