//! A plain TCP connection as the HTTP engine sees it: corked output, waits that can be stopped.
//!
//! Head and body of a request leave in one write, when the engine first asks for input.

use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::buffers::Corked;
use super::socket::{Idle, Socket, token};
use super::wait::{Stop, stopped};
use crate::call::Call;

/// A connected socket with its buffers.
pub(crate) struct Tcp {
    socket: Socket,
    buffers: Corked,
}

impl std::fmt::Debug for Tcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.socket.fmt(f)
    }
}

impl Tcp {
    pub fn new(socket: Socket) -> Tcp {
        Tcp { socket, buffers: Corked::default() }
    }

    /// The socket alone, for TLS to run over it; nothing was sent yet.
    pub fn into_socket(self) -> Socket {
        self.socket
    }

    fn flush(&mut self, call: &Call) -> Result<(), ureq::Error> {
        let sent = self.socket.send(self.buffers.pending(), call, true);
        self.buffers.sent();
        sent.map_err(|stop| give_up(&mut self.socket, call, stop))
    }
}

/// Keeps the failure whole in the call and spoils the connection, unless it was only a reader who
/// waited no longer.
pub(crate) fn give_up(socket: &mut Socket, call: &Call, stop: Stop) -> ureq::Error {
    if let Stop::Impatient = stop {
        call.set_out_of_patience();
        return token();
    }
    socket.spoil();
    call.fail(stopped(call, stop));
    token()
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let call = self.socket.begin()?;
        if self.buffers.wrote(amount) { Ok(()) } else { self.flush(&call) }
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let call = self.socket.begin()?;
        self.flush(&call)?;
        self.buffers.end_of_output();
        self.socket.request_left(&call);
        match self.socket.receive(self.buffers.room(), &call) {
            Ok(received) => {
                self.buffers.received(received);
                Ok(received > 0)
            }
            Err(stop) => Err(give_up(&mut self.socket, &call, stop)),
        }
    }

    fn is_open(&mut self) -> bool {
        if !self.socket.is_sound() || !self.buffers.pending().is_empty() {
            return false;
        }
        if self.socket.was_used() {
            return true;
        }
        let wanted = !Call::current().is_some_and(|call| call.is_fresh_only());
        wanted && self.socket.idle() == Idle::Silent
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
    use crate::error::Kind;

    /// A connection that served one exchange, and the server's end of it.
    fn used_once() -> (Tcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut tcp = Tcp::new(Socket::new(client.into()));
        let call = call();
        let _scope = call.enter();
        send_hello(&mut tcp);
        let reply = std::thread::spawn(move || {
            let mut request = [0; 5];
            server.read_exact(&mut request).unwrap();
            server.write_all(b"hi").unwrap();
            server
        });
        assert!(tcp.await_input(no_limit()).unwrap());
        tcp.buffers().input_consume(2);
        assert!(tcp.is_open(), "it may go back to the pool");
        (tcp, reply.join().unwrap())
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

    fn no_limit() -> NextTimeout {
        NextTimeout::default()
    }

    fn send_hello(tcp: &mut Tcp) {
        tcp.buffers().output()[..5].copy_from_slice(b"hello");
        tcp.transmit_output(5, no_limit()).unwrap();
    }

    #[test]
    fn a_connection_that_ended_before_anything_was_acknowledged_is_stale() {
        let (mut tcp, server) = used_once();
        drop(server);
        let call = call();
        let _scope = call.enter();
        send_hello(&mut tcp);
        assert!(!tcp.await_input(no_limit()).unwrap());
        assert!(call.is_stale());
        assert!(!tcp.is_open());
    }

    #[test]
    fn a_connection_that_ended_after_the_request_was_taken_is_not_stale() {
        let (mut tcp, mut server) = used_once();
        let call = call();
        let _scope = call.enter();
        send_hello(&mut tcp);
        let reader = std::thread::spawn(move || server.read_exact(&mut [0; 5]).unwrap());
        assert!(!tcp.await_input(no_limit()).unwrap());
        reader.join().unwrap();
        assert!(!call.is_stale());
        let error = call.take_failure().unwrap();
        assert_eq!((error.kind(), error.bytes_sent()), (Kind::Connection, 5));
    }

    #[test]
    fn idle_connections_are_refused_when_the_server_ended_or_said_more() {
        let (mut tcp, server) = used_once();
        assert!(tcp.is_open());
        drop(server);
        assert!(!tcp.is_open());
        let (mut tcp, mut server) = used_once();
        server.write_all(b"stray").unwrap();
        assert!(!tcp.is_open());
    }
}
