//! `tollgate token status`: what a status list says of a token, of this issuer or another, as any
//! verifier would find it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use tollgate_model::encoding::from_base64url;
use tollgate_model::status_list::StatusClaim;
use tollgate_model::status_list::StatusListReference;
use tollgate_services::status_lists::{MAX_TOKEN_BYTES, MEDIA_TYPE, StatusListToken};
use tollgate_system::clock;

use super::output::Output;

/// How long a list or a key set may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Look up a token's status in its status list, fetched from where the token says, or in a file
///
/// The token itself is not verified: `tollgate token verify` does that. The list's signature is,
/// against the keys of the token's issuer or those given.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// The token
    token: String,
    /// Read the status list token from this file, instead of fetching it
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Check the list's signature with the keys in this file, instead of those at
    /// ISSUER/.well-known/jwks.json
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
}

/// Of a token that is not verified, what leads to its status.
#[derive(Deserialize)]
struct UnverifiedClaims {
    iss: String,
    status: Option<StatusClaim>,
}

#[derive(Serialize)]
struct StatusView {
    /// `valid`, `revoked`, or `status N` for what other issuers have.
    status: String,
    idx: u64,
    uri: String,
    /// When the list was signed, Unix seconds.
    as_of: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
}

impl StatusArgs {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<()> {
        let unverified_claims = self.unverified_claims()?;
        let Some(StatusClaim { status_list: place }) = unverified_claims.status else {
            bail!("the token does not say where its status stands: it has no status claim");
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (list, keys) = runtime.block_on(self.read_or_fetch(&place, &unverified_claims.iss))?;
        let list = StatusListToken::signed_by(&keys, &list).context("the status list cannot be used")?;
        output.print(&look_up(&list, place)?, |view| format!("{} as of {}", view.status, view.as_of))
    }

    fn unverified_claims(&self) -> anyhow::Result<UnverifiedClaims> {
        let mut parts = self.token.split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            bail!("a token has three parts with dots between them");
        };
        let claims = from_base64url(claims).context("the claims are not base64url")?;
        serde_json::from_slice(&claims).context("the claims cannot be read")
    }

    async fn read_or_fetch(&self, place: &StatusListReference, issuer: &str) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
        // Another choice made before is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let list = match &self.list {
            Some(file) => std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?,
            None => fetch(&place.uri, MEDIA_TYPE).await?,
        };
        let keys = match &self.jwks {
            Some(file) => std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?,
            None => {
                let url = format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/'));
                fetch(&url, "application/json").await?
            }
        };
        Ok((list, keys))
    }
}

/// The checks of TSL section 8.3 that follow the signature.
fn look_up(list: &StatusListToken, place: StatusListReference) -> anyhow::Result<StatusView> {
    ensure!(list.subject == place.uri, "the status list is another one, {}", list.subject);
    let expired = list.expires_at.is_some_and(|at| clock::now() >= at);
    ensure!(!expired, "the status list has expired: fetch a newer one");
    let status = list.list.status(place.idx).context("the status list ends before the token's place")?;
    let status = match status {
        0 => "valid".to_owned(),
        1 => "revoked".to_owned(),
        other => format!("status {other}"),
    };
    Ok(StatusView { status, idx: place.idx, uri: place.uri, as_of: list.issued_at, ttl: list.ttl })
}

async fn fetch(url: &str, media_type: &str) -> anyhow::Result<Vec<u8>> {
    let http = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::limited(3)).build()?;
    let request = http.get(url).header(reqwest::header::ACCEPT, media_type);
    let mut answer = request.send().await.with_context(|| format!("{url} cannot be fetched"))?;
    ensure!(answer.status() == reqwest::StatusCode::OK, "{url} answered {}", answer.status());
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        ensure!(body.len() + chunk.len() <= MAX_TOKEN_BYTES, "{url} answered with too much");
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
