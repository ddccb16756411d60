//! TLS over one of our sockets: handshake, records, and what an idle connection may still receive.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport};

use super::buffers::Corked;
use super::socket::{Idle, Socket, token};
use super::transport::{Tcp, give_up};
use super::wait::{Stop, with_facts};
use crate::call::Call;
use crate::error::{Error, Kind, Phase};
use crate::tls::Trust;

/// Encrypted bytes are sent when this many wait.
const RECORDS: usize = 64 * 1024;

/// Wraps a new socket into TLS where the address asks for it.
pub(crate) struct TlsConnector {
    trust: Arc<Trust>,
    /// Made for the first connection and shared by all, so that sessions resume.
    config: OnceLock<Result<Arc<ClientConfig>, Error>>,
}

impl TlsConnector {
    pub fn new(trust: Arc<Trust>) -> TlsConnector {
        TlsConnector { trust, config: OnceLock::new() }
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
        let config = self.config.get_or_init(|| self.trust.client_config()).clone().map_err(fail)?;
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
        sent.map_err(|stop| give_up(&mut self.socket, call, stop))
    }

    /// Receives and decrypts some records; `false` at the end of the connection.
    fn receive_records(&mut self, call: &Call) -> Result<bool, ureq::Error> {
        // Room for a whole record, which is also what one read brings at most.
        self.incoming.resize(18 * 1024, 0);
        let received = match self.socket.receive(&mut self.incoming, call) {
            Ok(received) => received,
            Err(stop) => return Err(give_up(&mut self.socket, call, stop)),
        };
        let mut bytes = &self.incoming[..received];
        loop {
            let read = self.connection.read_tls(&mut bytes);
            if let Err(error) = self.connection.process_new_packets() {
                // The peer is told why, if it still listens.
                let _ = self.send_records(call);
                return Err(self.refused(call, &error));
            }
            match read {
                Ok(0) => break,
                Ok(_) if bytes.is_empty() => break,
                Ok(_) => {}
                Err(error) => return Err(give_up(&mut self.socket, call, Stop::Failed(error))),
            }
        }
        Ok(received > 0)
    }

    fn refused(&mut self, call: &Call, error: &rustls::Error) -> ureq::Error {
        let host = &self.host;
        let error = match error {
            rustls::Error::InvalidCertificate(_) => {
                Error::new(Kind::Tls, format!("The certificate of {host} is not trusted: {error}"))
            }
            rustls::Error::AlertReceived(_) => {
                Error::new(Kind::Tls, format!("{host} refuses the TLS connection: {error}"))
            }
            _ => Error::new(Kind::Tls, format!("TLS with {host} failed: {error}")),
        };
        self.failed(call, error)
    }

    fn failed(&mut self, call: &Call, error: Error) -> ureq::Error {
        self.socket.spoil();
        call.fail(with_facts(error, call));
        token()
    }

    /// Takes in what came while the connection lay idle: session tickets are no reason to drop it.
    fn takes_tickets_only(&mut self) -> bool {
        self.incoming.resize(18 * 1024, 0);
        let received = self.socket.receive_idle(&mut self.incoming);
        let mut bytes = &self.incoming[..received];
        while !bytes.is_empty() {
            if self.connection.read_tls(&mut bytes).is_err() {
                return false;
            }
            match self.connection.process_new_packets() {
                Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => {}
                _ => return false,
            }
        }
        self.socket.idle() == Idle::Silent
    }
}

impl Transport for Tls {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let call = self.socket.begin()?;
        self.buffers.wrote(amount);
        if self.buffers.is_nearly_full() { self.encrypt(&call) } else { Ok(()) }
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let call = self.socket.begin()?;
        self.encrypt(&call)?;
        self.send_records(&call)?;
        self.socket.request_left(&call);
        loop {
            match self.connection.reader().read(self.buffers.room()) {
                Ok(received) => {
                    self.buffers.received(received);
                    return Ok(received > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The connection ended without TLS saying so: anybody can do that, so a reply that
                // only an end would complete is not complete.
                Err(_) if call.phase() == Phase::Read => {
                    let detail = "The connection ended in the middle of the reply, without TLS saying so";
                    return Err(self.failed(&call, Error::new(Kind::Connection, detail)));
                }
                Err(_) => return Ok(false),
            }
            self.receive_records(&call)?;
        }
    }

    fn is_open(&mut self) -> bool {
        if !self.socket.is_sound() || !self.buffers.pending().is_empty() || !self.records.is_empty() {
            return false;
        }
        if self.socket.was_used() {
            return true;
        }
        if Call::current().is_some_and(|call| call.is_fresh_only()) {
            return false;
        }
        match self.socket.idle() {
            Idle::Silent => true,
            Idle::Unread => self.takes_tickets_only(),
            Idle::Over => false,
        }
    }

    fn is_tls(&self) -> bool {
        true
    }
}
