//! TLS above a connection's socket: the server's side of it.
//!
//! `server` puts it underneath a connection before the first request is read. Nothing here knows HTTP.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
    version,
};

use crate::http::{Plain, Stream};

/// With which certificate a simulator serves, and to whom. PEM texts, as files have them.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// The server's certificate, then those that lead to its authority.
    pub cert_chain_pem: String,
    /// The key of the first certificate.
    pub key_pem: String,
    /// If set, only clients are served whose certificate was signed by one of these authorities.
    pub client_ca_pem: Option<String>,
    /// The versions of TLS that are spoken.
    pub versions: TlsVersions,
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
}

static ONLY_1_2: &[&SupportedProtocolVersion] = &[&version::TLS12];
static ONLY_1_3: &[&SupportedProtocolVersion] = &[&version::TLS13];
static BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

impl TlsVersions {
    fn list(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            TlsVersions::Both => BOTH,
            TlsVersions::Only12 => ONLY_1_2,
            TlsVersions::Only13 => ONLY_1_3,
        }
    }
}

/// What all connections of a simulator share; sessions resume among them.
pub(crate) struct Acceptor(Arc<ServerConfig>);

impl Acceptor {
    /// # Errors
    /// When a PEM text holds nothing usable, or the key is not that of the certificate.
    pub(crate) fn new(options: &TlsOptions) -> io::Result<Acceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates("certificate chain", &options.cert_chain_pem)?;
        let key = PrivateKeyDer::from_pem_slice(options.key_pem.as_bytes())
            .map_err(|error| unusable("key", &error))?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(options.versions.list())
            .map_err(|error| unusable("choice of TLS versions", &error))?;
        let builder = match &options.client_ca_pem {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("client authority", pem)? {
                    roots.add(certificate).map_err(|error| unusable("client authority", &error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| unusable("client authority", &error))?,
                )
            }
        };
        let config =
            builder.with_single_cert(chain, key).map_err(|error| unusable("certificate or key", &error))?;
        Ok(Acceptor(Arc::new(config)))
    }

    /// Shakes hands; also tells whether an earlier session was resumed.
    ///
    /// # Errors
    /// When either side refuses, or the client leaves.
    pub(crate) fn accept(&self, mut socket: Plain) -> io::Result<(Secured, bool)> {
        let mut connection = ServerConnection::new(Arc::clone(&self.0)).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok((Secured(StreamOwned::new(connection, socket)), resumed))
    }
}

fn certificates(what: &str, pem: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(what, &error))?;
    if list.is_empty() {
        return Err(unusable(what, &"there is no certificate in it"));
    }
    Ok(list)
}

fn unusable(what: &str, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("the TLS {what} cannot be used: {why}"))
}

/// A socket with TLS above it.
pub(crate) struct Secured(StreamOwned<ServerConnection, Plain>);

impl Read for Secured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Secured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Stream for Secured {
    fn end(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
    }
}
