//! One connected socket: sends and receives that end at the call's limits and can be stopped.
//!
//! Plain TCP and TLS stand on it. It knows whether it may be used again.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg, sockopt};

use super::wait::{self, Stop, wait_for_one, with_facts};
use crate::call::Call;
use crate::error::{Error, Kind, Limit, Phase};
use crate::sys::{fork, socket};

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    generation: u64,
    /// Bytes handed to the kernel over the connection's life.
    written: u64,
    /// The value of `written` when the present exchange began.
    written_before: u64,
    /// The last read emptied it: wait before reading again.
    drained: bool,
    /// When the last byte was sent or received in the present exchange.
    last_progress: Option<Instant>,
    /// What came last followed what was before it so fast that the next receive had better block than wait.
    brisk: bool,
    /// A receive without `DONTWAIT` blocks, for at most [`wait::RECEIVE`].
    blocks: bool,
    /// Not to be used again: something failed, or it ended.
    broken: bool,
    /// The peer stopped reading but has replied: output is dropped, the reply is read.
    output_dropped: bool,
}

/// What lies in an idle socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Nothing: it can be used.
    Silent,
    /// Bytes that nobody asked for.
    Unread,
    /// It is of no use any more.
    Over,
}

impl Socket {
    pub fn new(fd: OwnedFd) -> Socket {
        Socket {
            fd,
            generation: fork::generation(),
            written: 0,
            written_before: 0,
            drained: true,
            last_progress: None,
            brisk: false,
            blocks: false,
            broken: false,
            output_dropped: false,
        }
    }

    /// An exchange begins.
    pub fn begin(&mut self) {
        self.written_before = self.written;
        self.last_progress = None;
    }

    /// A forked child leaves its parent's connections alone.
    fn check_owner(&mut self, call: &Call) -> Result<(), Stop> {
        if self.generation == fork::generation() {
            return Ok(());
        }
        self.broken = true;
        let error = Error::new(Kind::Forked, "The connection was opened before a fork");
        Err(Stop::Said(Box::new(with_facts(error, call))))
    }

    /// Sends all of it. `replies_tell`: what can be read meanwhile is HTTP, so that a server which
    /// refuses a large request and reads no further is heard.
    pub fn send(
        &mut self,
        mut pieces: &mut [IoSlice<'_>],
        call: &Call,
        replies_tell: bool,
    ) -> Result<(), Stop> {
        self.check_owner(call)?;
        let mut stall = None;
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let mut watched = if replies_tell { PollFlags::OUT | PollFlags::IN } else { PollFlags::OUT };
        // Passes over empty pieces.
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() && !self.output_dropped {
            let taken = match &*pieces {
                [piece] => send(&self.fd, piece, flags),
                // More than a kernel takes at once (IOV_MAX) would be refused.
                _ => sendmsg(
                    &self.fd,
                    &pieces[..pieces.len().min(64)],
                    &mut SendAncillaryBuffer::default(),
                    flags,
                ),
            };
            match taken {
                Ok(taken) => {
                    IoSlice::advance_slices(&mut pieces, taken);
                    self.written += taken as u64;
                    call.count_sent(taken);
                    stall = None;
                    self.last_progress = Some(Instant::now());
                }
                Err(Errno::AGAIN) => {
                    let since = *stall.get_or_insert_with(Instant::now);
                    let limit = if call.is_connecting() {
                        connect_limit(call)
                    } else {
                        ends(since, call.limits.write, Limit::Write)
                    };
                    let ready = self.wait_for(watched, call, limit, None)?;
                    if !ready.contains(PollFlags::OUT) && ready.contains(PollFlags::IN) {
                        // One that only says "go on" (1xx) still reads.
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
        Ok(())
    }

    /// The request left; what follows is waiting for the reply.
    pub fn request_left(&self, call: &Call) {
        if call.phase() == Phase::Send {
            call.set_phase(Phase::Wait);
            if !self.output_dropped {
                call.set_fully_sent();
            }
        }
    }

    /// Receives some bytes of a reply, waiting for the first, `until` then where the caller has no more
    /// patience; 0 at the end of the connection.
    pub fn receive(&mut self, room: &mut [u8], call: &Call, until: Option<Instant>) -> Result<usize, Stop> {
        let received = self.receive_records(room, call, until)?;
        Ok(self.counted(received, call))
    }

    /// The same behind what the vector holds, as far as it reaches without growing.
    pub fn receive_into(
        &mut self,
        out: &mut Vec<u8>,
        call: &Call,
        until: Option<Instant>,
    ) -> Result<usize, Stop> {
        let size = out.capacity() - out.len();
        let received = self.receive_by(size, call, until, |socket, flags| {
            recv(socket, spare_capacity(out), flags).map(|(received, _)| received)
        })?;
        Ok(self.counted(received, call))
    }

    /// The same for TLS, which alone knows which bytes are a reply's and what an end means: session
    /// tickets must not pass for the beginning of a reply.
    pub fn receive_records(
        &mut self,
        room: &mut [u8],
        call: &Call,
        until: Option<Instant>,
    ) -> Result<usize, Stop> {
        self.receive_by(room.len(), call, until, |socket, flags| {
            recv(socket, &mut *room, flags).map(|(_, received)| received)
        })
    }

    fn counted(&mut self, received: usize, call: &Call) -> usize {
        call.count_received(received);
        self.broken |= received == 0;
        received
    }

    /// `take` receives at most `size` bytes.
    fn receive_by(
        &mut self,
        size: usize,
        call: &Call,
        until: Option<Instant>,
        mut take: impl FnMut(&OwnedFd, RecvFlags) -> Result<usize, Errno>,
    ) -> Result<usize, Stop> {
        self.check_owner(call)?;
        loop {
            let mut lent = None;
            if self.drained {
                let limit = if call.is_connecting() {
                    connect_limit(call)
                } else if call.received() == 0 {
                    ends(self.since(), call.limits.first_byte, Limit::FirstByte)
                } else {
                    ends(self.since(), call.limits.idle, Limit::Idle)
                };
                if self.brisk && self.can_block() {
                    lent = wait::lend(self.fd.as_fd(), call, limit, until)?;
                }
                if lent.is_none() && self.wait_for(PollFlags::IN, call, limit, until)?.is_empty() {
                    return Err(Stop::Impatient);
                }
            } else if call.is_cancelled() {
                return Err(Stop::Cancelled);
            } else if until.is_some_and(|at| self.since() > at) {
                return Err(Stop::Impatient);
            }
            // A server that always has a byte ready does not outrun the total: what came before tells the time.
            if call.deadline.is_some_and(|at| self.since() >= at) {
                return Err(Stop::TimedOut(Limit::Total));
            }
            let waited = lent.is_some();
            let taken = take(&self.fd, if waited { RecvFlags::empty() } else { RecvFlags::DONTWAIT });
            // Taken back first: only then is a shutdown known for the cancel that it was.
            drop(lent);
            if waited && call.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            match taken {
                Ok(received) => {
                    let now = Instant::now();
                    self.drained = received < size;
                    self.brisk = self.last_progress.is_some_and(|before| now - before < wait::RECEIVE / 2);
                    self.last_progress = Some(now);
                    return Ok(received);
                }
                Err(Errno::AGAIN) => {
                    self.drained = true;
                    // Where it was waited for, it is late.
                    self.brisk &= !waited;
                }
                Err(Errno::INTR) if call.is_interrupted() => return Err(Stop::Cancelled),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Has receives that may block end by themselves; whether they do.
    ///
    /// On Linux alone: only there does `DONTWAIT` keep a send from blocking whatever the socket's mode is,
    /// and does a signal end a receive that has a time limit, also where its handler asks for a restart.
    fn can_block(&mut self) -> bool {
        if !self.blocks && cfg!(any(target_os = "linux", target_os = "android")) {
            let bounded = sockopt::set_socket_timeout(&self.fd, sockopt::Timeout::Recv, Some(wait::RECEIVE));
            self.blocks = bounded.and_then(|()| rustix::io::ioctl_fionbio(&self.fd, false)).is_ok();
        }
        self.blocks
    }

    /// Bytes that are there already; never waits. For an idle connection.
    pub fn receive_idle(&mut self, room: &mut [u8]) -> usize {
        recv(&self.fd, room, RecvFlags::DONTWAIT).map_or(0, |(_, received)| received)
    }

    /// The peer ended the connection where a reply's head was due. Tells a stale connection from a lost
    /// request.
    pub fn ended(&mut self, call: &Call) -> Error {
        self.broken = true;
        if call.received() == 0 && call.is_reused() {
            // The opening handshake counts as one byte.
            let acknowledged = socket::acknowledged(self.fd.as_fd());
            if acknowledged.is_some_and(|bytes| bytes <= self.written_before + 1) {
                call.set_stale();
            }
        }
        let when = if call.received() == 0 { "before a reply" } else { "in the middle of a reply" };
        let detail = format!("The server closed the connection {when}");
        with_facts(Error::new(Kind::Connection, detail), call)
    }

    /// Whether the peer reads no further: a reply of it waits.
    pub fn drops_output(&self) -> bool {
        self.output_dropped
    }

    /// Whether it may be used again, as far as is known without asking the kernel.
    pub fn is_sound(&self) -> bool {
        !self.broken && !self.output_dropped && self.generation == fork::generation()
    }

    /// Never to be used again.
    pub fn spoil(&mut self) {
        self.broken = true;
    }

    /// Asks the kernel what lies in an idle connection: one system call.
    pub fn idle(&self) -> Idle {
        let mut byte = [0u8; 1];
        match recv(&self.fd, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => Idle::Silent,
            Ok((_, 1..)) => Idle::Unread,
            _ => Idle::Over,
        }
    }

    /// Whether bytes of a reply can be read right now.
    fn reply_waits(&self) -> bool {
        self.idle() == Idle::Unread
    }

    /// Whether what can be read begins a reply that is not an interim one (1xx).
    fn final_reply_waits(&self) -> bool {
        let mut head = [0u8; 10];
        let peeked = recv(&self.fd, &mut head, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        // `HTTP/1.1 4`: the digit tells. An end of the connection is final as well.
        matches!(peeked, Ok((_, 0))) || matches!(peeked, Ok((_, 10..))) && head[9] != b'1'
    }

    fn since(&self) -> Instant {
        self.last_progress.unwrap_or_else(Instant::now)
    }

    fn wait_for(
        &self,
        interest: PollFlags,
        call: &Call,
        limit: Option<(Instant, Limit)>,
        until: Option<Instant>,
    ) -> Result<PollFlags, Stop> {
        wait_for_one(&self.fd, interest, call, limit, until)
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
