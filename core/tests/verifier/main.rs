//! The caching verifier and the batch give the same answers as `verify`, whatever the cache
//! contains.
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
#[path = "../../../tests/kit/src/token_builder.rs"]
mod token_builder;

use std::cell::Cell;

use tollgate_core::{
    CheckedByCaller, HashChain, KeySet, MAX_CACHED_TOKEN_BYTES, Refusal, RevocationChecker, RevocationStatus,
    TableSize, TokenIdentifiers, TokenRequirements, UnknownStatusPolicy, VerifiedToken, Verifier,
    check_token_signature, verify, verify_all,
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
        rules: None,
        leeway: 30,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    }
}

fn all_keys() -> KeySet {
    KeySet::from_jwks(Keys::jwks().as_bytes()).expect("valid keys")
}

/// A checker whose status and version a test sets. It counts its calls.
struct FakeChecker {
    status: Cell<RevocationStatus>,
    version: Cell<Option<HashChain>>,
    calls: Cell<u32>,
}

impl FakeChecker {
    fn new() -> Self {
        let version = Cell::new(Some(HashChain::genesis(ISSUER)));
        Self { status: Cell::new(RevocationStatus::NotRevoked), version, calls: Cell::new(0) }
    }

    fn set(&self, status: RevocationStatus, version: Option<&str>) {
        self.status.set(status);
        self.version.set(version.map(HashChain::genesis));
    }
}

impl RevocationChecker for FakeChecker {
    fn status(&self, _token: &TokenIdentifiers<'_>) -> RevocationStatus {
        self.calls.set(self.calls.get() + 1);
        self.status.get()
    }

    fn version(&self) -> Option<HashChain> {
        self.version.get()
    }
}

/// Verifies by the verifier, and compares the answer with that of `verify`.
fn verify_both(
    verifier: &mut Verifier,
    token: &str,
    expected: &TokenRequirements<'_>,
    revocations: &FakeChecker,
    now: u64,
) -> Result<VerifiedToken, Refusal> {
    let verdict = verifier.verify(token.as_bytes(), expected, revocations, now).cloned();
    assert_eq!(verdict, verify(token.as_bytes(), &all_keys(), expected, revocations, now), "{token}");
    verdict
}

#[test]
fn dates_audience_issuer_and_scope_are_checked_on_each_request() {
    let keys = Keys::new();
    let token = TokenBuilder::new(&keys, "HS256", ISSUER, AUDIENCE, NOW).claim("scope", "read").sign();
    let expires_at = verify(token.as_bytes(), &all_keys(), &expected(), &CheckedByCaller, NOW).unwrap().expires_at();
    let (mut verifier, revocations) = (Verifier::new(all_keys(), 64, TableSize::Small), FakeChecker::new());
    let mut ask =
        |expected: &TokenRequirements<'_>, now| verify_both(&mut verifier, &token, expected, &revocations, now);

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
fn not_revoked_is_cached_while_the_log_version_stays_the_same() {
    let keys = Keys::new();
    let token = TokenBuilder::new(&keys, "EdDSA", ISSUER, AUDIENCE, NOW).sign();
    let (mut verifier, revocations) = (Verifier::new(all_keys(), 64, TableSize::None), FakeChecker::new());
    let lenient = TokenRequirements {
        on_stale: UnknownStatusPolicy::Allow,
        on_not_covered: UnknownStatusPolicy::Allow,
        ..expected()
    };
    let mut ask = |expected: &TokenRequirements<'_>| {
        let before = revocations.calls.get();
        let verdict = verifier.verify(token.as_bytes(), expected, &revocations, NOW).map(|_| ());
        (verdict, revocations.calls.get() - before)
    };

    assert_eq!([ask(&expected()), ask(&expected())], [(Ok(()), 1), (Ok(()), 0)]);
    revocations.set(RevocationStatus::Revoked, Some("one delta later"));
    assert_eq!([ask(&lenient), ask(&expected())], [(Err(Refusal::Revoked), 1), (Err(Refusal::Revoked), 1)]);
    revocations.set(RevocationStatus::NotRevoked, Some("reinstated"));
    assert_eq!([ask(&expected()), ask(&expected())], [(Ok(()), 1), (Ok(()), 0)]);
    // A stale replica has no version, and a token that a lenient route accepts is not cached as not
    // revoked.
    revocations.set(RevocationStatus::Stale, None);
    assert_eq!([ask(&expected()), ask(&lenient)], [(Err(Refusal::Stale), 1), (Ok(()), 1)]);
    revocations.set(RevocationStatus::NotCovered, Some("of another issuer"));
    assert_eq!([ask(&lenient), ask(&expected())], [(Ok(()), 1), (Err(Refusal::NotCovered), 1)]);
    // A refusal for another reason does not change the cache.
    revocations.set(RevocationStatus::NotRevoked, Some("another delta later"));
    let other = TokenRequirements { audience: "https://b.example", ..expected() };
    assert_eq!([ask(&other), ask(&expected())], [(Err(Refusal::WrongAudience), 0), (Ok(()), 1)]);
}

#[test]
fn a_changed_token_is_never_answered_from_the_cache() {
    let keys = Keys::new();
    let revocations = FakeChecker::new();
    for alg in ["HS256", "EdDSA", "ES256", "RS256"] {
        let mut verifier = Verifier::new(all_keys(), 4, TableSize::Small);
        let token = TokenBuilder::new(&keys, alg, ISSUER, AUDIENCE, NOW).sign();
        assert!(verify_both(&mut verifier, &token, &expected(), &revocations, NOW).is_ok());
        // Most of the changes leave the end of the signature as it is, which selects the cache
        // slot.
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
fn tokens_that_evict_each_other_get_their_own_answers() {
    let keys = Keys::new();
    let revocations = FakeChecker::new();
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
                let verified =
                    verifier.verify(token.as_bytes(), &expected(), &revocations, NOW).expect("a valid token");
                assert_eq!(verified.subject(), format!("subject-{number}"), "round {round} of {size}");
            }
        }
    }
}

#[test]
fn a_key_in_frequent_use_gets_a_table() {
    let keys = Keys::new();
    let revocations = FakeChecker::new();
    let mut verifier = Verifier::new(all_keys(), 0, TableSize::Small);
    for alg in ["EdDSA", "ES256", "RS256", "HS256"] {
        let token = TokenBuilder::new(&keys, alg, ISSUER, AUDIENCE, NOW).sign();
        let before = verifier.keys().table_bytes();
        for _ in 0..100 {
            assert!(verify_both(&mut verifier, &token, &expected(), &revocations, NOW).is_ok());
        }
        let has_curve = matches!(alg, "EdDSA" | "ES256");
        assert_eq!(verifier.keys().table_bytes() > before, has_curve, "{alg}");
    }
}

#[test]
fn a_token_whose_signature_was_checked_outside_is_judged_as_any_other() {
    let keys = Keys::new();
    let revocations = FakeChecker::new();
    for alg in ["EdDSA", "ES256", "RS256"] {
        let mut verifier = Verifier::new(all_keys(), 64, TableSize::None);
        let token = TokenBuilder::new(&keys, alg, ISSUER, AUDIENCE, NOW).sign();
        assert!(verifier.needs_public_key_check(token.as_bytes(), false), "{alg}");
        assert_eq!(check_token_signature(token.as_bytes(), &all_keys(), false), Ok(()));
        verifier.cache_checked(token.as_bytes(), false).unwrap();
        assert!(!verifier.needs_public_key_check(token.as_bytes(), false), "{alg}");
        assert!(verify_both(&mut verifier, &token, &expected(), &revocations, NOW).is_ok());
        assert!(verify_both(&mut verifier, &token, &expected(), &revocations, NOW + 4000).is_err());
        let other = TokenRequirements { audience: "https://b.example", ..expected() };
        assert!(verify_both(&mut verifier, &token, &other, &revocations, NOW).is_err());
        revocations.set(RevocationStatus::Revoked, None);
        assert!(verify_both(&mut verifier, &token, &expected(), &revocations, NOW).is_err());
        revocations.set(RevocationStatus::NotRevoked, None);
        // It is another token where plain JWTs are allowed.
        assert!(verifier.needs_public_key_check(token.as_bytes(), true), "{alg}");

        let mut forged = token.clone().into_bytes();
        let place = forged.len() - 20;
        forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
        assert!(verifier.needs_public_key_check(&forged, false), "{alg}");
        assert_eq!(check_token_signature(&forged, &all_keys(), false), Err(Refusal::BadSignature));
    }
    let mut verifier = Verifier::new(all_keys(), 64, TableSize::None);
    let long = "x".repeat(MAX_CACHED_TOKEN_BYTES);
    for token in [
        TokenBuilder::new(&keys, "HS256", ISSUER, AUDIENCE, NOW).sign(),
        TokenBuilder::new(&keys, "EdDSA", ISSUER, AUDIENCE, NOW).claim("long", long).sign(),
        TokenBuilder::new(&keys, "EdDSA", ISSUER, AUDIENCE, NOW).header("kid", "unknown").sign(),
        "no token".to_owned(),
    ] {
        assert!(!verifier.needs_public_key_check(token.as_bytes(), false), "{token}");
    }
    assert_eq!(verifier.cache_checked(b"no token", false), Err(Refusal::NotCompact));
}

#[test]
fn a_batch_gives_the_answers_of_single_calls() {
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
    let (mut verified, mut accepted) = (0, 0);
    for size in [0, 1, 2, 3, 4, 5, 6, 7, 31, 200] {
        let tokens: Vec<String> = (0..size)
            .map(|number| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Half of them are valid HS256 tokens, so that whole groups are interleaved.
                let kind = if seed >> 31 == 1 { 0 } else { (seed >> 16) as usize % kinds.len() };
                kinds[kind](number)
            })
            .collect();
        let bytes: Vec<&[u8]> = tokens.iter().map(String::as_bytes).collect();
        let verdicts = verify_all(&bytes, &all_keys(), &expected(), &CheckedByCaller, NOW);
        assert_eq!(verdicts.len(), size);
        for (token, verdict) in bytes.iter().zip(verdicts) {
            accepted += usize::from(verdict.is_ok());
            verified += 1;
            assert_eq!(verdict, verify(token, &all_keys(), &expected(), &CheckedByCaller, NOW));
        }
    }
    assert!(accepted > 100 && verified - accepted > 50, "{accepted} of {verified} are valid");
}
