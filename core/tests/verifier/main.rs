//! The verifier with a memory answers what `verify` answers, whatever it remembers; and so does the batch.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "a test may fail by panic, and the modules that it shares with others are public there"
)]

#[path = "../keys/mod.rs"]
mod keys;
#[path = "../../../tests/src/token_builder.rs"]
mod token_builder;

use std::cell::Cell;

use tollgate_core::{
    CheckedByCaller, HashChain, KeySet, MAX_CACHED_TOKEN_BYTES, Refusal, RevocationChecker, RevocationStatus,
    TableSize, TokenIdentifiers, TokenRequirements, UnknownStatusPolicy, VerifiedToken, Verifier, verify, verify_all,
};

use crate::keys::Keys;
use crate::token_builder::TokenBuilder;

const ISSUER: &str = "https://auth.example";
const AUDIENCE: &str = "https://api.example";
const NOW: u64 = 1_800_000_000;

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

fn all_keys() -> KeySet {
    KeySet::from_jwks(Keys::jwks().as_bytes()).expect("good keys")
}

/// Revocations that a test sets, with a history that moves when it says so, and a count of the questions.
struct Revocations {
    standing: Cell<RevocationStatus>,
    history: Cell<Option<HashChain>>,
    asked: Cell<u32>,
}

impl Revocations {
    fn new() -> Self {
        let history = Cell::new(Some(HashChain::genesis(ISSUER)));
        Self { standing: Cell::new(RevocationStatus::NotRevoked), history, asked: Cell::new(0) }
    }

    fn become_(&self, standing: RevocationStatus, history: Option<&str>) {
        self.standing.set(standing);
        self.history.set(history.map(HashChain::genesis));
    }
}

impl RevocationChecker for Revocations {
    fn status(&self, _token: &TokenIdentifiers<'_>) -> RevocationStatus {
        self.asked.set(self.asked.get() + 1);
        self.standing.get()
    }

    fn version(&self) -> Option<HashChain> {
        self.history.get()
    }
}

/// The verdict of a verifier, held against that of `verify`.
fn judge(
    verifier: &mut Verifier,
    token: &str,
    expected: &TokenRequirements<'_>,
    revocations: &Revocations,
    now: u64,
) -> Result<VerifiedToken, Refusal> {
    let verdict = verifier.verify(token.as_bytes(), expected, revocations, now).cloned();
    assert_eq!(verdict, verify(token.as_bytes(), &all_keys(), expected, revocations, now), "{token}");
    verdict
}

#[test]
fn what_can_change_is_checked_each_time() {
    let keys = Keys::new();
    let token = TokenBuilder::new(&keys, "HS256", ISSUER, AUDIENCE, NOW).claim("scope", "read").sign();
    let expires_at = verify(token.as_bytes(), &all_keys(), &expected(), &CheckedByCaller, NOW).unwrap().expires_at();
    let (mut verifier, revocations) = (Verifier::new(all_keys(), 64, TableSize::Small), Revocations::new());
    let mut ask = |expected: &TokenRequirements<'_>, now| judge(&mut verifier, &token, expected, &revocations, now);

    let (read, write) = (["read".to_owned()], ["write".to_owned()]);
    for _ in 0..2 {
        assert!(ask(&expected(), NOW).is_ok());
        assert!(ask(&TokenRequirements { scope: &read, ..expected() }, NOW).is_ok());
        assert!(ask(&TokenRequirements { scope: &write, ..expected() }, NOW).is_err());
        assert_eq!(
            ask(&TokenRequirements { audience: "https://b.example", ..expected() }, NOW),
            Err(Refusal::WrongAudience)
        );
        assert_eq!(
            ask(&TokenRequirements { issuer: "https://b.example", ..expected() }, NOW),
            Err(Refusal::WrongIssuer)
        );
        assert!(matches!(ask(&expected(), expires_at + 30), Err(Refusal::Expired { .. })));
        assert!(matches!(ask(&expected(), NOW - 4000), Err(Refusal::NotYetValid { .. })));
        assert!(ask(&TokenRequirements { allow_plain_jwt: true, ..expected() }, NOW).is_ok());
    }
}

#[test]
fn a_clear_is_remembered_for_as_long_as_history_stands_still() {
    let keys = Keys::new();
    let token = TokenBuilder::new(&keys, "EdDSA", ISSUER, AUDIENCE, NOW).sign();
    let (mut verifier, revocations) = (Verifier::new(all_keys(), 64, TableSize::None), Revocations::new());
    let lenient = TokenRequirements {
        on_stale: UnknownStatusPolicy::Allow,
        on_not_covered: UnknownStatusPolicy::Allow,
        ..expected()
    };
    let mut ask = |expected: &TokenRequirements<'_>| {
        let before = revocations.asked.get();
        let verdict = verifier.verify(token.as_bytes(), expected, &revocations, NOW).map(|_| ());
        (verdict, revocations.asked.get() - before)
    };

    assert_eq!([ask(&expected()), ask(&expected())], [(Ok(()), 1), (Ok(()), 0)]);
    revocations.become_(RevocationStatus::Revoked, Some("one later"));
    assert_eq!([ask(&lenient), ask(&expected())], [(Err(Refusal::Revoked), 1), (Err(Refusal::Revoked), 1)]);
    revocations.become_(RevocationStatus::NotRevoked, Some("reinstated"));
    assert_eq!([ask(&expected()), ask(&expected())], [(Ok(()), 1), (Ok(()), 0)]);
    // Old word brings no history, and what a lenient route lets pass is no clear.
    revocations.become_(RevocationStatus::Stale, None);
    assert_eq!([ask(&expected()), ask(&lenient)], [(Err(Refusal::Stale), 1), (Ok(()), 1)]);
    revocations.become_(RevocationStatus::NotCovered, Some("of another issuer"));
    assert_eq!([ask(&lenient), ask(&expected())], [(Ok(()), 1), (Err(Refusal::NotCovered), 1)]);
    // A refusal for another reason forgets nothing and learns nothing.
    revocations.become_(RevocationStatus::NotRevoked, Some("and on"));
    let other = TokenRequirements { audience: "https://b.example", ..expected() };
    assert_eq!([ask(&other), ask(&expected())], [(Err(Refusal::WrongAudience), 0), (Ok(()), 1)]);
}

#[test]
fn only_the_very_token_is_remembered() {
    let keys = Keys::new();
    let revocations = Revocations::new();
    for alg in ["HS256", "EdDSA", "ES256", "RS256"] {
        let mut verifier = Verifier::new(all_keys(), 4, TableSize::Small);
        let token = TokenBuilder::new(&keys, alg, ISSUER, AUDIENCE, NOW).sign();
        assert!(judge(&mut verifier, &token, &expected(), &revocations, NOW).is_ok());
        // Whatever byte is changed: the end of the signature, by which the place is found, stays the same in most.
        for place in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("ASCII");
            if forged != token {
                let verdict = verifier.verify(forged.as_bytes(), &expected(), &revocations, NOW);
                assert!(verdict.is_err(), "{alg}, byte {place}");
            }
        }
        for length in 0..token.len() {
            assert!(verifier.verify(&token.as_bytes()[length + 1..], &expected(), &revocations, NOW).is_err());
        }
    }
}

#[test]
fn many_tokens_drive_each_other_out_and_all_get_their_own_verdict() {
    let keys = Keys::new();
    let revocations = Revocations::new();
    let long = "x".repeat(MAX_CACHED_TOKEN_BYTES);
    let tokens: Vec<String> = (0..300)
        .map(|number| {
            let draft = TokenBuilder::new(&keys, ["HS256", "EdDSA"][number % 2], ISSUER, AUDIENCE, NOW);
            let draft = draft.claim("sub", format!("subject-{number}"));
            if number % 10 == 0 { draft.claim("long", long.as_str()).sign() } else { draft.sign() }
        })
        .collect();
    for size in [0, 1, 16, 1024] {
        let mut verifier = Verifier::new(all_keys(), size, TableSize::None);
        for round in 0..3 {
            for (number, token) in tokens.iter().enumerate() {
                let verified = verifier.verify(token.as_bytes(), &expected(), &revocations, NOW).expect("a good token");
                assert_eq!(verified.subject(), format!("subject-{number}"), "round {round} of {size}");
            }
        }
    }
}

#[test]
fn a_key_in_frequent_use_earns_a_table() {
    let keys = Keys::new();
    let revocations = Revocations::new();
    let mut verifier = Verifier::new(all_keys(), 0, TableSize::Small);
    for alg in ["EdDSA", "ES256", "RS256", "HS256"] {
        let token = TokenBuilder::new(&keys, alg, ISSUER, AUDIENCE, NOW).sign();
        let before = verifier.keys().table_bytes();
        for _ in 0..100 {
            assert!(judge(&mut verifier, &token, &expected(), &revocations, NOW).is_ok());
        }
        let has_curve = matches!(alg, "EdDSA" | "ES256");
        assert_eq!(verifier.keys().table_bytes() > before, has_curve, "{alg}");
    }
}

#[test]
fn a_batch_says_what_single_calls_say() {
    let keys = Keys::new();
    let draft = |alg, number: usize| {
        let draft = TokenBuilder::new(&keys, alg, ISSUER, AUDIENCE, NOW).claim("sub", format!("s{number}"));
        draft.claim("padding", "p".repeat(number * 7 % 150))
    };
    let kinds: [&dyn Fn(usize) -> String; 8] = [
        &|number| draft("HS256", number).sign(),
        &|number| draft("EdDSA", number).sign(),
        &|number| draft("HS256", number).sign() + "A",
        &|number| draft("HS256", number).claim("exp", NOW - 100).sign(),
        &|number| draft("HS256", number).sign().replace("ey", "eY"),
        &|_| "a.b".to_owned(),
        &|number| draft("HS256", number).sign().rsplit_once('.').expect("three parts").0.to_owned() + ".AAAA",
        &|number| draft("HS256", number).claim("iss", number as u64).sign(),
    ];
    let mut seed = 1_u32;
    let (mut judged, mut allowed) = (0, 0);
    for size in [0, 1, 2, 3, 4, 5, 6, 7, 31, 200] {
        let tokens: Vec<String> = (0..size)
            .map(|number| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Half of them good HS256, so that whole groups are found.
                let kind = if seed >> 31 == 1 { 0 } else { (seed >> 16) as usize % kinds.len() };
                kinds[kind](number)
            })
            .collect();
        let bytes: Vec<&[u8]> = tokens.iter().map(String::as_bytes).collect();
        let verdicts = verify_all(&bytes, &all_keys(), &expected(), &CheckedByCaller, NOW);
        assert_eq!(verdicts.len(), size);
        for (token, verdict) in bytes.iter().zip(verdicts) {
            allowed += usize::from(verdict.is_ok());
            judged += 1;
            assert_eq!(verdict, verify(token, &all_keys(), &expected(), &CheckedByCaller, NOW));
        }
    }
    assert!(allowed > 100 && judged - allowed > 50, "{allowed} of {judged} may pass");
}
