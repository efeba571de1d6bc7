//! Certificates of origins and of their clients.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reqwest::ClientBuilder;
use sha2::{Digest as _, Sha256};

use crate::jwt::base64url;

pub struct CertificateAuthority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its private key.
pub struct Certificate {
    /// The certificate in DER.
    pub certificate: Vec<u8>,
    /// The private key as PKCS #8 in DER.
    pub key: Vec<u8>,
}

impl CertificateAuthority {
    pub fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Issues a certificate. `alternative_names`: IP addresses and DNS names.
    pub fn issue(&self, common_name: &str, alternative_names: &[&str]) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(common_name, alternative_names).signed_by(&key, &self.0).expect("a certificate");
        Certificate { certificate: certificate.der().to_vec(), key: key.serialize_der() }
    }

    /// Issues a certificate that has expired.
    pub fn issue_expired(&self, common_name: &str, alternative_names: &[&str]) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(common_name, alternative_names);
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Certificate { certificate: certificate.der().to_vec(), key: key.serialize_der() }
    }

    /// Its own certificate in DER.
    pub fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// Its own certificate in PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    /// Builds HTTP clients that trust only this authority and follow no redirects.
    pub fn client_builder(&self) -> ClientBuilder {
        let trusted = reqwest::Certificate::from_der(self.0.der()).expect("a certificate");
        ClientBuilder::new().tls_certs_only([trusted]).redirect(reqwest::redirect::Policy::none())
    }
}

impl Certificate {
    pub fn self_signed(common_name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(common_name, &[]).self_signed(&key).expect("a certificate");
        Self { certificate: certificate.der().to_vec(), key: key.serialize_der() }
    }

    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }

    /// The certificate as an HTTP client presents it.
    pub fn identity(&self) -> reqwest::Identity {
        let pem = format!("{}{}", self.certificate_pem(), self.key_pem());
        reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity")
    }

    /// Thumbprint of the certificate (RFC 8705 §3.1), the `x5t#S256` of tokens bound to it.
    pub fn thumbprint(&self) -> String {
        base64url(&Sha256::digest(&self.certificate))
    }

    /// Writes `tls.crt` and `tls.key`.
    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("tls.crt"), self.certificate_pem()).expect("a writable folder");
        std::fs::write(folder.join("tls.key"), self.key_pem()).expect("a writable folder");
    }
}

fn params(common_name: &str, alternative_names: &[&str]) -> CertificateParams {
    let alternative_names: Vec<String> = alternative_names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(alternative_names).expect("addresses and DNS names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// Encodes DER as PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
