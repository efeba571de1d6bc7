//! A public client whose user grants it tokens in a browser.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::browser::{Browser, Person};
use crate::origin::TestOrigin;

const PASSWORD: &str = "correct horse battery staple";
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// RFC 8628 §3.4.
pub const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The public client `app` and its user `alice`.
pub struct PublicClient<'a> {
    /// The origin that the client is registered at.
    pub origin: &'a TestOrigin,
    /// The user.
    pub alice: Person,
    http: reqwest::Client,
}

impl<'a> PublicClient<'a> {
    /// Registers the client and its user.
    pub fn register(origin: &'a TestOrigin) -> Result<Self> {
        origin.user("alice", PASSWORD, &json!({}))?;
        let metadata = json!({
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE_GRANT],
            "redirect_uris": ["https://app.example/cb"],
            "scope": "openid read",
        });
        origin.client("app", &metadata)?;
        Ok(Self { origin, alice: Person::new("alice", PASSWORD), http: reqwest::Client::new() })
    }

    /// URL of a path at the origin.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin.server.url())
    }

    /// A browser without a session.
    pub fn browser(&self) -> Result<Browser> {
        Browser::new(&self.origin.server.url())
    }

    /// Signs alice in, lets her allow the request, and returns the authorization code.
    pub async fn code(&self, browser: &mut Browser) -> Result<String> {
        let mut url = reqwest::Url::parse(&self.url("/oauth/authorize"))?;
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", "app"),
            ("redirect_uri", "https://app.example/cb"),
            ("scope", "openid read"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        let page = browser.visit(url.as_str(), &self.alice).await?;
        page.parameter("code").with_context(|| format!("no code: {} {}", page.status, page.body))
    }

    /// Posts a form with the client's id; returns status and body.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<(u16, Value)> {
        let form = [&[("client_id", "app")], form].concat();
        let answer = self.http.post(self.url(path)).form(&form).send().await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        Ok((status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? }))
    }

    /// Redeems an authorization code (RFC 6749 §4.1.3).
    pub async fn redeem(&self, code: &str) -> Result<(u16, Value)> {
        let redirect = ("redirect_uri", "https://app.example/cb");
        let form = [("grant_type", "authorization_code"), ("code", code), redirect, ("code_verifier", VERIFIER)];
        self.post("/oauth/token", &form).await
    }

    /// Refreshes tokens (RFC 6749 §6).
    pub async fn refresh(&self, token: &str) -> Result<(u16, Value)> {
        self.post("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }
}

/// A string member of a JSON response.
pub fn member_text<'a>(answer: &'a Value, member: &str) -> Result<&'a str> {
    answer[member].as_str().with_context(|| format!("no {member} in {answer}"))
}
