//! Builds tokens: a valid one by default, modified step by step. The core's tests include this
//! file, so it names nothing of the origin.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// Lifetime of a token of [`TokenBuilder::new`], in seconds.
pub const LIFETIME: u64 = 3600;

/// The signing keys of an issuer. Algorithms go by their `alg` names.
pub trait TokenSigner {
    /// `kid` of the key for this algorithm.
    fn key_id(&self, alg: &str) -> String;
    /// Signs the bytes with the key for this algorithm.
    fn signature(&self, alg: &str, text: &[u8]) -> Vec<u8>;
}

/// A token being built.
#[derive(Clone)]
pub struct TokenBuilder<'a> {
    signer: &'a dyn TokenSigner,
    alg: &'static str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    header_text: Option<Vec<u8>>,
    claims_text: Option<Vec<u8>>,
    lifetime_from: u64,
}

impl<'a> TokenBuilder<'a> {
    /// A valid access token issued at `now` (Unix seconds).
    pub fn new(signer: &'a dyn TokenSigner, alg: &'static str, issuer: &str, audience: &str, now: u64) -> Self {
        let header = json!({ "typ": "at+jwt", "alg": alg, "kid": signer.key_id(alg) });
        let claims = json!({
            "iss": issuer, "sub": "someone", "aud": audience, "client_id": "a-client", "jti": "a-token",
            "iat": now, "exp": now + LIFETIME, "scope": "reports:read",
        });
        let (header, claims) = (object(header), object(claims));
        Self { signer, alg, header, claims, header_text: None, claims_text: None, lifetime_from: now }
    }

    /// Sets a claim; `null` removes it.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.claims, name, value.into());
        self
    }

    /// Sets a header member; `null` removes it.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.header, name, value.into());
        self
    }

    /// Moves `iat` and `exp` by this many seconds.
    #[must_use]
    pub fn shifted(self, seconds: i64) -> Self {
        let from = self.lifetime_from.saturating_add_signed(seconds);
        self.claim("iat", from).claim("exp", from + LIFETIME)
    }

    /// Edits the JSON text of the claims before signing.
    #[must_use]
    pub fn rewrite(self, edit: impl Fn(String) -> String) -> Self {
        let text = edit(self.claims_json());
        self.claims_bytes(text)
    }

    /// Edits the JSON text of the header before signing.
    #[must_use]
    pub fn rewrite_header(self, edit: impl Fn(String) -> String) -> Self {
        let text = edit(self.header_json());
        self.header_bytes(text)
    }

    /// Replaces the claims by these bytes.
    #[must_use]
    pub fn claims_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.claims_text = Some(bytes.into());
        self
    }

    /// Replaces the header by these bytes.
    #[must_use]
    pub fn header_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.header_text = Some(bytes.into());
        self
    }

    /// The header as JSON.
    pub fn header_json(&self) -> String {
        Value::Object(self.header.clone()).to_string()
    }

    /// The claims as JSON.
    pub fn claims_json(&self) -> String {
        Value::Object(self.claims.clone()).to_string()
    }

    /// A claim as text; empty if missing.
    pub fn text(&self, claim: &str) -> String {
        match self.claims.get(claim) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// The header part in base64url.
    pub fn header_part(&self) -> String {
        self.header_text.as_ref().map_or_else(|| encode(self.header_json()), encode)
    }

    /// The claims part in base64url.
    pub fn claims_part(&self) -> String {
        self.claims_text.as_ref().map_or_else(|| encode(self.claims_json()), encode)
    }

    /// The JWS signing input: header and claims parts joined by a dot.
    pub fn signing_input(&self) -> String {
        format!("{}.{}", self.header_part(), self.claims_part())
    }

    /// The signature over any text, by the key for the token's algorithm.
    pub fn signature_over(&self, text: &str) -> Vec<u8> {
        self.signer.signature(self.alg, text.as_bytes())
    }

    /// The signed token.
    pub fn sign(&self) -> String {
        self.sign_parts(&self.header_part(), &self.claims_part())
    }

    /// The token of these two parts, with a valid signature over them.
    pub fn sign_parts(&self, header: &str, claims: &str) -> String {
        let input = format!("{header}.{claims}");
        let signature = self.signature_over(&input);
        format!("{input}.{}", encode(signature))
    }
}

/// base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url that a test built or took from a JWK set.
pub fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is not an object"),
    }
}

fn set(map: &mut Map<String, Value>, name: &str, value: Value) {
    if value.is_null() {
        map.remove(name);
    } else {
        map.insert(name.to_owned(), value);
    }
}
