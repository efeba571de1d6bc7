//! The certificate of the public URL: name, authority, dates; and the certificate file.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::der::Decode as _;

use super::issuer::METADATA_PATH;
use super::{Deployment, Finding};
use crate::cli::doctor::http::{CertificateProblem, NoAnswer};

const DAY: u64 = 24 * 60 * 60;
/// Days: most authorities renew a certificate a month before it expires.
const RENEWAL_DAYS: u64 = 14;

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let now = deployment.clock.now();
    let mut findings = Vec::new();
    if let Some(tls) = &deployment.settings.tls {
        let path = tls.certificate.path.display().to_string();
        match CertificateDer::from_pem_file(&tls.certificate.path) {
            Ok(certificate) => findings.extend(judge_dates(&certificate, now, &path)),
            Err(_) => findings.push(Finding::fault(
                format!("{path} has no certificate that can be read"),
                "The origin does not start.",
                "Correct TOLLGATE_TLS_CERTIFICATE, or the file and its permissions.",
            )),
        }
    }
    let issuer = &deployment.issuer;
    if !issuer.starts_with("https://") {
        findings.push(Finding::skipped("the public URL is http"));
        return findings;
    }
    match deployment.get(&format!("{issuer}{METADATA_PATH}")).await {
        Ok(answer) => match answer.certificate {
            Some(certificate) => findings.extend(judge_dates(&certificate, now, issuer)),
            None => findings.push(Finding::skipped(format!("{issuer} showed no certificate"))),
        },
        Err(NoAnswer::Certificate(problem)) => findings.push(explain(issuer, &problem)),
        Err(NoAnswer::Other(reason)) => {
            findings.push(Finding::skipped(format!("{issuer} does not answer: {reason}")));
        }
    }
    findings
}

fn explain(issuer: &str, problem: &CertificateProblem) -> Finding {
    let action = match problem {
        CertificateProblem::Expired => {
            "Renew the certificate, and find out why it was not renewed by itself. The origin loads a new file by itself."
        }
        CertificateProblem::NotYetValid => "Check this machine's clock, and the dates of the certificate.",
        CertificateProblem::WrongName => {
            "Get a certificate with the host of TOLLGATE_PUBLIC_URL among its names, or correct the URL."
        }
        CertificateProblem::UnknownIssuer => {
            "Serve the whole chain: the certificate file must contain the intermediate certificates after the server's own. \
             For an authority of your own, add its certificate to the system's on every client, or set SSL_CERT_FILE."
        }
        CertificateProblem::Revoked | CertificateProblem::Other(_) => "Get another certificate.",
    };
    Finding::fault(
        format!("the certificate of {issuer} {problem}"),
        "Browsers, clients and edges refuse to connect.",
        action,
    )
}

/// Judges the dates of a certificate. `place`: where it was found.
fn judge_dates(der: &[u8], now: u64, place: &str) -> Vec<Finding> {
    let Ok(certificate) = x509_cert::Certificate::from_der(der) else {
        return vec![Finding::skipped(format!("the dates of the certificate of {place} cannot be read"))];
    };
    let ends = certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs();
    let Some(left) = ends.checked_sub(now) else {
        return vec![explain(place, &CertificateProblem::Expired)];
    };
    let days = left / DAY;
    vec![match days {
        0..RENEWAL_DAYS => Finding::warning(
            format!("the certificate of {place} expires in {days} days"),
            "After that, browsers, clients and edges refuse to connect.",
            "Renew it, and find out why it was not renewed by itself.",
        ),
        _ => Finding::ok(format!("the certificate of {place} is valid for {days} days")),
    }]
}
