//! Every way into the core gives the same verdict: one token, many at once, with a memory, with tables.

use tollgate_core::{CheckedByCaller, Refusal, TableSize, VerifiedToken, Verifier, verify_all};

use crate::attacks::{Attack, all_attacks};
use crate::keys::Keys;
use crate::lines::attack_context;
use crate::{NOW, all_keys, expected, judge_by};

/// Tokens that a verifier remembers here: fewer than there are, so that they drive each other out.
const CACHED: usize = 16;

fn attacks() -> Vec<Attack> {
    let (keys, public) = (Keys::new(), Keys::public_jwks());
    all_attacks(&attack_context(&keys, &public))
}

fn plainly(attacks: &[Attack]) -> Vec<Result<VerifiedToken, Refusal>> {
    let set = all_keys();
    attacks.iter().map(|attack| judge_by(&set, &expected(), NOW, &attack.token)).collect()
}

#[test]
fn many_tokens_at_once_are_judged_as_one_by_one() {
    let attacks = attacks();
    let (set, plain) = (all_keys(), plainly(&attacks));
    // From each beginning, so that every token stands beside others at every place of a group.
    for skipped in 0..4 {
        let tokens: Vec<&[u8]> = attacks.iter().skip(skipped).map(|attack| attack.token.as_slice()).collect();
        let together = verify_all(&tokens, &set, &expected(), &CheckedByCaller, NOW);
        assert!(together == plain[skipped..], "from token {skipped} on");
    }
    // Two good ones beside each.
    let good = attacks.iter().find(|attack| attack.name == "HS256").expect("a good token").token.clone();
    for (attack, plain) in attacks.iter().zip(&plain) {
        for tokens in [[&attack.token, &good, &good], [&good, &attack.token, &good], [&good, &good, &attack.token]] {
            let together = verify_all(&tokens.map(Vec::as_slice), &set, &expected(), &CheckedByCaller, NOW);
            let place = tokens.iter().position(|token| *token == &attack.token).expect("it is there");
            assert!(together[place] == *plain, "{}", attack.name);
            assert!(together.iter().filter(|verdict| verdict.is_ok()).count() >= 2, "beside {}", attack.name);
        }
    }
    println!("{} tokens, each at every place of a group", attacks.len());
}

#[test]
fn a_verifier_that_remembers_judges_as_one_that_does_not() {
    let attacks = attacks();
    let plain = plainly(&attacks);
    for size in [TableSize::None, TableSize::Small] {
        let mut verifier = Verifier::new(all_keys(), CACHED, size);
        for round in 0..3 {
            for (attack, plain) in attacks.iter().zip(&plain) {
                for _ in 0..2 {
                    let verdict = verifier.verify(&attack.token, &expected(), &CheckedByCaller, NOW);
                    assert!(verdict.cloned() == *plain, "{}, round {round}", attack.name);
                }
            }
        }
    }
    println!("{} tokens, six times by each of two verifiers", attacks.len());
}

#[test]
fn keys_with_tables_judge_as_keys_without() {
    let attacks = attacks();
    let plain = plainly(&attacks);
    for size in [TableSize::Small, TableSize::Large] {
        let mut set = all_keys();
        set.prepare_tables(size);
        for (attack, plain) in attacks.iter().zip(&plain) {
            assert!(judge_by(&set, &expected(), NOW, &attack.token) == *plain, "{}", attack.name);
        }
    }
    println!("{} tokens by tables of two sizes", attacks.len());
}
