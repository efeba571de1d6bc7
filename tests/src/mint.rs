//! Tokens of every kind, good and bad, signed with a real origin's own keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_compact::{Algorithm as _, AlgorithmSignature as _};
use serde_json::{Map, Value, json};
use tollgate::domain::{Audience, TokenAlg};
use tollgate::keys::{AudienceKey, KeyRing, PrivateKey};

/// What a token of [`Mint::token`] lives, seconds.
const LIFETIME: u64 = 3600;

/// Makes tokens as the origin would, and as it never would.
pub struct Mint {
    keys: KeyRing,
    /// `iss` of good tokens.
    pub issuer: String,
    /// `aud` of good tokens.
    pub audience: Audience,
}

impl Mint {
    /// A mint with the keys of the origin at `issuer`.
    pub fn new(keys: KeyRing, issuer: &str, audience: Audience) -> Self {
        Self { keys, issuer: issuer.to_owned(), audience }
    }

    /// A good token of the algorithm, to be made worse. `now`: Unix seconds.
    pub fn token(&self, alg: TokenAlg, now: u64) -> Draft<'_> {
        let header = json!({ "typ": "at+jwt", "alg": alg.as_str(), "kid": self.kid(alg) });
        let claims = json!({
            "iss": self.issuer, "sub": "someone", "aud": self.audience.as_str(), "client_id": "a-client", "jti": "a-token",
            "iat": now, "exp": now + LIFETIME, "scope": "reports:read",
        });
        Draft { mint: self, alg, header: object(header), claims: object(claims), claims_text: None, lifetime_from: now }
    }

    /// The name of the key that signs tokens of this algorithm.
    pub fn kid(&self, alg: TokenAlg) -> String {
        match alg {
            TokenAlg::Hs256 => self.audience_key().kid().to_owned(),
            _ => self.keys.signing_key(alg).expect("the origin has a key of each algorithm").0.to_owned(),
        }
    }

    fn audience_key(&self) -> AudienceKey {
        self.keys.audience_key(&self.audience).expect("the origin has a key to derive from")
    }

    /// The HS256 key of the audience as a JWK set, for an edge's settings.
    pub fn secret_jwks(&self) -> String {
        json!({ "keys": [self.audience_key().to_secret_jwk()] }).to_string()
    }

    /// The public keys as a JWK set.
    pub fn public_jwks(&self) -> String {
        json!({ "keys": self.keys.public_jwks() }).to_string()
    }

    /// Signs any text with the origin's key of the algorithm.
    pub fn sign(&self, alg: TokenAlg, text: &[u8]) -> Vec<u8> {
        let audience_key = self.audience_key();
        let key: &PrivateKey = match alg {
            TokenAlg::Hs256 => audience_key.key(),
            _ => self.keys.signing_key(alg).expect("the origin has a key of each algorithm").1,
        };
        alg.sign(key, text).as_bytes().into_owned()
    }
}

/// A token in the making.
#[derive(Clone)]
pub struct Draft<'a> {
    mint: &'a Mint,
    alg: TokenAlg,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    claims_text: Option<String>,
    lifetime_from: u64,
}

impl Draft<'_> {
    /// Sets a claim; `null` takes it out.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.claims, name, value.into());
        self
    }

    /// Sets a header member; `null` takes it out.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.header, name, value.into());
        self
    }

    /// Moves the token's whole life by so many seconds.
    #[must_use]
    pub fn shifted(self, seconds: i64) -> Self {
        let from = self.lifetime_from.saturating_add_signed(seconds);
        self.claim("iat", from).claim("exp", from + LIFETIME)
    }

    /// Rewrites the text of the claims before it is signed.
    #[must_use]
    pub fn rewrite(mut self, edit: impl Fn(String) -> String) -> Self {
        self.claims_text = Some(edit(Value::Object(self.claims.clone()).to_string()));
        self
    }

    /// A claim as text, empty if there is none.
    pub fn text(&self, claim: &str) -> String {
        match self.claims.get(claim) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// Header and claims in base64url with the dot between.
    pub fn signing_input(&self) -> String {
        let claims = self.claims_text.clone().unwrap_or_else(|| Value::Object(self.claims.clone()).to_string());
        format!("{}.{}", encode(Value::Object(self.header.clone()).to_string()), encode(claims))
    }

    /// The signed token.
    pub fn sign(&self) -> String {
        let input = self.signing_input();
        let signature = self.mint.sign(self.alg, input.as_bytes());
        format!("{input}.{}", encode(signature))
    }
}

/// base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
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
