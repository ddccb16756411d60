//! Whom to trust: certificates and keys out of PEM, the TLS configuration made of them, and what a
//! refusal means in words.
//!
//! What the caller gives is read and checked when the client is made. The system's store is read
//! when the first TLS connection is. No socket here; `net/tls` uses the result.

use std::fs;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, InconsistentKeys,
    InvalidMessage, PeerIncompatible, RootCertStore, SignatureScheme, SupportedProtocolVersion, version,
};

use crate::error::{Error, Kind};
use crate::sys::fork;

static FROM_1_2: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
static FROM_1_3: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// The options that concern TLS, as the caller gave them.
#[derive(Default)]
pub(crate) struct TlsOptions<'a> {
    pub ca_file: Option<&'a str>,
    pub ca_pem: Option<&'a str>,
    pub client_cert_file: Option<&'a str>,
    pub client_key_file: Option<&'a str>,
    pub min_tls: Option<&'a str>,
    pub insecure_skip_verify: bool,
}

/// Read and checked.
pub(crate) struct Trust {
    /// Certificate authorities beside the system's.
    extra: Vec<CertificateDer<'static>>,
    identity: Option<Identity>,
    versions: &'static [&'static SupportedProtocolVersion],
    verify: bool,
    made: ArcSwapOption<Made>,
}

/// The configuration of this process: sessions must not resume on both sides of a fork.
struct Made {
    generation: u64,
    config: Arc<ClientConfig>,
}

/// Our own certificate chain and key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Trust {
    /// # Errors
    ///
    /// `config`, naming the option, the file and the block that cannot be used.
    pub fn new(options: &TlsOptions) -> Result<Trust, Error> {
        let mut extra = Vec::new();
        if let Some(path) = options.ca_file {
            extra.extend(authorities("ca_file", &format!("the file {path}"), &file("ca_file", path)?)?);
        }
        if let Some(pem) = options.ca_pem {
            extra.extend(authorities("ca_pem", "the text", pem.as_bytes())?);
        }
        let identity = match (options.client_cert_file, options.client_key_file) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(Identity::read(cert, key)?),
            (Some(_), None) => return Err(alone("client_cert_file", "client_key_file")),
            (None, Some(_)) => return Err(alone("client_key_file", "client_cert_file")),
        };
        let versions = match options.min_tls {
            None | Some("1.2") => FROM_1_2,
            Some("1.3") => FROM_1_3,
            Some(other) => {
                return Err(wrong(
                    "min_tls",
                    format!("must be \"1.2\" or \"1.3\", but it is {}", quoted(other)),
                ));
            }
        };
        let verify = !options.insecure_skip_verify;
        let trust = Trust { extra, identity, versions, verify, made: ArcSwapOption::empty() };
        if trust.identity.is_some() {
            // Shows whether the key belongs to the certificate before anybody connects.
            trust.with_roots(RootCertStore::empty()).map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => wrong(
                    "client_key_file",
                    "is not the key of the first certificate in client_cert_file".to_owned(),
                ),
                error => wrong(
                    "client_key_file",
                    format!("cannot be used with the certificate in client_cert_file: {error}"),
                ),
            })?;
        }
        Ok(trust)
    }

    /// The configuration for connections: made for the first, and the same for all that follow, so
    /// that sessions resume.
    ///
    /// # Errors
    ///
    /// `config` when `SSL_CERT_FILE` or `SSL_CERT_DIR` is set and holds nothing usable.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, Error> {
        let generation = fork::generation();
        let present = self.made.load_full();
        if let Some(made) = present.as_ref().filter(|made| made.generation == generation) {
            return Ok(made.config.clone());
        }
        let made = Arc::new(Made { generation, config: Arc::new(self.make()?) });
        let before = self.made.compare_and_swap(&present, Some(made.clone()));
        match arc_swap::Guard::into_inner(before) {
            // Another thread was faster.
            Some(other) if other.generation == generation => Ok(other.config.clone()),
            parents => {
                // A thread of the parent may have been changing its session store when the fork
                // copied it: it is neither looked at nor dropped.
                mem::forget((parents, present));
                Ok(made.config.clone())
            }
        }
    }

    fn make(&self) -> Result<ClientConfig, Error> {
        let mut roots = RootCertStore::empty();
        if self.verify {
            roots = system_roots()?;
            // Each was checked when it was read.
            roots.add_parsable_certificates(self.extra.iter().cloned());
        }
        self.with_roots(roots).map_err(|error| {
            Error::config(format!("No TLS configuration can be made of the options: {error}"))
        })
    }

    fn with_roots(&self, roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
        // Named explicitly: another library in the process may have set a default of its own.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(self.versions)?;
        let builder = if self.verify {
            builder.with_root_certificates(roots)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustsAnyone(provider)))
        };
        match &self.identity {
            Some(identity) => builder.with_client_auth_cert(identity.chain.clone(), identity.key.clone_key()),
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

impl Identity {
    fn read(cert_file: &str, key_file: &str) -> Result<Identity, Error> {
        let what = format!("the file {cert_file}");
        let chain = certificates("client_cert_file", &what, &file("client_cert_file", cert_file)?)?;
        let key = private_key(key_file)?;
        Ok(Identity { chain, key })
    }
}

/// The system's certificate authorities, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name;
/// the bundled ones where the system has none, as in an empty container.
fn system_roots() -> Result<RootCertStore, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        if let Some(value) = std::env::var_os(name) {
            let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
            return Err(Error::new(
                Kind::Config,
                format!(
                    "{name} is set to {} but no certificate could be read from it{why}",
                    quoted(&value.to_string_lossy())
                ),
            ));
        }
    }
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    Ok(roots)
}

fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, Error> {
    const OPTION: &str = "client_key_file";
    let pem = file(OPTION, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        pem::Error::NoItemsFound if memchr::memmem::find(&pem, b"ENCRYPTED PRIVATE KEY").is_some() => wrong(
            OPTION,
            format!("has a key that is protected by a password; give it without one (file {path})"),
        ),
        pem::Error::NoItemsFound => {
            wrong(OPTION, format!("has no key in PEM (-----BEGIN PRIVATE KEY-----) in the file {path}"))
        }
        error => wrong(OPTION, format!("has a key that cannot be read: {error} (file {path})")),
    })
}

fn file(option: &str, path: &str) -> Result<Vec<u8>, Error> {
    fs::read(path)
        .map_err(|error| wrong(option, format!("names the file {path}, which cannot be read: {error}")))
}

fn certificates(option: &str, what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut list = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        list.push(certificate.map_err(|error| {
            wrong(
                option,
                format!("has a certificate that cannot be read: block {} of {what}: {error}", index + 1),
            )
        })?);
    }
    if list.is_empty() {
        return Err(wrong(
            option,
            format!("has no certificate in PEM (-----BEGIN CERTIFICATE-----) in {what}"),
        ));
    }
    Ok(list)
}

/// Certificates that can serve as authorities.
fn authorities(option: &str, what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let list = certificates(option, what, pem)?;
    for (index, certificate) in list.iter().enumerate() {
        RootCertStore::empty().add(certificate.clone()).map_err(|error| {
            wrong(
                option,
                format!("has a certificate that cannot be used: block {} of {what}: {error}", index + 1),
            )
        })?;
    }
    Ok(list)
}

fn wrong(option: &str, why: String) -> Error {
    Error::config(format!("The option \"{option}\" {why}")).with_param(option)
}

fn alone(given: &str, missing: &str) -> Error {
    wrong(missing, format!("is missing beside \"{given}\": a client certificate needs both"))
}

fn quoted(text: &str) -> String {
    crate::json::quote(text)
}

/// Whether a server says with it, after the handshake, that it does not accept us.
pub(crate) fn is_refusal(error: &rustls::Error) -> bool {
    use AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else { return false };
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::HandshakeFailure
    )
}

/// Why no connection came about, as a sentence for a person without the final full stop.
pub(crate) fn reason(error: &rustls::Error, host: &str) -> String {
    use AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(why) => {
            format!("The certificate of {host} is not trusted: {}", distrust(why))
        }
        rustls::Error::AlertReceived(alert) => {
            let why = match alert {
                Alert::CertificateRequired | Alert::NoCertificate => {
                    "it wants a client certificate (client_cert_file and client_key_file)"
                }
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA => "it does not accept the client certificate",
                Alert::ProtocolVersion => "it speaks no version of TLS that is accepted here (min_tls)",
                Alert::HandshakeFailure => {
                    "it has no cipher in common with this client, or wants a client certificate"
                }
                Alert::UnrecognisedName => "it does not serve that name",
                Alert::AccessDenied => "it denies access",
                _ => return format!("{host} refuses the TLS connection: {error}"),
            };
            format!("{host} refuses the TLS connection: {why} (alert {alert:?})")
        }
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => format!("{host} speaks no version of TLS that is accepted here (min_tls)"),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            format!("{host} does not speak TLS on this port; perhaps the address is one for http://")
        }
        _ => format!("TLS with {host} failed: {error}"),
    }
}

fn distrust(why: &CertificateError) -> String {
    match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it expired on {}", date(not_after))
        }
        CertificateError::Expired => "it has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is valid only from {}; is the clock right?", date(not_before))
        }
        CertificateError::NotValidYet => "it is not valid yet; is the clock right?".to_owned(),
        CertificateError::UnknownIssuer => {
            "no authority known here has signed it, or the server leaves out the certificates in between \
             (ca_file adds an authority)"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "it names no host (no subjectAltName)".to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<_> = presented.iter().take(5).map(|name| bare(name)).collect();
            let more = if presented.len() > names.len() { " and others" } else { "" };
            format!("it is for {}{more}", names.join(", "))
        }
        CertificateError::NotValidForName => "it is for another name".to_owned(),
        CertificateError::BadSignature => {
            "a signature in it is wrong, or made with a key that is too short (RSA under 2048 bits)"
                .to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that is not accepted (any more), such as with SHA-1".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not meant for servers (extendedKeyUsage)".to_owned()
        }
        CertificateError::BadEncoding => "it is damaged".to_owned(),
        CertificateError::Revoked => "it was revoked".to_owned(),
        other => other.to_string(),
    }
}

/// `DnsName("example.com")` without its wrapping.
fn bare(name: &str) -> &str {
    let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inside.trim_matches('"')
}

fn date(at: &UnixTime) -> String {
    // The last second of the year 9999, beyond which certificates know no dates either.
    let seconds = at.as_secs().min(253_402_300_799);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// For `insecure_skip_verify` alone: any certificate will do, though whoever shows it must hold its
/// key.
#[derive(Debug)]
struct TrustsAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
