//! Requests of the checks: bounded in time and size, with the server's date and certificate, and
//! with the reason when the certificate is refused.

use std::error::Error;
use std::time::{Duration, UNIX_EPOCH};

use reqwest::tls::TlsInfo;
use rustls::CertificateError;
use serde_json::Value;
use tollgate_model::error_chain::with_causes;
use tollgate_system::Clock;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BODY_BYTES: usize = 256 * 1024;

/// A response.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// DER of the server's certificate.
    pub(super) certificate: Option<Vec<u8>>,
    /// Milliseconds by which the server's date is behind this machine's time of day; `Date` has
    /// whole seconds, so the difference is exact to half a second and half the response time.
    pub(super) date_behind_ms: Option<i64>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The server's certificate is refused.
    Certificate(CertificateProblem),
    /// Any other reason, for the text of a finding.
    Other(String),
}

/// Why a certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CertificateProblem {
    Expired,
    NotYetValid,
    WrongName,
    UnknownIssuer,
    Revoked,
    Other(String),
}

/// The client of all checks: follows no redirects, and looks at certificates.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    let agent = concat!("tollgate-doctor/", env!("CARGO_PKG_VERSION"));
    let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).user_agent(agent);
    http.redirect(reqwest::redirect::Policy::none()).tls_info(true).build()
}

/// Sends a request.
pub(super) async fn send(request: reqwest::RequestBuilder, clock: &Clock) -> Result<Answer, NoAnswer> {
    let asked_at_ms = clock.now_ms();
    let mut response = request.send().await.map_err(|error| no_answer(&error.without_url()))?;
    let answered_at_ms = clock.now_ms();
    let date = response.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok());
    let own_ms = asked_at_ms.midpoint(answered_at_ms);
    let date_behind_ms = date.map(|date| {
        // On average, a date without fractions is half a second old.
        let date_ms = u64::try_from(date.as_millis()).unwrap_or(u64::MAX).saturating_add(500);
        own_ms.cast_signed().saturating_sub(date_ms.cast_signed())
    });
    let status = response.status().as_u16();
    let certificate = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate).map(<[u8]>::to_vec);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(&error.without_url()))? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(NoAnswer::Other(format!("the response is longer than {MAX_BODY_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body, certificate, date_behind_ms })
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(problem)) => NoAnswer::Certificate(problem.into()),
        _ => NoAnswer::Other(with_causes(error)),
    }
}

/// The TLS error among the causes. An I/O error has it as its content, not as its source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let content = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let in_content = content.and_then(|content| tls_error(content));
    in_content.or_else(|| error.source().and_then(tls_error))
}

impl From<&CertificateError> for CertificateProblem {
    fn from(problem: &CertificateError) -> CertificateProblem {
        match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateProblem::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                CertificateProblem::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                CertificateProblem::WrongName
            }
            CertificateError::UnknownIssuer => CertificateProblem::UnknownIssuer,
            CertificateError::Revoked => CertificateProblem::Revoked,
            other => CertificateProblem::Other(other.to_string()),
        }
    }
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoAnswer::Certificate(problem) => write!(f, "its certificate {problem}"),
            NoAnswer::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CertificateProblem::Expired => f.write_str("has expired"),
            CertificateProblem::NotYetValid => f.write_str("is not valid yet"),
            CertificateProblem::WrongName => f.write_str("is for other names"),
            CertificateProblem::UnknownIssuer => f.write_str("was issued by an unknown authority"),
            CertificateProblem::Revoked => f.write_str("was revoked"),
            CertificateProblem::Other(problem) => write!(f, "is refused: {problem}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_certificate_is_found_in_an_io_error() {
        let refused = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let error = std::io::Error::other(std::io::Error::other(refused));
        let Some(rustls::Error::InvalidCertificate(problem)) = tls_error(&error) else { panic!("not found") };
        assert_eq!(CertificateProblem::from(problem), CertificateProblem::Expired);
        assert!(tls_error(&std::io::Error::other("something else")).is_none());
    }
}
