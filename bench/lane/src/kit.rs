//! What every lane is given: tokens, keys, and the key that the snapshot beside them is signed with.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollgate_core::KeySet;

/// The kit, a JSON document. The snapshot of a million revocations stands beside it, in a file of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kit {
    /// `iss` of the tokens.
    pub issuer: String,
    /// `aud` of the tokens.
    pub audience: String,
    /// The public key that checks the snapshot.
    pub snapshot_key: [u8; 32],
    /// One good token of each algorithm, by the algorithm's name.
    pub tokens: BTreeMap<String, Token>,
    /// Good HS256 tokens, all different, of the same key.
    pub batch: Vec<String>,
    /// Good HS256 tokens of the same key, ever longer.
    pub sized: Vec<String>,
    /// As many keys as a set may have, that of HS256 the last.
    pub many_keys: Value,
    /// What must be refused, and may take long.
    pub hostile: Vec<Hostile>,
}

/// A token with the key that checks it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// The token itself.
    pub text: String,
    /// The key, as a JWK.
    pub jwk: Value,
}

/// A token that must be refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hostile {
    /// What is wrong with it.
    pub name: String,
    /// The token with the key that it names.
    pub token: Token,
}

impl Kit {
    /// The good token of an algorithm.
    ///
    /// # Errors
    /// When the kit has none.
    pub fn token(&self, algorithm: &str) -> Result<&Token> {
        self.tokens.get(algorithm).with_context(|| format!("the kit has no {algorithm} token"))
    }
}

impl Token {
    /// The set of the one key.
    ///
    /// # Errors
    /// When the core does not take it.
    pub fn keys(&self) -> Result<KeySet> {
        Ok(KeySet::from_jwks(json!({ "keys": [self.jwk] }).to_string().as_bytes())?)
    }
}
