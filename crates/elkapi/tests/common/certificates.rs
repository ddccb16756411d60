//! Certificates made when a test runs: authorities, those they sign, and the two that cannot be made.

// Each test program uses a part of it.
#![allow(dead_code)]

use elkapi_sim::{Options, Simulator, TlsOptions, TlsVersions};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority of a test's own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new(name: &str) -> Authority {
        Authority(
            CertifiedIssuer::self_signed(Authority::params(name), KeyPair::generate().unwrap()).unwrap(),
        )
    }

    /// One that this one vouches for.
    pub fn intermediate(&self, name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::signed_by(Authority::params(name), key, &self.0).unwrap())
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs what `params` say, for a new key.
    pub fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// An ordinary certificate of a server on this machine.
    pub fn server(&self) -> Identity {
        self.sign(for_names(&["localhost", "127.0.0.1"]))
    }
}

/// A certificate with those that lead to its authority, and its key.
#[derive(Clone)]
pub struct Identity {
    pub chain: String,
    pub key: String,
}

impl Identity {
    pub fn self_signed(params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    /// With a further certificate in the chain.
    pub fn and(mut self, authority: &Authority) -> Identity {
        self.chain.push_str(&authority.pem());
        self
    }

    /// One of the files in `tests/certificates`, and its authority.
    pub fn from_file(text: &str) -> (Identity, String) {
        let blocks: Vec<_> = text.split("-----BEGIN ").skip(1).map(|b| format!("-----BEGIN {b}")).collect();
        (Identity { chain: blocks[0].clone(), key: blocks[1].clone() }, blocks[2].clone())
    }

    pub fn tls(&self) -> TlsOptions {
        TlsOptions { cert_chain_pem: self.chain.clone(), key_pem: self.key.clone(), ..TlsOptions::default() }
    }

    /// A gateway with this certificate.
    pub fn serve(&self) -> Simulator {
        serve(self.tls())
    }

    /// A gateway with this certificate that speaks those versions only.
    pub fn serve_only(&self, versions: TlsVersions) -> Simulator {
        serve(TlsOptions { versions, ..self.tls() })
    }
}

/// A gateway with these TLS options.
pub fn serve(tls: TlsOptions) -> Simulator {
    Simulator::start(Options { tls: Some(tls), ..Options::default() }).unwrap()
}

/// A certificate for these host names and addresses.
pub fn for_names(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = named("elkapi test");
    params
}

/// A distinguished name of this common name alone.
pub fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
