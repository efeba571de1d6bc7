//! All entry points of the core give the same answers: one token, a batch, the caching verifier,
//! keys with tables.

use tollgate_core::{CheckedByCaller, Refusal, TableSize, VerifiedToken, Verifier, verify_all};

use crate::attacks::{Attack, all_attacks};
use crate::keys::Keys;
use crate::rules::attack_context;
use crate::{NOW, all_keys, requirements, verify_with};

/// Cache size: less than the number of tokens, so that they evict each other.
const CACHED_TOKENS: usize = 16;

fn attacks() -> Vec<Attack> {
    let (keys, public) = (Keys::new(), Keys::public_jwks());
    all_attacks(&attack_context(&keys, &public))
}

fn verify_each(attacks: &[Attack]) -> Vec<Result<VerifiedToken, Refusal>> {
    let set = all_keys();
    attacks.iter().map(|attack| verify_with(&set, &requirements(), NOW, &attack.token)).collect()
}

#[test]
fn a_batch_gives_the_answers_of_single_calls() {
    let attacks = attacks();
    let (set, expected) = (all_keys(), verify_each(&attacks));
    // Starting at each of the first tokens, so that every token is at every position of a group.
    for skipped in 0..4 {
        let tokens: Vec<&[u8]> = attacks.iter().skip(skipped).map(|attack| attack.token.as_slice()).collect();
        let batch = verify_all(&tokens, &set, &requirements(), &CheckedByCaller, NOW);
        assert!(batch == expected[skipped..], "from token {skipped} on");
    }
    // Each together with two valid ones.
    let valid = attacks.iter().find(|attack| attack.name == "HS256").expect("a valid token").token.clone();
    for (attack, expected) in attacks.iter().zip(&expected) {
        for tokens in
            [[&attack.token, &valid, &valid], [&valid, &attack.token, &valid], [&valid, &valid, &attack.token]]
        {
            let batch = verify_all(&tokens.map(Vec::as_slice), &set, &requirements(), &CheckedByCaller, NOW);
            let position = tokens.iter().position(|token| *token == &attack.token).expect("it is there");
            assert!(batch[position] == *expected, "{}", attack.name);
            assert!(batch.iter().filter(|verdict| verdict.is_ok()).count() >= 2, "together with {}", attack.name);
        }
    }
    println!("{} tokens, each at every position of a group", attacks.len());
}

#[test]
fn the_caching_verifier_gives_the_answers_of_single_calls() {
    let attacks = attacks();
    let expected = verify_each(&attacks);
    for size in [TableSize::None, TableSize::Small] {
        let mut verifier = Verifier::new(all_keys(), CACHED_TOKENS, size);
        for round in 0..3 {
            for (attack, expected) in attacks.iter().zip(&expected) {
                for _ in 0..2 {
                    let verdict = verifier.verify(&attack.token, &requirements(), &CheckedByCaller, NOW);
                    assert!(verdict.cloned() == *expected, "{}, round {round}", attack.name);
                }
            }
        }
    }
    println!("{} tokens, six times by each of two verifiers", attacks.len());
}

#[test]
fn keys_with_tables_give_the_answers_of_keys_without() {
    let attacks = attacks();
    let expected = verify_each(&attacks);
    for size in [TableSize::Small, TableSize::Large] {
        let mut set = all_keys();
        set.prepare_tables(size);
        for (attack, expected) in attacks.iter().zip(&expected) {
            assert!(verify_with(&set, &requirements(), NOW, &attack.token) == *expected, "{}", attack.name);
        }
    }
    println!("{} tokens with tables of two sizes", attacks.len());
}
