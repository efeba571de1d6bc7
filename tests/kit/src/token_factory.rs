//! Valid and invalid tokens signed with a running origin's own keys.

use jwt_compact::{Algorithm as _, AlgorithmSignature as _};
use serde_json::json;
use tollgate_keys::{AudienceKey, JwtAlgorithm, KeyRing, PrivateKey};
use tollgate_model::{Audience, TokenAlg};

use crate::token_builder::TokenSigner;
pub use crate::token_builder::{TokenBuilder, encode};

/// Makes tokens with the origin's keys: those that it would issue, and those that it never would.
pub struct TokenFactory {
    keys: KeyRing,
    /// `iss` of valid tokens.
    pub issuer: String,
    /// `aud` of valid tokens.
    pub audience: Audience,
}

impl TokenFactory {
    /// A factory with the keys of the origin at `issuer`.
    pub fn new(keys: KeyRing, issuer: &str, audience: Audience) -> Self {
        Self { keys, issuer: issuer.to_owned(), audience }
    }

    /// A valid token of this algorithm, to be modified. `now`: Unix seconds.
    pub fn token(&self, alg: TokenAlg, now: u64) -> TokenBuilder<'_> {
        TokenBuilder::new(self, alg.as_str(), &self.issuer, self.audience.as_str(), now)
    }

    /// `kid` of the key that signs tokens of this algorithm.
    pub fn kid(&self, alg: TokenAlg) -> String {
        match alg {
            TokenAlg::Hs256 => self.audience_key().kid().to_owned(),
            _ => self.keys.signing_key(alg).expect("the origin has a key for each algorithm").0.to_owned(),
        }
    }

    fn audience_key(&self) -> AudienceKey {
        self.keys.audience_key(&self.audience).expect("the origin has a key for audience keys")
    }

    /// The audience's HS256 key as a JWK set, for an edge's settings.
    pub fn secret_jwks(&self) -> String {
        json!({ "keys": [self.audience_key().to_secret_jwk()] }).to_string()
    }

    /// The origin's public keys as a JWK set.
    pub fn public_jwks(&self) -> String {
        json!({ "keys": self.keys.public_jwks() }).to_string()
    }

    /// Signs any bytes with the origin's key of this algorithm.
    pub fn sign(&self, alg: TokenAlg, text: &[u8]) -> Vec<u8> {
        let audience_key = self.audience_key();
        let key: &PrivateKey = match alg {
            TokenAlg::Hs256 => audience_key.key(),
            _ => self.keys.signing_key(alg).expect("the origin has a key for each algorithm").1,
        };
        JwtAlgorithm(alg).sign(key, text).as_bytes().into_owned()
    }
}

impl TokenSigner for TokenFactory {
    fn key_id(&self, alg: &str) -> String {
        self.kid(algorithm(alg))
    }

    fn signature(&self, alg: &str, text: &[u8]) -> Vec<u8> {
        self.sign(algorithm(alg), text)
    }
}

fn algorithm(name: &str) -> TokenAlg {
    name.parse().expect("an algorithm of the origin")
}
