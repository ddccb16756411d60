//! TLS over one of our sockets: handshake, records, and what an idle connection may still receive.

use std::fmt;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport};

use super::buffers::Corked;
use super::socket::{Idle, Socket, token};
use super::transport::{Tcp, give_up};
use super::wait::{Stop, with_facts};
use crate::call::Call;
use crate::error::{Error, Kind, Phase};
use crate::tls::{Trust, is_refusal, reason};

/// Encrypted bytes are sent when this many wait.
const RECORDS: usize = 64 * 1024;
/// Room for a whole record, which is also what one read brings at most.
const INCOMING: usize = 18 * 1024;

/// Wraps a new socket into TLS where the address asks for it.
pub(crate) struct TlsConnector {
    trust: Arc<Trust>,
}

impl TlsConnector {
    pub fn new(trust: Arc<Trust>) -> TlsConnector {
        TlsConnector { trust }
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl Connector<Either<Box<dyn Transport>, Tcp>> for TlsConnector {
    type Out = Either<Either<Box<dyn Transport>, Tcp>, Tls>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<Either<Box<dyn Transport>, Tcp>>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let tcp = match chained {
            None => return Ok(None),
            Some(Either::B(tcp)) if details.needs_tls() => tcp,
            Some(ready) => return Ok(Some(Either::A(ready))),
        };
        let call = Call::current().ok_or_else(token)?;
        call.set_phase(Phase::Tls);
        let fail = |error: Error| {
            call.fail(with_facts(error, &call));
            token()
        };
        let config = self.trust.client_config().map_err(fail)?;
        let host = details.uri.host().unwrap_or_default();
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned())
            .map_err(|_| fail(Error::new(Kind::Tls, format!("No certificate can carry the name {host}"))))?;
        let connection = ClientConnection::new(config, name)
            .map_err(|error| fail(Error::new(Kind::Tls, format!("TLS cannot begin: {error}"))))?;
        let mut tls = Tls::new(tcp.into_socket(), connection, host);
        tls.shake_hands(&call)?;
        Ok(Some(Either::B(tls)))
    }
}

/// A TLS connection with its buffers.
pub(crate) struct Tls {
    socket: Socket,
    connection: ClientConnection,
    buffers: Corked,
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
    fn new(socket: Socket, mut connection: ClientConnection, host: &str) -> Tls {
        // What waits is bounded by `RECORDS`; a limit here would only make writes short.
        connection.set_buffer_limit(None);
        Tls {
            socket,
            connection,
            buffers: Corked::default(),
            records: Vec::new(),
            incoming: Vec::new(),
            unread: 0..0,
            accepted: false,
            host: host.to_owned(),
        }
    }

    fn shake_hands(&mut self, call: &Call) -> Result<(), ureq::Error> {
        while self.connection.is_handshaking() {
            self.send_records(call)?;
            if self.connection.is_handshaking() && !self.receive_records(call)? {
                let detail = format!("{} closed the connection during the TLS handshake", self.host);
                return Err(self.failed(call, Error::new(Kind::Connection, detail)));
            }
        }
        // The closing message of the handshake leaves with the request, unless none follows now.
        if call.is_warming() { self.send_records(call) } else { Ok(()) }
    }

    /// Encrypts what is pending, and sends it when much of it waits.
    fn encrypt(&mut self, call: &Call) -> Result<(), ureq::Error> {
        let written = self.connection.writer().write_all(self.buffers.pending());
        self.buffers.sent();
        if let Err(error) = written {
            return Err(give_up(&mut self.socket, call, Stop::Failed(error)));
        }
        self.collect_records();
        if self.records.len() >= RECORDS { self.send_records(call) } else { Ok(()) }
    }

    fn collect_records(&mut self) {
        while self.connection.wants_write() {
            // Writing into memory does not fail.
            if self.connection.write_tls(&mut self.records).unwrap_or(0) == 0 {
                break;
            }
        }
    }

    fn send_records(&mut self, call: &Call) -> Result<(), ureq::Error> {
        self.collect_records();
        let sent = self.socket.send(&self.records, call, false);
        self.records.clear();
        sent.map_err(|stop| self.stopped(call, stop))
    }

    /// While shaking hands the failure also names the host: nothing else of it is known yet.
    fn stopped(&mut self, call: &Call, stop: Stop) -> ureq::Error {
        let stop = match stop {
            Stop::Failed(error) if call.phase() == Phase::Tls => {
                Stop::Failed(io::Error::new(error.kind(), format!("{error} ({})", self.host)))
            }
            other => other,
        };
        give_up(&mut self.socket, call, stop)
    }

    /// Decrypts some of what came, waiting for more where nothing is left; `false` at the end of the
    /// connection. No more than that, so that what was decrypted can be taken out before the next.
    fn receive_records(&mut self, call: &Call) -> Result<bool, ureq::Error> {
        if self.unread.is_empty() {
            self.incoming.resize(INCOMING, 0);
            match self.socket.receive_records(&mut self.incoming, call) {
                Ok(received) => self.unread = 0..received,
                Err(stop) => return Err(self.stopped(call, stop)),
            }
        }
        // An end of the connection is told by reading nothing.
        let taken = match self.connection.read_tls(&mut &self.incoming[self.unread.clone()]) {
            Ok(taken) => taken,
            Err(error) => return Err(give_up(&mut self.socket, call, Stop::Failed(error))),
        };
        self.unread.start += taken;
        if let Err(error) = self.connection.process_new_packets() {
            // The peer is told why, if it still listens. Whether it does changes nothing for us.
            self.collect_records();
            let _ = self.socket.send(&self.records, call, false);
            return Err(self.refused(call, &error));
        }
        Ok(taken > 0)
    }

    fn refused(&mut self, call: &Call, error: &rustls::Error) -> ureq::Error {
        let error = if call.phase() == Phase::Tls || !self.accepted && is_refusal(error) {
            call.set_phase(Phase::Tls);
            Error::new(Kind::Tls, reason(error, &self.host))
        } else {
            let detail = format!("The TLS connection to {} broke: {error}", self.host);
            Error::new(Kind::Connection, detail)
        };
        self.failed(call, error)
    }

    fn failed(&mut self, call: &Call, error: Error) -> ureq::Error {
        self.socket.spoil();
        call.fail(with_facts(error, call));
        token()
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

impl Transport for Tls {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let call = self.socket.begin()?;
        if self.buffers.wrote(amount) { Ok(()) } else { self.encrypt(&call) }
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let call = self.socket.begin()?;
        self.encrypt(&call)?;
        self.send_records(&call)?;
        self.buffers.end_of_output();
        self.socket.request_left(&call);
        loop {
            match self.connection.reader().read(self.buffers.room()) {
                Ok(0) => {
                    self.socket.ended(&call);
                    return Ok(false);
                }
                Ok(received) => {
                    self.accepted = true;
                    call.count_received(received);
                    self.buffers.received(received);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.receive_records(&call)?;
                }
                // The connection ended without TLS saying so: anybody can do that, so a reply that
                // only an end would complete is not complete.
                Err(_) if call.phase() == Phase::Read => {
                    let detail = "The connection ended in the middle of the reply, without TLS saying so";
                    return Err(self.failed(&call, Error::new(Kind::Connection, detail)));
                }
                Err(_) => {
                    self.socket.ended(&call);
                    return Ok(false);
                }
            }
        }
    }

    fn is_open(&mut self) -> bool {
        if !self.socket.is_sound() || !self.buffers.pending().is_empty() || !self.records.is_empty() {
            return false;
        }
        if self.socket.was_used() {
            return self.is_quiet();
        }
        if Call::current().is_some_and(|call| call.is_fresh_only()) {
            return false;
        }
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

    fn is_tls(&self) -> bool {
        true
    }
}
