//! Each line of the profile has tokens that pass and tokens that do not, and stands in the documentation in the same words.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_core::Refusal;

use crate::attacks::{AttackContext, ProfileRule, all_attacks};
use crate::keys::Keys;
use crate::token_builder::LIFETIME;
use crate::{AUDIENCE, ISSUER, NOW, all_keys, expected, judge_by};

const DOCUMENT: &str = include_str!("../../../docs/verification.md");

/// The issuer and the attacker of these tests.
pub(crate) fn attack_context<'a>(keys: &'a Keys, public_jwks: &'a str) -> AttackContext<'a> {
    AttackContext { signer: keys, public_jwks, issuer: ISSUER, audience: AUDIENCE, now: NOW, lifetime: LIFETIME }
}

#[test]
fn every_token_of_every_line_is_judged_as_the_profile_says() {
    let (keys, set, public) = (Keys::new(), all_keys(), Keys::public_jwks());
    let context = attack_context(&keys, &public);
    let attacks = all_attacks(&context);
    let mut counts: BTreeMap<ProfileRule, (u32, u32)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for attack in &attacks {
        let verdict = judge_by(&set, &expected(), NOW, &attack.token);
        let refusal = verdict.err().map(|refusal: Refusal| refusal.to_string());
        if refusal != attack.refused {
            wrong.push(format!("{}: expected {:?}, was told {refusal:?}", attack.name, attack.refused));
        }
        let count = counts.entry(attack.rule).or_default();
        *if attack.refused.is_none() { &mut count.0 } else { &mut count.1 } += 1;
    }
    println!("{} tokens, {} wrong", attacks.len(), wrong.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for line in ProfileRule::ALL {
        let (passing, refused) = counts.get(&line).copied().unwrap_or_default();
        println!("{passing:4} pass, {refused:4} refused: {line}");
        assert!(passing > 0 && refused > 0, "{line} has no token that passes, or none that is refused");
    }
}

#[test]
fn every_token_has_a_name_of_its_own() {
    let (keys, public) = (Keys::new(), Keys::public_jwks());
    let context = attack_context(&keys, &public);
    let mut names = BTreeSet::new();
    for attack in all_attacks(&context) {
        assert!(names.insert(attack.name.clone()), "{} is there twice", attack.name);
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
fn the_documentation_has_each_line_in_the_same_words() {
    let text = DOCUMENT.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in ProfileRule::ALL {
        assert!(text.contains(line.words()), "docs/verification.md does not say: {line}");
    }
}
