//! The origin of these tests, with its clients and user.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::SigningKey;
use serde_json::{Value, json};
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::client::{DEVICE_CODE_GRANT, TOKEN_EXCHANGE_GRANT};
use tollgate_tests::origin::{AUDIENCE, TestOrigin};
use tollgate_tests::users::PASSWORD;

/// An origin with a client of each kind, and a user.
pub(super) struct ClientsFixture {
    pub(super) origin: TestOrigin,
    pub(super) alice: Person,
    /// Ids, secrets and URIs of the clients, as passed to the scripts.
    pub(super) clients: Value,
}

impl ClientsFixture {
    /// Starts the origin and registers the clients and the user.
    pub(super) async fn start() -> Result<Self> {
        let origin =
            TestOrigin::start_with(&[("TOLLGATE_REGISTRATION", "open"), ("TOLLGATE_DPOP_NONCE_REQUIRED", "true")])
                .await?;
        let claims = json!({ "name": "Alice Example", "email": "alice@example.com", "email_verified": true });
        origin.user("alice", PASSWORD, &claims)?;
        let mut clients = json!({ "issuer": origin.server.issuer(), "audience": AUDIENCE });
        for (id, metadata) in metadata() {
            let secret = origin.client(id, &without_private_keys(&metadata))?;
            clients[id] = json!({
                "id": id,
                "secret": secret,
                "redirect_uri": metadata["redirect_uris"][0],
                "post_logout_redirect_uri": metadata["post_logout_redirect_uris"][0],
                "key": metadata["jwks"]["keys"][0],
            });
        }
        origin.cli(&["resource", "create", AUDIENCE, "--name", "API", "--introspected-by", "web"])?;
        Ok(Self { origin, alice: Person::new("alice", PASSWORD), clients })
    }

    /// A browser without a session.
    pub(super) fn browser(&self) -> Result<Browser> {
        Browser::new(&self.origin.server.url())
    }
}

/// RFC 7591 metadata of each client, with private keys.
fn metadata() -> Vec<(&'static str, Value)> {
    let web = json!({
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE_GRANT],
        "redirect_uris": ["https://web.example/cb"],
        "post_logout_redirect_uris": ["https://web.example/bye"],
        "scope": "openid profile email read write",
    });
    let signer = json!({
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code"],
        "redirect_uris": ["https://jar.example/cb"],
        "scope": "openid email read",
        "jwks": { "keys": [private_jwk("jar")] },
        "request_object_signing_alg": "ES256",
    });
    let spa = json!({
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": ["https://spa.example/cb"],
        "scope": "openid email read",
    });
    let machine = |method: &str| json!({ "token_endpoint_auth_method": method, "grant_types": ["client_credentials"], "scope": "read" });
    let mut jwt = machine("private_key_jwt");
    jwt["jwks"] = json!({ "keys": [private_jwk("jwt")] });
    let tv = json!({ "token_endpoint_auth_method": "none", "grant_types": [DEVICE_CODE_GRANT, "refresh_token"], "scope": "openid read" });
    vec![("web", web), ("jar", signer), ("spa", spa), ("post", machine("client_secret_post")), ("jwt", jwt), ("tv", tv)]
}

/// A P-256 key derived from the name (RFC 7518 §6.2).
fn private_jwk(name: &str) -> Value {
    let key = SigningKey::from_slice(&[name.len() as u8; 32]).expect("a scalar of the curve");
    let point = key.verifying_key().to_sec1_point(false);
    let coordinate = |bytes: Option<&[u8]>| URL_SAFE_NO_PAD.encode(bytes.expect("a point that is not at infinity"));
    let (x, y) = (point.x().map(|x| x.as_slice()), point.y().map(|y| y.as_slice()));
    json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": name,
        "x": coordinate(x), "y": coordinate(y), "d": URL_SAFE_NO_PAD.encode(key.to_bytes()),
    })
}

/// The metadata to register: keys without `d`.
fn without_private_keys(metadata: &Value) -> Value {
    let mut metadata = metadata.clone();
    if let Some(key) = metadata.pointer_mut("/jwks/keys/0").and_then(Value::as_object_mut) {
        key.remove("d");
    }
    metadata
}
