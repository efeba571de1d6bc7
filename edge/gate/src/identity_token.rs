//! The signed identity of an allowed request: a JWT for the upstream under the edge's own key, by
//! which the upstream knows that the edge has decided on the request.

use std::cmp;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_core::{IdentitySigner, Nonce, VerifiedToken};

use crate::json::JsonObject;
use crate::message::Response;

/// Path of the edge's public keys.
pub(crate) const JWKS_PATH: &str = "/.well-known/jwks.json";
/// `typ` of the JWT (RFC 8725 section 3.11).
const TYPE: &str = "tollgate-identity+jwt";
const LIFETIME_SECONDS: u64 = 60;

/// What identity tokens are issued by.
#[derive(Debug, Clone)]
pub struct IdentityTokenSettings {
    /// The edge's key.
    pub(crate) signer: IdentitySigner,
    /// `iss`: the edge's public URL.
    pub(crate) issuer: String,
    /// `aud`; by default the upstream.
    pub(crate) audience: Option<String>,
}

/// Issues identity tokens.
#[derive(Debug)]
pub(crate) struct IdentityIssuer {
    settings: IdentityTokenSettings,
    header: String,
    /// Random bits of this instance: no other one issues the same `jti`.
    seed: Nonce,
    issued: AtomicU64,
}

impl IdentityIssuer {
    pub(crate) fn new(settings: IdentityTokenSettings, seed: Nonce) -> Self {
        let key_id = settings.signer.key_id();
        let header = JsonObject::new().text("typ", TYPE).text("alg", "EdDSA").text("kid", key_id).into_text();
        Self { settings, header, seed, issued: AtomicU64::new(0) }
    }

    /// The token for a verified access token at the Unix time `now` in seconds. `upstream` is the
    /// audience, unless the settings name another.
    pub(crate) fn issue(&self, verified: &VerifiedToken, upstream: &str, now: u64) -> String {
        let IdentityTokenSettings { signer, issuer, audience } = &self.settings;
        let token_id = signer.derive_id(self.seed.as_bytes(), self.issued.fetch_add(1, Ordering::Relaxed));
        // Within the leeway, the access token may have expired.
        let expires_at = cmp::min(now + LIFETIME_SECONDS, cmp::max(verified.expires_at(), now + 1));
        let claims = JsonObject::new()
            .text("iss", issuer)
            .text("sub", verified.subject())
            .text("aud", audience.as_deref().unwrap_or(upstream))
            .text("client_id", verified.client_id())
            .text("scope", verified.scope())
            .number("iat", now)
            .number("exp", expires_at)
            .text("jti", &token_id);
        signer.sign(&self.header, &claims.into_text())
    }
}

impl IdentityTokenSettings {
    /// The response with the public key.
    pub(crate) fn jwks(&self) -> Response {
        let key = JsonObject::new()
            .text("kty", "OKP")
            .text("crv", "Ed25519")
            .text("alg", "EdDSA")
            .text("use", "sig")
            .text("kid", self.signer.key_id())
            .text("x", self.signer.public_key());
        let body = JsonObject::new().objects("keys", [key]).into_text();
        Response::new(200)
            .with("content-type", "application/jwk-set+json")
            .with("cache-control", "max-age=300")
            .with("access-control-allow-origin", "*")
            .with_body(body.into_bytes())
    }
}
