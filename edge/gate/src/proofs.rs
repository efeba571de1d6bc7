//! What a request presents in addition to its token: its DPoP proof, its URL as the client sees it,
//! and its client certificate.

use std::fmt;

use base64_simd::STANDARD;
use tollgate_core::{DpopRequest, ProofError, RequestUrl, Thumbprint, certificate_thumbprint};

use crate::gate::{Gate, one_value};
use crate::message::Request;
use crate::path;
use crate::routing::authority;
use crate::setting_error::SettingError;

/// Longest header with a certificate that is read, in bytes.
const MAX_CERTIFICATE_HEADER_BYTES: usize = 16 * 1024;

/// The URL at which clients reach an edge: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    is_https: bool,
    authority: String,
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_https { "https://" } else { "http://" })?;
        f.write_str(&self.authority)
    }
}

impl PublicUrl {
    /// Reads the value of the setting `name`, which must have no path.
    pub(crate) fn read(name: &'static str, value: &str) -> Result<Self, SettingError> {
        let (is_https, rest) = match value.strip_prefix("https://") {
            Some(rest) => (true, Some(rest)),
            None => (false, value.strip_prefix("http://")),
        };
        let authority = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let authority = authority.filter(|text| !text.is_empty() && text.bytes().all(is_byte));
        let problem = || format!("must be a URL without a path such as https://api.example, not {value:?}");
        let authority = authority.ok_or_else(|| SettingError { name, problem: problem() })?;
        Ok(Self { is_https, authority: authority.to_owned() })
    }
}

impl Gate {
    /// What a DPoP proof must match, for a request with `token` at this time (Unix seconds).
    pub(crate) fn dpop_request<'a>(&'a self, request: &Request<'a>, token: &'a [u8], now: u64) -> DpopRequest<'a> {
        let mut proofs = request.header("dpop");
        let proof = match (proofs.next(), proofs.next()) {
            (None, _) => Err(ProofError::Missing),
            (Some(proof), None) => Ok(proof),
            (Some(_), Some(_)) => Err(ProofError::Several),
        };
        let settings = self.settings();
        DpopRequest {
            proof,
            method: request.method,
            url: self.request_url(request),
            token,
            nonce_key: settings.dpop_nonce_key.as_ref(),
            leeway: settings.leeway,
            now,
        }
    }

    /// The URL of the request as its client sees it: by the settings, or else by what a trusted
    /// proxy forwards, or else by the connection and `Host`. `None` if one of these is ambiguous.
    fn request_url<'a>(&'a self, request: &Request<'a>) -> Option<RequestUrl<'a>> {
        let path = request.path();
        if let Some(PublicUrl { is_https, authority }) = &self.settings().public_url {
            return Some(RequestUrl { is_https: *is_https, authority, path });
        }
        let is_proxied = request.connection.is_from_trusted_proxy;
        let forwarded = |name| if is_proxied { single_value(request, name) } else { Some(None) };
        let is_https = match forwarded("x-forwarded-proto")? {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => request.connection.is_https,
        };
        Some(RequestUrl { is_https, authority: authority(request)?, path })
    }

    /// Thumbprint of the client's certificate: of the connection's, or of the one that a trusted
    /// proxy forwards in the header of the settings. A trusted proxy's own certificate is not the
    /// client's.
    pub(crate) fn client_certificate(&self, request: &Request<'_>) -> Option<Thumbprint> {
        if !request.connection.is_from_trusted_proxy {
            return request.connection.client_certificate;
        }
        let header = self.settings().client_certificate_header.as_deref()?;
        let value = single_value(request, header)??;
        forwarded_certificate(value).map(|certificate| certificate_thumbprint(&certificate))
    }
}

/// The value of a header, if there is one; `None` if it is repeated or a list.
pub(crate) fn single_value<'a>(request: &Request<'a>, name: &str) -> Option<Option<&'a str>> {
    one_value(request, name).ok().filter(|value| value.is_none_or(|value| !value.contains(',')))
}

/// The DER bytes of a certificate in a header: `:BASE64:` (RFC 9440 section 2.1), percent-encoded
/// PEM (nginx, Envoy), or plain base64 (Traefik, HAProxy).
fn forwarded_certificate(value: &str) -> Option<Vec<u8>> {
    if value.len() > MAX_CERTIFICATE_HEADER_BYTES {
        return None;
    }
    let text = match value.strip_prefix(':').and_then(|value| value.strip_suffix(':')) {
        Some(encoded) => encoded.to_owned(),
        None => String::from_utf8(path::percent_decode(value)?).ok()?,
    };
    let body = text.trim().trim_start_matches("-----BEGIN CERTIFICATE-----");
    let body = body.split_once("-----END CERTIFICATE-----").map_or(body, |(body, _)| body);
    let body: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    // A certificate is a sequence.
    STANDARD.decode_to_vec(body).ok().filter(|certificate| certificate.first() == Some(&0x30))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_certificates_are_read_in_three_forms() {
        let der = [0x30, 3, 2, 1, 0xfb];
        for value in [
            ":MAMCAfs=:",
            "MAMCAfs=",
            "-----BEGIN%20CERTIFICATE-----%0AMAMC%0AAfs%3D%0A-----END%20CERTIFICATE-----%0A",
            "-----BEGIN CERTIFICATE-----MAMCAfs=-----END CERTIFICATE----------BEGIN CERTIFICATE-----AAAA",
        ] {
            assert_eq!(forwarded_certificate(value).as_deref(), Some(&der[..]), "{value}");
        }
        let long = "A".repeat(MAX_CERTIFICATE_HEADER_BYTES + 1);
        for value in ["", "(null)", "::", ":MAMCAfs:", "%zz", "AAAA", "MAMC_fs=", "%ff", &long] {
            assert_eq!(forwarded_certificate(value), None, "{value}");
        }
    }

    #[test]
    fn public_url_has_no_path() {
        for (value, is_https, authority) in [
            ("https://api.example", true, "api.example"),
            ("http://127.0.0.1:8787/", false, "127.0.0.1:8787"),
            ("https://[::1]:8443", true, "[::1]:8443"),
        ] {
            let url = PublicUrl { is_https, authority: authority.to_owned() };
            assert_eq!(PublicUrl::read("X", value), Ok(url));
        }
        for value in
            ["", "api.example", "https://", "https:///", "https://a/b", "https://u@a", "https://a?b", "ftp://a"]
        {
            assert!(PublicUrl::read("X", value).is_err(), "{value}");
        }
    }
}
