//! TLS over one of our sockets: handshake, records, and what an idle connection may still receive.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::ops::Range;
use std::time::Instant;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::socket::{Idle, Socket};
use super::wait::{Stop, with_facts};
use crate::call::Call;
use crate::error::{Error, Kind, Phase};
use crate::tls::{Trust, is_refusal, reason};

/// Encrypted bytes are sent when this many wait.
const RECORDS: usize = 64 * 1024;
/// Room for a whole record, which is also what one read brings at most.
const INCOMING: usize = 18 * 1024;

/// A TLS connection with its buffers.
pub(crate) struct Tls {
    socket: Socket,
    connection: ClientConnection,
    /// Encrypted bytes on their way out.
    records: Vec<u8>,
    /// Encrypted bytes on their way in.
    incoming: Vec<u8>,
    /// The part of `incoming` that was not decrypted yet.
    unread: Range<usize>,
    /// The server has replied: it accepted what we showed in the handshake. In TLS 1.3 it sees our
    /// certificate only after the handshake has ended for us.
    accepted: bool,
    host: String,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS over a new socket to that host, hands shaken.
    pub fn over(socket: Socket, trust: &Trust, host: &str, call: &Call) -> Result<Tls, Stop> {
        call.set_phase(Phase::Tls);
        let facts = |error: Error| Stop::from(with_facts(error, call));
        let config = trust.client_config().map_err(facts)?;
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned())
            .map_err(|_| facts(Error::new(Kind::Tls, format!("No certificate can carry the name {host}"))))?;
        let mut connection = ClientConnection::new(config, name)
            .map_err(|error| facts(Error::new(Kind::Tls, format!("TLS cannot begin: {error}"))))?;
        // What waits is bounded by `RECORDS`; a limit here would only make writes short.
        connection.set_buffer_limit(None);
        let mut tls = Tls {
            socket,
            connection,
            records: Vec::new(),
            incoming: Vec::new(),
            unread: 0..0,
            accepted: false,
            host: host.to_owned(),
        };
        tls.shake_hands(call)?;
        Ok(tls)
    }

    fn shake_hands(&mut self, call: &Call) -> Result<(), Stop> {
        while self.connection.is_handshaking() {
            self.send_records(call)?;
            if self.connection.is_handshaking() && !self.receive_records(call, None)? {
                let detail = format!("{} closed the connection during the TLS handshake", self.host);
                return Err(with_facts(Error::new(Kind::Connection, detail), call).into());
            }
        }
        // The closing message of the handshake leaves with the request, unless none follows now.
        if call.is_warming() { self.send_records(call) } else { Ok(()) }
    }

    /// Encrypts and sends all of it.
    pub fn send(&mut self, pieces: &[IoSlice<'_>], call: &Call) -> Result<(), Stop> {
        for piece in pieces.iter().flat_map(|piece| piece.chunks(RECORDS)) {
            self.connection.writer().write_all(piece)?;
            self.collect_records();
            if self.records.len() >= RECORDS {
                self.send_records(call)?;
            }
        }
        self.send_records(call)
    }

    fn collect_records(&mut self) {
        while self.connection.wants_write() {
            // Writing into memory does not fail.
            if self.connection.write_tls(&mut self.records).unwrap_or(0) == 0 {
                break;
            }
        }
    }

    fn send_records(&mut self, call: &Call) -> Result<(), Stop> {
        self.collect_records();
        let sent = self.socket.send(&mut [IoSlice::new(&self.records)], call, false);
        self.records.clear();
        sent.map_err(|stop| self.named(call, stop))
    }

    /// While shaking hands the failure also names the host: nothing else of it is known yet.
    fn named(&self, call: &Call, stop: Stop) -> Stop {
        match stop {
            Stop::Failed(error) if call.phase() == Phase::Tls => {
                Stop::Failed(io::Error::new(error.kind(), format!("{error} ({})", self.host)))
            }
            other => other,
        }
    }

    /// Decrypts some of what came, waiting for more where nothing is left; `false` at the end of the
    /// connection. No more than that, so that what was decrypted can be taken out before the next.
    fn receive_records(&mut self, call: &Call, until: Option<Instant>) -> Result<bool, Stop> {
        if self.unread.is_empty() {
            self.incoming.resize(INCOMING, 0);
            let received = self.socket.receive_records(&mut self.incoming, call, until);
            self.unread = 0..received.map_err(|stop| self.named(call, stop))?;
        }
        // An end of the connection is told by reading nothing.
        let taken = self.connection.read_tls(&mut &self.incoming[self.unread.clone()])?;
        self.unread.start += taken;
        if let Err(error) = self.connection.process_new_packets() {
            // The peer is told why, if it still listens. Whether it does changes nothing for us.
            self.collect_records();
            let _ = self.socket.send(&mut [IoSlice::new(&self.records)], call, false);
            return Err(self.refused(call, &error));
        }
        Ok(taken > 0)
    }

    fn refused(&self, call: &Call, error: &rustls::Error) -> Stop {
        let error = if call.phase() == Phase::Tls || !self.accepted && is_refusal(error) {
            call.set_phase(Phase::Tls);
            Error::new(Kind::Tls, reason(error, &self.host))
        } else {
            let detail = format!("The TLS connection to {} broke: {error}", self.host);
            Error::new(Kind::Connection, detail)
        };
        with_facts(error, call).into()
    }

    /// Receives some bytes of a reply, waiting for the first, `until` then where the caller has no more
    /// patience; 0 at the end of the connection.
    pub fn receive(&mut self, room: &mut [u8], call: &Call, until: Option<Instant>) -> Result<usize, Stop> {
        loop {
            match self.connection.reader().read(room) {
                Ok(0) => {
                    self.socket.spoil();
                    return Ok(0);
                }
                Ok(received) => {
                    self.accepted = true;
                    call.count_received(received);
                    return Ok(received);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.receive_records(call, until)?;
                }
                // The connection ended without TLS saying so: anybody can do that, so a reply that
                // only an end would complete is not complete.
                Err(_) if call.phase() == Phase::Read => {
                    let detail = "The connection ended in the middle of the reply, without TLS saying so";
                    return Err(with_facts(Error::new(Kind::Connection, detail), call).into());
                }
                Err(_) => {
                    self.socket.spoil();
                    return Ok(0);
                }
            }
        }
    }

    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Whether nothing is left of the exchange that came to its end.
    pub fn is_at_rest(&mut self) -> bool {
        self.records.is_empty() && self.is_quiet()
    }

    /// Whether nothing but session tickets came while it lay idle.
    pub fn is_silent(&mut self) -> bool {
        match self.socket.idle() {
            Idle::Silent => true,
            Idle::Unread => {
                self.incoming.resize(INCOMING, 0);
                self.unread = 0..self.socket.receive_idle(&mut self.incoming);
                self.is_quiet() && self.socket.idle() == Idle::Silent
            }
            Idle::Over => false,
        }
    }

    /// Takes in what came behind the reply or while the connection lay idle: session tickets are no
    /// reason to drop it, anything else is.
    fn is_quiet(&mut self) -> bool {
        loop {
            match self.connection.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                _ => return false,
            }
            if self.unread.is_empty() {
                return true;
            }
            match self.connection.read_tls(&mut &self.incoming[self.unread.clone()]) {
                Ok(taken @ 1..) => self.unread.start += taken,
                _ => return false,
            }
        }
    }
}
