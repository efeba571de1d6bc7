//! The kit: tokens and keys that all lanes measure, and the public key of the snapshot.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollgate_core::KeySet;

/// Content of `kit.json`. The snapshot of a million revocations is in `kit.snapshot`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kit {
    /// `iss` of the tokens.
    pub issuer: String,
    /// `aud` of the tokens.
    pub audience: String,
    /// The public key of the snapshot's signature.
    pub snapshot_key: [u8; 32],
    /// One valid token of each algorithm, by the algorithm's name.
    pub tokens: BTreeMap<String, Token>,
    /// Distinct valid HS256 tokens of one key.
    pub batch: Vec<String>,
    /// Valid HS256 tokens of the same key, of increasing size.
    pub sized: Vec<String>,
    /// The largest key set that is allowed; the HS256 key is the last.
    pub many_keys: Value,
    /// Invalid tokens whose refusal may take long.
    pub hostile: Vec<HostileToken>,
}

/// A token with its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// The token.
    pub text: String,
    /// The key, as a JWK.
    pub jwk: Value,
}

/// An invalid token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostileToken {
    /// Description of the token.
    pub name: String,
    /// The token and the key that its header names.
    pub token: Token,
}

impl Kit {
    /// The valid token of an algorithm.
    ///
    /// # Errors
    /// If the kit has none.
    pub fn token(&self, algorithm: &str) -> Result<&Token> {
        self.tokens.get(algorithm).with_context(|| format!("the kit has no {algorithm} token"))
    }
}

impl Token {
    /// A key set with the token's key.
    ///
    /// # Errors
    /// If the core refuses the key.
    pub fn keys(&self) -> Result<KeySet> {
        Ok(KeySet::from_jwks(json!({ "keys": [self.jwk] }).to_string().as_bytes())?)
    }
}
