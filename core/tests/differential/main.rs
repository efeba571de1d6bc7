//! Differential test: this crate and two independent libraries verify the same tokens. These are
//! valid tokens of all four algorithms, changed at random in structure, header, claims, signature
//! and encoding, and the attacks of the profile. If one side accepts a token that the other
//! refuses, `exceptions.toml` must list the difference with its reason. A listed difference that no
//! token shows fails the test, too.
//!
//! `TOLLGATE_DIFFERENTIAL_TOKENS` sets the number of random tokens, `TOLLGATE_DIFFERENTIAL_SEED`
//! the random seed.
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
#[path = "../keys/mod.rs"]
mod keys;
#[path = "../attacks/mutation.rs"]
mod mutation;
mod peers;
#[path = "../../../tests/kit/src/token_builder.rs"]
mod token_builder;
mod token_generator;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tollgate_core::{CheckedByCaller, KeySet, Refusal, TokenRequirements, UnknownStatusPolicy, verify};

use crate::attacks::{AttackContext, all_attacks};
use crate::keys::Keys;
use crate::peers::{PEERS, Peer};
use crate::token_generator::TokenGenerator;

/// `iss` of valid tokens.
const ISSUER: &str = "https://auth.example";
/// `aud` of valid tokens.
const AUDIENCE: &str = "https://api.example";
/// When this crate verifies tokens, Unix seconds. jsonwebtoken reads the machine's clock: the dates
/// of the tokens are so far in the past or future that it gives the same answers for decades.
const NOW: u64 = 1_800_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    difference: Vec<Difference>,
}

/// A kind of token for which this crate and another library give different answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// The libraries.
    peers: Vec<String>,
    /// What the refusing side answers: this crate's refusals, or the library's errors.
    refused: Vec<String>,
    /// The refusing side: `us` or `peer`.
    by: String,
    /// Why the difference is correct, or harmless.
    reason: String,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a whole number"))
}

/// The refusal of this crate as text without numbers, or `None`.
fn our_refusal(keys: &KeySet, token: &[u8]) -> Option<String> {
    let requirements = TokenRequirements {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope: &[],
        rules: None,
        leeway: 0,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    match verify(token, keys, &requirements, &CheckedByCaller, NOW) {
        Ok(_) => None,
        Err(Refusal::TooLarge { .. }) => Some("the token is too large".to_owned()),
        Err(refusal) => Some(refusal.to_string()),
    }
}

/// The differences found, each with one token that shows it, and the count of each outcome.
#[derive(Default)]
struct Results {
    differences: BTreeMap<(&'static str, &'static str, String), Vec<u8>>,
    outcomes: BTreeMap<(&'static str, &'static str), u32>,
}

impl Results {
    fn compare(&mut self, keys: &KeySet, token: &[u8]) {
        let ours = our_refusal(keys, token);
        for Peer { name, verify } in PEERS {
            let outcome = match (&ours, verify(token)) {
                (None, Ok(())) => "both accept",
                (Some(_), Err(_)) => "both refuse",
                (Some(refusal), Ok(())) => {
                    self.differences.entry((name, "us", refusal.clone())).or_insert_with(|| token.to_vec());
                    "only we refuse"
                }
                (None, Err(error)) => {
                    self.differences.entry((name, "peer", error)).or_insert_with(|| token.to_vec());
                    "only it refuses"
                }
            };
            *self.outcomes.entry((name, outcome)).or_default() += 1;
        }
    }
}

#[test]
fn differences_to_other_libraries_are_exactly_the_listed_ones() {
    let (tokens, seed) = (setting("TOLLGATE_DIFFERENTIAL_TOKENS", 40_000), setting("TOLLGATE_DIFFERENTIAL_SEED", 1));
    let signer = Keys::new();
    let keys = KeySet::from_jwks(Keys::jwks().as_bytes()).expect("four valid keys");
    let mut results = Results::default();
    let public_jwks = Keys::public_jwks();
    let (now, lifetime) = (token_generator::ISSUED_AT, token_generator::EXPIRES_AT - token_generator::ISSUED_AT);
    let context =
        AttackContext { signer: &signer, public_jwks: &public_jwks, issuer: ISSUER, audience: AUDIENCE, now, lifetime };
    let attacks = all_attacks(&context);
    // Attacks with dates near the present are left to the profile's tests, because jsonwebtoken
    // reads the machine's clock.
    let has_fixed_dates =
        |attack: &&attacks::Attack| !matches!(attack.rule, attacks::ProfileRule::Dates | attacks::ProfileRule::Times);
    let attacks: Vec<_> =
        attacks.iter().filter(has_fixed_dates).filter(|attack| attack.token.len() < 1 << 20).collect();
    attacks.iter().for_each(|attack| results.compare(&keys, &attack.token));
    let mut generator = TokenGenerator::new(&signer, seed);
    for _ in 0..tokens {
        results.compare(&keys, &generator.token());
    }
    println!("{} attacks and {tokens} random tokens", attacks.len());
    for ((peer, outcome), count) in &results.outcomes {
        println!("{peer}: {outcome} {count} times");
    }
    for (peer, outcome) in
        PEERS.iter().flat_map(|peer| ["both accept", "both refuse"].map(|outcome| (peer.name, outcome)))
    {
        assert!(
            results.outcomes.get(&(peer, outcome)).is_some_and(|count| *count > 1000),
            "{peer}: {outcome} fewer than 1,000 times"
        );
    }
    check_against_list(&results);
}

/// Compares the differences found with the listed ones.
fn check_against_list(results: &Results) {
    let exceptions: Exceptions = toml::from_str(include_str!("exceptions.toml")).expect("exceptions");
    let mut listed = BTreeSet::new();
    for difference in &exceptions.difference {
        assert!(!difference.reason.is_empty(), "{:?} has no reason", difference.refused);
        for (peer, refused) in
            difference.peers.iter().flat_map(|peer| difference.refused.iter().map(move |r| (peer, r)))
        {
            let key = (peer.as_str(), difference.by.as_str(), refused.clone());
            assert!(listed.insert(key.clone()), "{key:?} is listed twice");
        }
    }
    let mut wrong = Vec::new();
    for ((peer, by, refused), token) in &results.differences {
        if !listed.remove(&(*peer, *by, refused.clone())) {
            wrong.push(format!("{peer}, refused by {by}: {refused:?}, not listed; {}", token.escape_ascii()));
        }
    }
    wrong.extend(listed.iter().map(|key| format!("{key:?} is listed, and no token shows it")));
    println!("{} kinds of difference, {} not as listed", results.differences.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
