//! An origin for client applications with pages, registered as the documentation shows.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tollgate_tests::browser::Person;
use tollgate_tests::client_program::UserBrowser;
use tollgate_tests::origin::{AUDIENCE, TestOrigin};
use tollgate_tests::users::PASSWORD;

/// A running origin with the user alice.
pub(super) struct WebLogin {
    pub(super) origin: TestOrigin,
}

impl WebLogin {
    pub(super) async fn start() -> Result<Self> {
        let origin = TestOrigin::start().await?;
        let claims = json!({
            "name": "Alice Example", "given_name": "Alice", "family_name": "Example",
            "email": "alice@example.com", "email_verified": true,
        });
        origin.user("alice", PASSWORD, &claims)?;
        Ok(Self { origin })
    }

    pub(super) fn issuer(&self) -> &str {
        self.origin.server.issuer()
    }

    /// Registers a client by the command line, and returns its secret; none for a public client.
    pub(super) fn client(&self, id: &str, options: &[&str]) -> Result<Option<String>> {
        let created =
            self.origin.cli(&[&["client", "create", "--json", "--id", id, "--name", id][..], options].concat())?;
        let created: Value = serde_json::from_str(&created)?;
        Ok(created["client_secret"].as_str().map(str::to_owned))
    }

    /// Registers a client with a secret.
    pub(super) fn confidential_client(&self, id: &str, options: &[&str]) -> Result<String> {
        self.client(id, options)?.with_context(|| format!("{id} has no secret"))
    }

    /// alice's browser, without a session.
    pub(super) fn browser(&self) -> Result<UserBrowser> {
        UserBrowser::new(&self.origin.server.url(), Person::new("alice", PASSWORD))
    }

    /// An access token of a client by client credentials.
    pub(super) async fn access_token(&self, client: &str, secret: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let form = [&[("grant_type", "client_credentials")][..], parameters].concat();
        let request = self.origin.http.post(self.origin.url("/oauth/token")).basic_auth(client, Some(secret));
        let answer: Value = request.form(&form).send().await?.json().await?;
        Ok(answer["access_token"].as_str().with_context(|| answer.to_string())?.to_owned())
    }

    /// An access token of a new client for the default audience, by this verifier's preset.
    pub(super) async fn token_for_verifier(&self, preset: &str) -> Result<String> {
        self.resource(preset, &[])?;
        let secret = self.confidential_client("machine", &["--scope", "read"])?;
        self.access_token("machine", &secret, &[("resource", AUDIENCE)]).await
    }

    /// Registers the resource server of the default audience, with a preset for who verifies.
    pub(super) fn resource(&self, preset: &str, more: &[&str]) -> Result<()> {
        let create = ["resource", "create", AUDIENCE, "--name", "API", "--scope", "read=Read", "--verifier", preset];
        self.origin.cli(&[&create[..], more].concat()).map(drop)
    }
}

/// Prints the line of the table in docs/clients.md that the client's result is.
pub(super) fn report(client: &str, what: &str, result: &str) {
    println!("{client} × {what} × {result}");
}

/// The token with one character of its signature changed.
pub(super) fn with_other_signature(token: &str) -> Result<String> {
    let (start, signature) = token.rsplit_once('.').context("a JWT")?;
    let (first, rest) = signature.split_at_checked(1).context("a signature")?;
    ensure!(rest.len() > 20, "a signature of {} characters", signature.len());
    Ok(format!("{start}.{}{rest}", if first == "A" { "B" } else { "A" }))
}
