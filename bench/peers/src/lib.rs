//! Other JWT libraries, checking the bench's tokens as their users would: signature, then `exp nbf iss aud`, claims read into
//! a struct. Nothing here is part of Tollgate; what is measured beside it stands in `bench/lane`.

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

/// One check of one token by one library: whether the token passed.
pub type Check = Box<dyn Fn() -> bool>;
/// The checks by their names, `LIBRARY/ALGORITHM`.
pub type Checks = BTreeMap<String, Check>;

/// What the bench's own program wrote for every program that is measured.
#[derive(Debug, Deserialize)]
pub struct Kit {
    /// `iss` of the tokens.
    pub issuer: String,
    /// `aud` of the tokens.
    pub audience: String,
    /// One token of each algorithm with the key that checks it.
    pub tokens: BTreeMap<String, Token>,
}

/// A good token.
#[derive(Debug, Deserialize)]
pub struct Token {
    /// The token itself.
    pub text: String,
    /// The key that checks it, as a JWK.
    pub jwk: Value,
}

impl Kit {
    fn token(&self, algorithm: &str) -> Result<&Token> {
        self.tokens.get(algorithm).with_context(|| format!("the kit has no {algorithm} token"))
    }
}

impl Token {
    /// A member of the key, base64url as it stands there.
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

/// The checks of every library, each tried once.
///
/// # Errors
/// When a library does not take a key, or refuses its good token.
pub fn checks(kit: &Kit, backend: Backend) -> Result<Checks> {
    let mut checks = Checks::new();
    jsonwebtoken::add(kit, backend, &mut checks)?;
    #[cfg(not(target_os = "unknown"))]
    {
        jwt_compact::add(kit, &mut checks)?;
        jwt_simple::add(kit, &mut checks)?;
    }
    let refused = checks.iter().find(|(_, check)| !check()).map(|(name, _)| name);
    anyhow::ensure!(refused.is_none(), "{refused:?} refuses its good token");
    Ok(checks)
}

/// Runs a check so many times; how many of them refused the token. Never inlined: instruction counts are taken inside it.
#[inline(never)]
pub fn repeat(check: &Check, count: u32) -> u32 {
    (0..count).map(|_| u32::from(!check())).sum()
}
