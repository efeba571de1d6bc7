//! Authorities, the certificates that they make, and an origin that serves HTTPS with one.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reqwest::ClientBuilder;
use sha2::{Digest as _, Sha256};

use crate::harness::{Origin, base64url};

/// Who makes certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(crate) struct Holder {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// A certificate for this name, with these addresses and DNS names in it.
    pub(crate) fn issue(&self, name: &str, also: &[&str]) -> Holder {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(name, also).signed_by(&key, &self.0).expect("a certificate");
        Holder { certificate: certificate.der().to_vec(), key: key.serialize_der() }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    pub(crate) fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    /// What builds clients that trust this authority alone.
    pub(crate) fn client(&self) -> ClientBuilder {
        let trusted = reqwest::Certificate::from_der(self.0.der()).expect("a certificate");
        ClientBuilder::new().tls_certs_only([trusted]).redirect(reqwest::redirect::Policy::none())
    }
}

impl Holder {
    /// A certificate of one's own making.
    pub(crate) fn self_made(name: &str) -> Holder {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(name, &[]).self_signed(&key).expect("a certificate");
        Holder { certificate: certificate.der().to_vec(), key: key.serialize_der() }
    }

    pub(crate) fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    pub(crate) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }

    pub(crate) fn identity(&self) -> reqwest::Identity {
        let pem = format!("{}{}", self.certificate_pem(), self.key_pem());
        reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity")
    }

    /// The `x5t#S256` of tokens that are bound to it.
    pub(crate) fn thumbprint(&self) -> String {
        base64url(&Sha256::digest(&self.certificate))
    }

    /// Puts it where `Secured` has its origin look.
    pub(crate) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("tls.crt"), self.certificate_pem()).expect("written");
        std::fs::write(folder.join("tls.key"), self.key_pem()).expect("written");
    }
}

/// An origin that serves HTTPS, and the authority of its certificate.
pub(crate) struct Secured {
    pub(crate) origin: Origin,
    pub(crate) authority: Authority,
    pub(crate) folder: tempfile::TempDir,
}

impl Secured {
    /// `clients`: who vouches for clients' certificates, if anybody does.
    pub(crate) async fn start(clients: Option<&Authority>, more: &[(&str, &str)]) -> Secured {
        let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("authority"));
        authority.issue("origin", &["127.0.0.1"]).write(folder.path());
        let file = |name: &str| folder.path().join(name).display().to_string();
        let (certificate, key, vouching) = (file("tls.crt"), file("tls.key"), file("clients.crt"));
        let mut settings = vec![("TOLLGATE_TLS_CERTIFICATE", certificate.as_str()), ("TOLLGATE_TLS_KEY", key.as_str())];
        if let Some(clients) = clients {
            std::fs::write(&vouching, clients.pem()).expect("written");
            settings.push(("TOLLGATE_TLS_CLIENT_CA", vouching.as_str()));
        }
        settings.extend(more);
        let mut origin = Origin::with(&settings).await;
        origin.http = authority.client().build().expect("a client");
        Secured { origin, authority, folder }
    }

    /// A client that shows this certificate, on connections of their own.
    pub(crate) fn showing(&self, holder: &Holder) -> reqwest::Client {
        let client = self.authority.client().identity(holder.identity()).pool_max_idle_per_host(0);
        client.build().expect("a client")
    }
}

fn params(name: &str, also: &[&str]) -> CertificateParams {
    let also: Vec<String> = also.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(also).expect("names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
