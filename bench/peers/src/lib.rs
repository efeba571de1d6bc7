//! Checks of the benchmark's tokens by other JWT libraries, as an application uses them: signature,
//! then `exp nbf iss aud`, and the claims parsed into a struct. Tollgate's own checks are in
//! `bench/lane`.

mod jsonwebtoken;
#[cfg(not(target_os = "unknown"))]
mod jwt_compact;
#[cfg(not(target_os = "unknown"))]
mod jwt_simple;
#[cfg(target_os = "unknown")]
mod v8;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

pub use crate::jsonwebtoken::Backend;

/// A check of one token by one library. It returns whether the token was accepted.
pub type Check = Box<dyn Fn() -> bool>;
/// Checks by name, `LIBRARY/ALGORITHM`.
pub type Checks = BTreeMap<String, Check>;

/// Content of `kit.json`: the members that are used here.
#[derive(Debug, Deserialize)]
pub struct Kit {
    /// `iss` of the tokens.
    pub issuer: String,
    /// `aud` of the tokens.
    pub audience: String,
    /// One token of each algorithm with its key.
    pub tokens: BTreeMap<String, Token>,
}

/// A valid token.
#[derive(Debug, Deserialize)]
pub struct Token {
    /// The token.
    pub text: String,
    /// The token's key, as a JWK.
    pub jwk: Value,
}

impl Kit {
    fn token(&self, algorithm: &str) -> Result<&Token> {
        self.tokens.get(algorithm).with_context(|| format!("the kit has no {algorithm} token"))
    }
}

impl Token {
    /// A member of the key, in base64url.
    fn member(&self, name: &str) -> Result<&str> {
        self.jwk.get(name).and_then(Value::as_str).with_context(|| format!("the key has no {name}"))
    }

    /// A member of the key, decoded.
    #[cfg(not(target_os = "unknown"))]
    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        use base64::Engine as _;
        Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(self.member(name)?)?)
    }
}

/// The checks of all libraries. Each is run once.
///
/// # Errors
/// If a library refuses a key or a valid token.
pub fn checks(kit: &Kit, backend: Backend) -> Result<Checks> {
    let mut checks = Checks::new();
    jsonwebtoken::add(kit, backend, &mut checks)?;
    #[cfg(not(target_os = "unknown"))]
    {
        jwt_compact::add(kit, &mut checks)?;
        jwt_simple::add(kit, &mut checks)?;
    }
    let refused = checks.iter().find(|(_, check)| !check()).map(|(name, _)| name);
    anyhow::ensure!(refused.is_none(), "{refused:?} refuses a valid token");
    Ok(checks)
}

/// Runs a check `count` times and returns how often the token was refused. Never inlined, because
/// instructions are counted inside it.
#[inline(never)]
pub fn repeat(check: &Check, count: u32) -> u32 {
    (0..count).map(|_| u32::from(!check())).sum()
}
