//! The issuer: who this server is to clients, resource servers and browsers.

use axum::http::HeaderValue;
use tollgate_model::{Audience, HttpRedirects};

/// Facts about the issuer, which do not change while it runs.
pub(crate) struct Issuer {
    /// The `iss` of tokens.
    pub(crate) url: String,
    /// The `aud` of tokens whose client names none.
    pub(crate) default_audience: Audience,
    /// Lifetime of access tokens, in seconds.
    pub(crate) token_lifetime: u64,
    /// Whether access tokens have a `status` claim.
    pub(crate) status_claim: bool,
    /// Where `http` redirect URIs of clients may lead.
    pub(crate) http_redirects: HttpRedirects,
    /// Value of `Strict-Transport-Security`, if the issuer uses HTTPS.
    pub(crate) hsts: Option<HeaderValue>,
}

impl Issuer {
    /// A path of this issuer as browsers see it, for links, forms, redirects and cookies. The URL
    /// of an issuer may have a path, which is removed before requests reach the handlers.
    pub(crate) fn issuer_path(&self, path: &str) -> String {
        let after_scheme = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let base = after_scheme.split_once('/').map_or("", |(_, base)| base);
        if base.is_empty() { path.to_owned() } else { format!("/{base}{path}") }
    }

    /// The attribute that binds a cookie to HTTPS, if the issuer uses it.
    pub(crate) fn secure_attribute(&self) -> &'static str {
        if self.uses_https() { "; Secure" } else { "" }
    }

    pub(crate) fn uses_https(&self) -> bool {
        self.url.starts_with("https://")
    }
}
