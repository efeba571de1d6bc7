//! Client certificates (RFC 8705): of the TLS connection, or forwarded by a proxy that terminated
//! it.
//!
//! A certificate of the connection is stored together with whether an authority of the settings
//! verified it. An unverified certificate never authenticates a client by its names. Its key was
//! proven nevertheless, which is enough for a self-signed certificate (RFC 8705 §2.2) and for
//! certificate-bound tokens (§3).
//!
//! The header is accepted only from trusted proxies of the settings; from these, the certificate of
//! the connection is ignored, because it is the proxy's. The proxy must remove the header from
//! incoming requests, and must set it only for certificates that it verified, or that it passes
//! unverified for clients with self-signed certificates: for `tls_client_auth`, only the names are
//! checked here.

use std::sync::Arc;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tollgate_model::ClientMetadata;
use tollgate_model::encoding::base64url;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::form_encoding::decode;

/// A client certificate whose private key the client has.
#[derive(Clone)]
pub struct Certificate {
    der: Arc<[u8]>,
    /// Whether an authority verified the names.
    is_vouched_for: bool,
}

impl Certificate {
    /// A certificate from a TLS handshake, which proved the possession of its key.
    pub fn of_connection(der: &[u8], is_vouched_for: bool) -> Certificate {
        Certificate { der: der.into(), is_vouched_for }
    }

    /// Parses the certificate in the header of a proxy, which verified it.
    pub(super) fn of_header(value: &HeaderValue) -> Option<Certificate> {
        let der = value.to_str().ok().and_then(read)?;
        Some(Certificate { der: der.into(), is_vouched_for: true })
    }

    /// SHA-256 thumbprint in base64url, the `x5t#S256` of certificate-bound tokens.
    pub(crate) fn thumbprint(&self) -> String {
        base64url(&Sha256::digest(&self.der))
    }

    /// Whether it has the registered name of a client and is verified (RFC 8705 §2.1.2).
    pub(super) fn has_names_of(&self, metadata: &ClientMetadata) -> bool {
        let Some(certificate) = self.vouched_for() else {
            return false;
        };
        let certificate = certificate.tbs_certificate();
        if let Some(subject) = &metadata.tls_client_auth_subject_dn {
            return certificate.subject().to_string() == *subject;
        }
        let Some(wanted) = &metadata.tls_client_auth_san_dns else {
            return false;
        };
        let names = certificate.get_extension::<SubjectAltName>().ok().flatten();
        let is_wanted = |name: &GeneralName| matches!(name, GeneralName::DnsName(name) if name.as_str() == wanted);
        names.is_some_and(|(_, names)| names.0.iter().any(is_wanted))
    }

    /// Its content, if it is verified.
    fn vouched_for(&self) -> Option<x509_cert::Certificate> {
        self.is_vouched_for.then(|| x509_cert::Certificate::from_der(&self.der).ok()).flatten()
    }

    /// Whether it is among the client's registered keys, whole (`x5c`) or by its thumbprint
    /// (`x5t#S256`; RFC 8705 §2.2.2).
    pub(super) fn is_registered(&self, metadata: &ClientMetadata) -> bool {
        let keys = metadata.jwks.as_ref().and_then(|jwks| jwks.get("keys")).and_then(Value::as_array);
        let (whole, thumbprint) = (STANDARD.encode(&self.der), self.thumbprint());
        let is_this = |key: &Value| {
            key.get("x5t#S256").and_then(Value::as_str) == Some(&thumbprint)
                || key.pointer("/x5c/0").and_then(Value::as_str) == Some(&whole)
        };
        keys.is_some_and(|keys| keys.iter().any(is_this))
    }
}

/// Parses `:BASE64:` (RFC 9440 §2.1), percent-encoded PEM (nginx, Envoy), or plain base64 (Traefik,
/// HAProxy).
fn read(value: &str) -> Option<Vec<u8>> {
    let encoded = match value.strip_prefix(':').and_then(|value| value.strip_suffix(':')) {
        Some(encoded) => encoded.to_owned(),
        // Plus signs are base64 here: only percent-encoding is decoded.
        None => decode(&value.replace('+', "%2B")).ok()?,
    };
    let body = encoded.trim().trim_start_matches("-----BEGIN CERTIFICATE-----");
    let body = body.split("-----END CERTIFICATE-----").next().unwrap_or_default();
    let der = STANDARD.decode(body.split_whitespace().collect::<String>()).ok()?;
    x509_cert::Certificate::from_der(&der).is_ok().then_some(der)
}
