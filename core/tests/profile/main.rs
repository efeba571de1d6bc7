//! The strict profile, line by line: the tokens of `tests/src/attacks` (which the conformance table sends through every adapter
//! too), judged natively, and what no token alone can show: the clock to the second, key sets, policies, bounded work.
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
mod bounds;
mod clock;
mod entries;
mod key_sets;
#[path = "../keys/mod.rs"]
mod keys;
mod letters;
mod lines;
#[path = "../../../tests/src/token_builder.rs"]
mod token_builder;

use tollgate_core::{CheckedByCaller, KeySet, Refusal, TokenRequirements, UnknownStatusPolicy, VerifiedToken, verify};

use crate::keys::Keys;
use crate::token_builder::TokenBuilder;

/// `iss` of good tokens.
const ISSUER: &str = "https://auth.example";
/// `aud` of good tokens.
const AUDIENCE: &str = "https://api.example";
/// When tokens are judged, Unix seconds.
const NOW: u64 = 1_800_000_000;

/// What a route asks for: nothing that is not in the profile.
fn expected() -> TokenRequirements<'static> {
    TokenRequirements {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope: &[],
        leeway: 30,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    }
}

/// The verdict by all four keys.
fn judge(token: impl AsRef<[u8]>) -> Result<VerifiedToken, Refusal> {
    judge_by(&all_keys(), &expected(), NOW, token)
}

fn judge_by(
    keys: &KeySet,
    expected: &TokenRequirements<'_>,
    now: u64,
    token: impl AsRef<[u8]>,
) -> Result<VerifiedToken, Refusal> {
    verify(token.as_ref(), keys, expected, &CheckedByCaller, now)
}

fn all_keys() -> KeySet {
    KeySet::from_jwks(Keys::jwks().as_bytes()).expect("four good keys")
}

fn good<'a>(keys: &'a Keys, alg: &'static str) -> TokenBuilder<'a> {
    TokenBuilder::new(keys, alg, ISSUER, AUDIENCE, NOW)
}

/// The reason in one word.
fn code(verdict: &Result<VerifiedToken, Refusal>) -> &'static str {
    verdict.as_ref().map_or_else(Refusal::code, |_| "passes")
}
