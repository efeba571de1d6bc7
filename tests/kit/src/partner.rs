//! A partner that vouches for users by the JWT bearer grant (RFC 7523 §2.1).

use anyhow::Result;
use serde_json::{Value, json};
use tollgate_system::Clock;

use crate::client::{Answer, JWT_BEARER_GRANT, TestClient, merge};
use crate::jwt::{ClientKey, random_id};
use crate::origin::TestOrigin;
use crate::users::PARTNER_ISSUER;

/// A partner and its client, which trusts the partner's assertions.
pub struct Partner {
    pub client: TestClient,
    key: ClientKey,
    /// `iss` of the origin.
    issuer: String,
}

impl Partner {
    /// Registers the client. `changes`: members of its metadata to add or replace.
    pub async fn register(origin: &TestOrigin, id: &str, changes: &Value) -> Result<Self> {
        let key = ClientKey::generate();
        let metadata = json!({
            "grant_types": [JWT_BEARER_GRANT],
            "redirect_uris": [],
            "trusted_issuers": [{ "issuer": PARTNER_ISSUER, "jwks": key.jwks() }],
        });
        let client = TestClient::register_web_app(origin, id, &merge(metadata, changes)).await?;
        Ok(Self { client, key, issuer: origin.server.issuer().to_owned() })
    }

    /// Requests an access token for a user whom the partner knows by this name.
    pub async fn vouch(&self, name: &str) -> Result<Answer> {
        let (exp, jti) = (Clock::system().now() + 60, random_id());
        let claims = json!({ "iss": PARTNER_ISSUER, "sub": name, "aud": self.issuer, "exp": exp, "jti": jti });
        let assertion = self.key.sign(&json!({}), &claims);
        let form = [("grant_type", JWT_BEARER_GRANT), ("assertion", &assertion), ("scope", "read")];
        self.client.request_tokens(&form).await
    }
}
