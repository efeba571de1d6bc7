//! base64url to the letter: each of the 256 bytes at each place of each part.

use crate::keys::Keys;
use crate::token_builder::TokenSigner as _;
use crate::{code, good, judge_by};

#[test]
fn every_byte_that_is_no_letter_is_refused_wherever_it_stands() {
    let (keys, set, expected) = (Keys::new(), crate::all_keys(), crate::expected());
    let token = good(&keys, "HS256").sign().into_bytes();
    let dots: Vec<usize> = (0..token.len()).filter(|at| token[*at] == b'.').collect();
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let (mut refused, mut judged) = (0, 0);
    for at in (0..token.len()).filter(|at| !dots.contains(at)) {
        for byte in (0..=u8::MAX).filter(|byte| *byte != token[at] && *byte != b'.') {
            let mut changed = token.clone();
            changed[at] = byte;
            if at < dots[1] {
                // Signed as it stands, so that the letter decides and not the signature.
                let signature = crate::token_builder::encode(keys.signature("HS256", &changed[..dots[1]]));
                changed.truncate(dots[1] + 1);
                changed.extend(signature.bytes());
            }
            let verdict = judge_by(&set, &expected, crate::NOW, &changed);
            judged += 1;
            if !is_letter(byte) {
                assert_eq!(code(&verdict), "not_base64url", "byte {byte:#04x} at {at}");
                refused += 1;
            } else if at > dots[1] {
                assert!(verdict.is_err(), "byte {byte:#04x} at {at} of the signature");
            }
        }
    }
    println!("{judged} tokens, {refused} with a byte that is no letter");
}

/// A text that decodes has one spelling: of the letters that differ in unused bits alone, one is taken.
#[test]
fn every_length_of_claims_has_one_spelling() {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (keys, set, expected) = (Keys::new(), crate::all_keys(), crate::expected());
    let mut checked = 0;
    for spaces in 0..70 {
        let draft = good(&keys, "HS256").rewrite(|text| format!("{text}{}", " ".repeat(spaces)));
        let (header, claims) = (draft.header_part(), draft.claims_part());
        assert_eq!(code(&judge_by(&set, &expected, crate::NOW, draft.sign())), "passes", "{spaces}");
        let (most, last) = claims.split_at(claims.len() - 1);
        let unused = [0, 0, 4, 2][claims.len() % 4];
        let value = LETTERS.iter().position(|letter| *letter == last.as_bytes()[0]).expect("a letter");
        for stray in 1..1_usize << unused {
            let other = format!("{most}{}", char::from(LETTERS[value | stray]));
            let verdict = judge_by(&set, &expected, crate::NOW, draft.sign_parts(&header, &other));
            assert_eq!(code(&verdict), "not_base64url", "{spaces} spaces, {stray}");
            checked += 1;
        }
    }
    println!("{checked} texts with unused bits set");
}
