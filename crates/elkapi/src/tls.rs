//! Whom to trust: certificates and keys out of PEM, and the TLS configuration made of them.
//!
//! What the caller gives is read and checked when the client is made. The system's store is read
//! when the first TLS connection is. No socket here; `net/tls` uses the result.

use std::fs;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion, version,
};

use crate::error::{Error, Kind};

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
        let trust = Trust { extra, identity, versions, verify: !options.insecure_skip_verify };
        if trust.identity.is_some() {
            // Shows whether the key belongs to the certificate before anybody connects.
            trust.with_roots(RootCertStore::empty()).map_err(|error| {
                wrong(
                    "client_key_file",
                    format!("does not go with the certificate in client_cert_file: {error}"),
                )
            })?;
        }
        Ok(trust)
    }

    /// The configuration for connections; they share its session store, so that sessions resume.
    ///
    /// # Errors
    ///
    /// `config` when `SSL_CERT_FILE` or `SSL_CERT_DIR` is set and holds nothing usable.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, Error> {
        let mut roots = RootCertStore::empty();
        if self.verify {
            roots = system_roots()?;
            // Each was checked when it was read.
            roots.add_parsable_certificates(self.extra.iter().cloned());
        }
        let config = self.with_roots(roots).map_err(|error| {
            Error::new(Kind::Config, format!("No TLS configuration can be made of the options: {error}"))
        })?;
        Ok(Arc::new(config))
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
        let key = PrivateKeyDer::from_pem_slice(&file("client_key_file", key_file)?).map_err(|error| {
            wrong(
                "client_key_file",
                format!("has no private key in PEM that can be used: {error} (file {key_file})"),
            )
        })?;
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
                format!("{name} is set to {} but no certificate could be read from it{why}", value.display()),
            ));
        }
    }
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    Ok(roots)
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
