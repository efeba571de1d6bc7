//! The same tokens, judged by this crate and by two independent libraries: good ones of all four algorithms, changed at random in
//! their structure, header, claims, signature and encoding, and the hostile tokens of the profile. Where one side accepts and the
//! other refuses, the difference stands in `exceptions.toml` with its reason, or the test fails; so does a listed difference that
//! no token shows. `TOLLGATE_DIFFERENTIAL_TOKENS` asks for more of them, `TOLLGATE_DIFFERENTIAL_SEED` for others.
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
mod making;
#[path = "../attacks/mutation.rs"]
mod mutation;
mod peers;
#[path = "../../../tests/src/token_builder.rs"]
mod token_builder;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tollgate_core::{CheckedByCaller, KeySet, Refusal, TokenRequirements, UnknownStatusPolicy, verify};

use crate::attacks::{AttackContext, all_attacks};
use crate::keys::Keys;
use crate::making::Maker;
use crate::peers::{PEERS, Peer};

/// `iss` of good tokens.
const ISSUER: &str = "https://auth.example";
/// `aud` of good tokens.
const AUDIENCE: &str = "https://api.example";
/// When tokens are judged here, Unix seconds. jsonwebtoken asks the machine's clock: the dates of the tokens are so far apart that
/// any clock of this century's next decades gives the same answers.
const NOW: u64 = 1_800_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    difference: Vec<Difference>,
}

/// A kind of token on which we and another library differ.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// The libraries.
    peers: Vec<String>,
    /// What the side that refuses says: our refusals, or the library's errors.
    refused: Vec<String>,
    /// Which side that is: `us` or `peer`.
    by: String,
    /// Why it is right, or does no harm.
    reason: String,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a whole number"))
}

/// Our verdict: nothing, or the refusal in words, without the numbers in it.
fn ours(keys: &KeySet, token: &[u8]) -> Option<String> {
    let expected = TokenRequirements {
        issuer: ISSUER,
        audience: AUDIENCE,
        scope: &[],
        leeway: 0,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    match verify(token, keys, &expected, &CheckedByCaller, NOW) {
        Ok(_) => None,
        Err(Refusal::TooLarge { .. }) => Some("the token is too large".to_owned()),
        Err(refusal) => Some(refusal.to_string()),
    }
}

/// What the run saw: differences with one token each that shows it, and how often each outcome came.
#[derive(Default)]
struct Seen {
    differences: BTreeMap<(&'static str, &'static str, String), Vec<u8>>,
    outcomes: BTreeMap<(&'static str, &'static str), u32>,
}

impl Seen {
    fn judge(&mut self, keys: &KeySet, token: &[u8]) {
        let ours = ours(keys, token);
        for Peer { name, judge } in PEERS {
            let outcome = match (&ours, judge(token)) {
                (None, Ok(())) => "both accept",
                (Some(_), Err(_)) => "both refuse",
                (Some(refusal), Ok(())) => {
                    self.differences.entry((name, "us", refusal.clone())).or_insert_with(|| token.to_vec());
                    "we alone refuse"
                }
                (None, Err(error)) => {
                    self.differences.entry((name, "peer", error)).or_insert_with(|| token.to_vec());
                    "it alone refuses"
                }
            };
            *self.outcomes.entry((name, outcome)).or_default() += 1;
        }
    }
}

#[test]
fn we_differ_from_other_libraries_only_where_it_is_written() {
    let (tokens, seed) = (setting("TOLLGATE_DIFFERENTIAL_TOKENS", 40_000), setting("TOLLGATE_DIFFERENTIAL_SEED", 1));
    let signer = Keys::new();
    let keys = KeySet::from_jwks(Keys::jwks().as_bytes()).expect("four good keys");
    let mut seen = Seen::default();
    let public_jwks = Keys::public_jwks();
    let (now, lifetime) = (making::ISSUED, making::EXPIRES - making::ISSUED);
    let context =
        AttackContext { signer: &signer, public_jwks: &public_jwks, issuer: ISSUER, audience: AUDIENCE, now, lifetime };
    let attacks = all_attacks(&context);
    // Dates near the clock's are left to the profile's own tests: jsonwebtoken's clock is not ours.
    let far =
        |attack: &&attacks::Attack| !matches!(attack.rule, attacks::ProfileRule::Dates | attacks::ProfileRule::Times);
    let attacks: Vec<_> = attacks.iter().filter(far).filter(|attack| attack.token.len() < 1 << 20).collect();
    attacks.iter().for_each(|attack| seen.judge(&keys, &attack.token));
    let mut maker = Maker::new(&signer, seed);
    for _ in 0..tokens {
        seen.judge(&keys, &maker.token());
    }
    println!("{} hostile tokens and {tokens} made at random", attacks.len());
    for ((peer, outcome), count) in &seen.outcomes {
        println!("{peer}: {outcome} {count} times");
    }
    for (peer, outcome) in
        PEERS.iter().flat_map(|peer| ["both accept", "both refuse"].map(|outcome| (peer.name, outcome)))
    {
        assert!(seen.outcomes.get(&(peer, outcome)).is_some_and(|count| *count > 1000), "{peer}: {outcome} too seldom");
    }
    compare(&seen);
}

/// What was seen is what is listed.
fn compare(seen: &Seen) {
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
    for ((peer, by, refused), token) in &seen.differences {
        if !listed.remove(&(*peer, *by, refused.clone())) {
            wrong.push(format!("{peer}, refused by {by}: {refused:?}, not listed; {}", token.escape_ascii()));
        }
    }
    wrong.extend(listed.iter().map(|key| format!("{key:?} is listed, and no token shows it")));
    println!("{} kinds of difference, {} not as listed", seen.differences.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
