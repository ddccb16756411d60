//! One TCP connection as the HTTP engine sees it: corked output, waits that can be stopped.
//!
//! Head and body of a request leave in one write, when the engine first asks for input. Every
//! blocking moment goes through `wait`; failures are kept whole in the call, the engine only carries
//! a token of them.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::wait::{Stop, stopped, wait, with_facts};
use crate::call::Call;
use crate::error::{Error, Kind, Limit, Phase};
use crate::sys::{fork, socket};

const OUTPUT: usize = 32 * 1024;
/// The output is flushed when less than this is free, so that no field line fails to fit.
const OUTPUT_RESERVE: usize = 16 * 1024;
const INPUT: usize = 16 * 1024;
const INPUT_MOST: usize = 128 * 1024;

/// A connected socket with its buffers.
pub(crate) struct Tcp {
    socket: OwnedFd,
    buffers: Corked,
    generation: u64,
    /// Bytes handed to the kernel over the connection's life.
    written: u64,
    /// The value of `written` when the present request began.
    written_before: u64,
    /// The socket was drained by the last read: wait before reading again.
    drained: bool,
    /// When the last byte was sent or received in the present exchange.
    last_progress: Option<Instant>,
    /// It was used since it was last asked whether it is open.
    used: bool,
    /// Not to be used again: something failed, or output was given up.
    broken: bool,
    /// The peer stopped reading but may have replied: output is dropped, the reply is read.
    output_dropped: bool,
    /// TLS runs over it: what can be read need not be a reply.
    under_tls: bool,
}

impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Tcp {
    pub fn new(socket: OwnedFd, under_tls: bool) -> Tcp {
        Tcp {
            socket,
            buffers: Corked::default(),
            generation: fork::generation(),
            written: 0,
            written_before: 0,
            drained: true,
            last_progress: None,
            used: false,
            broken: false,
            output_dropped: false,
            under_tls,
        }
    }

    fn call(&mut self) -> Result<std::sync::Arc<Call>, ureq::Error> {
        let call = Call::current().ok_or_else(token)?;
        if self.generation != fork::generation() {
            self.broken = true;
            call.fail(Error::new(Kind::Forked, "The connection was opened before a fork"));
            return Err(token());
        }
        if !self.used {
            self.used = true;
            self.written_before = self.written;
            self.last_progress = None;
        }
        Ok(call)
    }

    fn flush(&mut self, call: &Call) -> Result<(), Stop> {
        let mut at = 0;
        let mut stall = None;
        let mut watched = if self.under_tls { PollFlags::OUT } else { PollFlags::OUT | PollFlags::IN };
        while at < self.buffers.pending && !self.output_dropped {
            match send(&self.socket, &self.buffers.output[at..self.buffers.pending], SendFlags::NOSIGNAL) {
                Ok(taken) => {
                    at += taken;
                    self.written += taken as u64;
                    call.count_sent(taken);
                    stall = None;
                }
                Err(Errno::AGAIN) => {
                    let since = *stall.get_or_insert_with(Instant::now);
                    let limit = ends(since, call.limits.write, Limit::Write);
                    let ready = self.wait_for(watched, call, limit)?;
                    if !ready.contains(PollFlags::OUT) && ready.contains(PollFlags::IN) {
                        // A server that refuses a large request replies and reads no further; one that
                        // only says "go on" does not.
                        self.output_dropped = self.final_reply_waits();
                        watched = PollFlags::OUT;
                    }
                }
                Err(Errno::INTR) => {}
                // The server may have refused the request without reading it all; its reply counts.
                Err(Errno::PIPE | Errno::CONNRESET) if self.reply_waits() => self.output_dropped = true,
                Err(error) => return Err(error.into()),
            }
        }
        if at > 0 {
            self.last_progress = Some(Instant::now());
        }
        self.buffers.pending = 0;
        Ok(())
    }

    /// Whether bytes of a reply can be read right now.
    fn reply_waits(&self) -> bool {
        let mut byte = [0u8; 1];
        matches!(recv(&self.socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((_, 1..)))
    }

    /// Whether what can be read begins a reply that is not an interim one (1xx).
    fn final_reply_waits(&self) -> bool {
        let mut head = [0u8; 10];
        let peeked = recv(&self.socket, &mut head, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        // `HTTP/1.1 4`: the digit tells. An end of the connection is final as well.
        matches!(peeked, Ok((_, 0))) || matches!(peeked, Ok((_, 10..))) && head[9] != b'1'
    }

    fn fill(&mut self, call: &Call) -> Result<usize, Stop> {
        if !call.is_connecting() && call.phase() == Phase::Send {
            call.set_phase(Phase::Wait);
            if !self.output_dropped {
                call.set_fully_sent();
            }
        }
        loop {
            if self.drained {
                let limit = if call.is_connecting() {
                    connect_limit(call)
                } else if call.received() == 0 {
                    ends(self.since(), call.limits.first_byte, Limit::FirstByte)
                } else {
                    ends(self.since(), call.limits.idle, Limit::Idle)
                };
                self.wait_for(PollFlags::IN, call, limit)?;
            } else if call.cancel.as_ref().is_some_and(|cancel| cancel.is_signalled()) {
                return Err(Stop::Cancelled);
            }
            // A server that always has a byte ready must not outrun the total.
            if call.deadline.is_some_and(|at| Instant::now() >= at) {
                return Err(Stop::TimedOut(Limit::Total));
            }
            let room = self.buffers.room();
            let asked = room.len();
            match recv(&self.socket, room, RecvFlags::DONTWAIT) {
                Ok((_, received)) => {
                    self.drained = received < asked;
                    self.last_progress = Some(Instant::now());
                    self.buffers.received(received);
                    call.count_received(received);
                    if received == 0 {
                        self.ended(call);
                    }
                    return Ok(received);
                }
                Err(Errno::AGAIN) => self.drained = true,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The peer ended the connection in order. Tells a stale connection from a lost request.
    fn ended(&mut self, call: &Call) {
        self.broken = true;
        let nothing_came = call.received() == 0 && call.phase() == Phase::Wait;
        if nothing_came && call.is_reused() {
            // The opening handshake counts as one byte.
            let untouched = socket::acknowledged(self.socket.as_fd())
                .is_some_and(|bytes| bytes <= self.written_before + 1);
            if untouched {
                call.set_stale();
            }
        }
    }

    fn since(&self) -> Instant {
        self.last_progress.unwrap_or_else(Instant::now)
    }

    fn wait_for(
        &self,
        interest: PollFlags,
        call: &Call,
        limit: Option<(Instant, Limit)>,
    ) -> Result<PollFlags, Stop> {
        let mut fds = Vec::with_capacity(2);
        fds.push(PollFd::new(&self.socket, interest));
        wait(&mut fds, call, limit, None)?;
        Ok(fds[0].revents())
    }

    fn give_up(&mut self, call: &Call, stop: Stop) -> ureq::Error {
        self.broken = true;
        call.fail(stopped(call, stop));
        token()
    }
}

/// When a limit that began at `since` passes.
fn ends(since: Instant, limit: Option<Duration>, which: Limit) -> Option<(Instant, Limit)> {
    Some((since.checked_add(limit?)?, which))
}

/// The limit for making a connection; it begins when the dialling does.
pub(crate) fn connect_limit(call: &Call) -> Option<(Instant, Limit)> {
    ends(call.dialling_since(), call.limits.connect, Limit::Connect)
}

/// What the engine carries upwards instead of the failure itself. Not a kind that it, or rustls,
/// would take for an interruption, a time-out or an end of the stream.
pub(crate) fn token() -> ureq::Error {
    ureq::Error::Io(std::io::Error::other("elkapi: the failure stands in the call"))
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let call = self.call()?;
        self.buffers.pending += amount;
        // A connection that is opened ahead gets nothing more to send, so nothing is held back.
        if (self.buffers.output.len() - self.buffers.pending < OUTPUT_RESERVE || call.is_warming())
            && let Err(stop) = self.flush(&call)
        {
            return Err(self.give_up(&call, stop));
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let call = self.call()?;
        if let Err(stop) = self.flush(&call) {
            return Err(self.give_up(&call, stop));
        }
        match self.fill(&call) {
            Ok(received) => {
                if received == 0 && call.phase() == Phase::Wait {
                    let when =
                        if call.received() == 0 { "before a reply" } else { "in the middle of a reply" };
                    let detail = format!("The server closed the connection {when}");
                    call.fail(with_facts(Error::new(Kind::Connection, detail), &call));
                }
                Ok(received > 0)
            }
            Err(stop) => Err(self.give_up(&call, stop)),
        }
    }

    /// The engine asks twice: when it returns a connection to the pool, and when it takes one out.
    /// Only the second time the kernel is asked.
    fn is_open(&mut self) -> bool {
        if self.broken
            || self.output_dropped
            || self.buffers.pending > 0
            || self.generation != fork::generation()
        {
            return false;
        }
        if self.used {
            self.used = false;
            return true;
        }
        if Call::current().is_some_and(|call| call.is_fresh_only()) {
            return false;
        }
        let mut byte = [0u8; 1];
        // Nothing to read is what an idle connection has: an end, a reset or stray bytes are not.
        matches!(recv(&self.socket, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT), Err(Errno::AGAIN))
    }
}

/// Buffers whose output grows behind what is pending, so that several writes become one.
#[derive(Default)]
struct Corked {
    output: Vec<u8>,
    /// Bytes of `output` that wait to be sent.
    pending: usize,
    input: Vec<u8>,
    /// The unconsumed part of `input`.
    start: usize,
    end: usize,
    progress: bool,
    scratch: Vec<u8>,
}

impl Corked {
    /// Free space for input, made where there is none.
    fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.input.len() && self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.input.len() {
            let larger = if self.input.is_empty() { INPUT } else { self.input.len() * 2 };
            self.input.resize(larger, 0);
        }
        &mut self.input[self.end..]
    }

    fn received(&mut self, amount: usize) {
        let filled = amount > 0 && self.end + amount == self.input.len();
        self.end += amount;
        // A read that filled the buffer means that more is there: fetch more at once next time.
        if filled && self.start == 0 && self.input.len() < INPUT_MOST {
            let larger = self.input.len() * 2;
            self.input.resize(larger, 0);
        }
    }
}

impl Buffers for Corked {
    fn output(&mut self) -> &mut [u8] {
        if self.output.is_empty() {
            self.output.resize(OUTPUT, 0);
        }
        &mut self.output[self.pending..]
    }

    fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.room()
    }

    fn input_appended(&mut self, amount: usize) {
        self.received(amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.start = (self.start + amount).min(self.end);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        if self.output.is_empty() {
            self.output.resize(OUTPUT, 0);
        }
        if self.scratch.is_empty() {
            // The engine reads request bodies of unknown length through it; ours have a length.
            self.scratch.resize(10 * 1024, 0);
        }
        (&mut self.scratch, &mut self.output[self.pending..])
    }

    fn can_use_input(&self) -> bool {
        self.start < self.end && self.progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use crate::config::Limits;

    /// A connection that served one exchange, and the server's end of it.
    fn used_once() -> (Tcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut tcp = Tcp::new(client.into(), false);
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
        Call::new(&limits, None, None)
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
