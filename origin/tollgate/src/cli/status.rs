//! `tollgate token status`: looks up a token of any issuer in its status list, as a verifier does.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use tollgate_model::encoding::from_base64url;
use tollgate_model::status_list::StatusClaim;
use tollgate_model::status_list::StatusListReference;
use tollgate_services::status_lists::{MAX_TOKEN_BYTES, MEDIA_TYPE, StatusListToken};
use tollgate_system::Clock;

use super::output::Output;

const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Look up a token in its status list, which is fetched or read from a file
///
/// This verifies the list's signature with the keys of the token's issuer or with given keys. It
/// does not verify the token: use `tollgate token verify`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Token
    token: String,
    /// Read the status list token from this file instead of fetching it
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Verify the list's signature with the keys in this file, not those at
    /// ISSUER/.well-known/jwks.json
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
}

/// The claims needed for the lookup.
#[derive(Deserialize)]
struct UnverifiedClaims {
    iss: String,
    status: Option<StatusClaim>,
}

#[derive(Serialize)]
struct StatusView {
    /// `valid`, `revoked`, or `status N` for other values.
    status: String,
    idx: u64,
    uri: String,
    /// Unix time in seconds at which the list was signed.
    as_of: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
}

impl StatusArgs {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<()> {
        let unverified_claims = self.unverified_claims()?;
        let Some(StatusClaim { status_list: reference }) = unverified_claims.status else {
            bail!("the token has no status claim");
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (list, keys) = runtime.block_on(self.read_or_fetch(&reference, &unverified_claims.iss))?;
        let list = StatusListToken::signed_by(&keys, &list).context("the status list is invalid")?;
        output.print(&look_up(&list, reference)?, |view| format!("{} as of {}", view.status, view.as_of))
    }

    fn unverified_claims(&self) -> anyhow::Result<UnverifiedClaims> {
        let mut parts = self.token.split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            bail!("not a JWT: a JWT has three parts, separated by dots");
        };
        let claims = from_base64url(claims).context("the claims are not base64url")?;
        serde_json::from_slice(&claims).context("the claims are not valid JSON")
    }

    async fn read_or_fetch(&self, reference: &StatusListReference, issuer: &str) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
        // Fails if a provider is already installed, which is then used.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let list = match &self.list {
            Some(file) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
            None => fetch(&reference.uri, MEDIA_TYPE).await?,
        };
        let keys = match &self.jwks {
            Some(file) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
            None => {
                let url = format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/'));
                fetch(&url, "application/json").await?
            }
        };
        Ok((list, keys))
    }
}

/// The checks of TSL section 8.3 that follow the signature.
fn look_up(list: &StatusListToken, reference: StatusListReference) -> anyhow::Result<StatusView> {
    ensure!(list.subject == reference.uri, "the token names another status list than {}", list.subject);
    let expired = list.expires_at.is_some_and(|at| Clock::system().now() >= at);
    ensure!(!expired, "the status list has expired: fetch a newer one");
    let status = list.list.status(reference.idx).context("the token's index is beyond the end of the status list")?;
    let status = match status {
        0 => "valid".to_owned(),
        1 => "revoked".to_owned(),
        other => format!("status {other}"),
    };
    Ok(StatusView { status, idx: reference.idx, uri: reference.uri, as_of: list.issued_at, ttl: list.ttl })
}

async fn fetch(url: &str, media_type: &str) -> anyhow::Result<Vec<u8>> {
    let http =
        reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::limited(3)).build()?;
    let request = http.get(url).header(reqwest::header::ACCEPT, media_type);
    let mut response = request.send().await.with_context(|| format!("cannot fetch {url}"))?;
    ensure!(response.status() == reqwest::StatusCode::OK, "{url} responded with {}", response.status());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        ensure!(
            body.len() + chunk.len() <= MAX_TOKEN_BYTES,
            "the response of {url} is longer than {MAX_TOKEN_BYTES} bytes"
        );
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
