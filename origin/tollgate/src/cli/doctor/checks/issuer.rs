//! Whether the issuer answers at its public URL, and calls itself by it.

use super::{Deployment, Finding};
use crate::cli::doctor::http::NoAnswer;

/// OpenID Connect Discovery 1.0 section 4.
pub(super) const METADATA_PATH: &str = "/.well-known/openid-configuration";

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let mut findings = vec![check_url(deployment, &deployment.issuer).await];
    if deployment.url != deployment.issuer {
        findings.push(check_url(deployment, &deployment.url).await);
    }
    findings
}

async fn check_url(deployment: &Deployment, url: &str) -> Finding {
    let issuer = &deployment.issuer;
    let answer = match deployment.get(&format!("{url}{METADATA_PATH}")).await {
        Ok(answer) => answer,
        Err(NoAnswer::Certificate(problem)) => {
            return Finding::skipped(format!("{url} cannot be asked: its certificate {problem}"));
        }
        Err(NoAnswer::Other(reason)) => {
            return Finding::fault(
                format!("{url} does not answer: {reason}"),
                "Clients and edges at this place in the network cannot reach the origin.",
                "Check that the origin runs and listens (TOLLGATE_LISTEN), the proxy in front of it, the firewall, and \
                 TOLLGATE_PUBLIC_URL.",
            );
        }
    };
    let metadata = answer.json();
    match metadata["issuer"].as_str() {
        Some(found) if found == issuer => Finding::ok(format!("the issuer at {url} is {found}")),
        Some(found) => Finding::fault(
            format!("the issuer at {url} calls itself {found}, not {issuer}"),
            "Clients refuse its metadata, ID tokens and `iss` parameters (RFC 8414 section 3.3).",
            "Set TOLLGATE_PUBLIC_URL to the URL by which clients reach the origin. A database keeps its first issuer.",
        ),
        None => Finding::fault(
            format!("{url} responds with {} and without the metadata of an origin", answer.status),
            "Something else answers at this URL: a proxy with another upstream, or one that removes the path.",
            "Let the proxy forward all paths of the public URL to the origin.",
        ),
    }
}
