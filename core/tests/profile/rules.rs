//! Each rule of the profile has tokens that pass and tokens that are refused, and is in the
//! documentation in the same words.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_core::Refusal;

use crate::attacks::{AttackContext, ProfileRule, all_attacks};
use crate::keys::Keys;
use crate::token_builder::LIFETIME;
use crate::{AUDIENCE, ISSUER, NOW, all_keys, requirements, verify_with};

const DOCUMENT: &str = include_str!("../../../docs/verification.md");

/// Issuer and keys of these tests.
pub(crate) fn attack_context<'a>(keys: &'a Keys, public_jwks: &'a str) -> AttackContext<'a> {
    AttackContext { signer: keys, public_jwks, issuer: ISSUER, audience: AUDIENCE, now: NOW, lifetime: LIFETIME }
}

#[test]
fn every_token_of_every_rule_gets_the_answer_of_the_profile() {
    let (keys, set, public) = (Keys::new(), all_keys(), Keys::public_jwks());
    let context = attack_context(&keys, &public);
    let attacks = all_attacks(&context);
    let mut counts: BTreeMap<ProfileRule, (u32, u32)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for attack in &attacks {
        let verdict = verify_with(&set, &requirements(), NOW, &attack.token);
        let refusal = verdict.err().map(|refusal: Refusal| refusal.to_string());
        if refusal != attack.refused {
            wrong.push(format!("{}: expected {:?}, got {refusal:?}", attack.name, attack.refused));
        }
        let count = counts.entry(attack.rule).or_default();
        *if attack.refused.is_none() { &mut count.0 } else { &mut count.1 } += 1;
    }
    println!("{} tokens, {} wrong", attacks.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for rule in ProfileRule::ALL {
        let (passing, refused) = counts.get(&rule).copied().unwrap_or_default();
        println!("{passing:4} pass, {refused:4} refused: {rule}");
        assert!(passing > 0 && refused > 0, "{rule} has no token that passes, or none that is refused");
    }
}

#[test]
fn every_token_has_a_unique_name() {
    let (keys, public) = (Keys::new(), Keys::public_jwks());
    let context = attack_context(&keys, &public);
    let mut names = BTreeSet::new();
    for attack in all_attacks(&context) {
        assert!(names.insert(attack.name.clone()), "{} exists twice", attack.name);
    }
    let numbers: BTreeSet<&str> =
        names.iter().filter(|name| name.starts_with("CVE-")).filter_map(|name| name.split(' ').next()).collect();
    println!(
        "{} tokens, of them {} after CVEs: {}",
        names.len(),
        names.iter().filter(|name| name.starts_with("CVE-")).count(),
        numbers.len()
    );
    for number in numbers {
        assert!(DOCUMENT.contains(number), "docs/verification.md does not explain {number}");
    }
}

#[test]
fn the_documentation_has_each_rule_in_the_same_words() {
    let text = DOCUMENT.split_whitespace().collect::<Vec<_>>().join(" ");
    for rule in ProfileRule::ALL {
        assert!(text.contains(rule.words()), "docs/verification.md does not say: {rule}");
    }
}
