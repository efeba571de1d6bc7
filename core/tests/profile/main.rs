//! The strict profile, rule by rule: the tokens of `tests/src/attacks`, which the conformance table
//! also sends through every adapter, are verified natively here. Other modules test dates to the
//! second, key sets, policies and the bounds of the work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "a test may fail by panic, and the modules that it shares with others are public there"
)]

#[path = "../../../tests/src/attacks/mod.rs"]
mod attacks;
mod base64url;
mod bounds;
mod clock;
mod entry_points;
mod key_sets;
#[path = "../keys/mod.rs"]
mod keys;
mod rules;
#[path = "../../../tests/kit/src/token_builder.rs"]
mod token_builder;

use tollgate_core::{CheckedByCaller, KeySet, Refusal, TokenRequirements, UnknownStatusPolicy, VerifiedToken, verify};

use crate::keys::Keys;
use crate::token_builder::TokenBuilder;

/// `iss` of valid tokens.
const ISSUER: &str = "https://auth.example";
/// `aud` of valid tokens.
const AUDIENCE: &str = "https://api.example";
/// When tokens are verified, Unix seconds.
const NOW: u64 = 1_800_000_000;

/// Requirements of a route without a scope.
fn requirements() -> TokenRequirements<'static> {
    TokenRequirements {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope: &[],
        rules: None,
        leeway: 30,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    }
}

/// Verifies by all four keys.
fn verify_token(token: impl AsRef<[u8]>) -> Result<VerifiedToken, Refusal> {
    verify_with(&all_keys(), &requirements(), NOW, token)
}

fn verify_with(
    keys: &KeySet,
    requirements: &TokenRequirements<'_>,
    now: u64,
    token: impl AsRef<[u8]>,
) -> Result<VerifiedToken, Refusal> {
    verify(token.as_ref(), keys, requirements, &CheckedByCaller, now)
}

fn all_keys() -> KeySet {
    KeySet::from_jwks(Keys::jwks().as_bytes()).expect("four valid keys")
}

fn valid_token<'a>(keys: &'a Keys, alg: &'static str) -> TokenBuilder<'a> {
    TokenBuilder::new(keys, alg, ISSUER, AUDIENCE, NOW)
}

/// The refusal's code, or `passes`.
fn code(verdict: &Result<VerifiedToken, Refusal>) -> &'static str {
    verdict.as_ref().map_or_else(Refusal::code, |_| "passes")
}
