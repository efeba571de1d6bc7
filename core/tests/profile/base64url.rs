//! base64url decoding of tokens: each of the 256 bytes at each position of each part.

use crate::keys::Keys;
use crate::token_builder::TokenSigner as _;
use crate::{code, valid_token, verify_with};

#[test]
fn every_byte_outside_the_alphabet_is_refused_at_every_position() {
    let (keys, set, requirements) = (Keys::new(), crate::all_keys(), crate::requirements());
    let token = valid_token(&keys, "HS256").sign().into_bytes();
    let dots: Vec<usize> = (0..token.len()).filter(|at| token[*at] == b'.').collect();
    let is_in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let (mut refused, mut checked) = (0, 0);
    for at in (0..token.len()).filter(|at| !dots.contains(at)) {
        for byte in (0..=u8::MAX).filter(|byte| *byte != token[at] && *byte != b'.') {
            let mut changed = token.clone();
            changed[at] = byte;
            if at < dots[1] {
                // Signed after the change, so that the byte decides and not the signature.
                let signature = crate::token_builder::encode(keys.signature("HS256", &changed[..dots[1]]));
                changed.truncate(dots[1] + 1);
                changed.extend(signature.bytes());
            }
            let verdict = verify_with(&set, &requirements, crate::NOW, &changed);
            checked += 1;
            if !is_in_alphabet(byte) {
                assert_eq!(code(&verdict), "not_base64url", "byte {byte:#04x} at {at}");
                refused += 1;
            } else if at > dots[1] {
                assert!(verdict.is_err(), "byte {byte:#04x} at {at} of the signature");
            }
        }
    }
    println!("{checked} tokens, {refused} with a byte outside the alphabet");
}

/// Of the letters that differ only in unused bits, one is accepted.
#[test]
fn claims_of_every_length_have_one_encoding() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (keys, set, requirements) = (Keys::new(), crate::all_keys(), crate::requirements());
    let mut checked = 0;
    for spaces in 0..70 {
        let draft = valid_token(&keys, "HS256").rewrite(|text| format!("{text}{}", " ".repeat(spaces)));
        let (header, claims) = (draft.header_part(), draft.claims_part());
        assert_eq!(code(&verify_with(&set, &requirements, crate::NOW, draft.sign())), "passes", "{spaces}");
        let (most, last) = claims.split_at(claims.len() - 1);
        let unused = [0, 0, 4, 2][claims.len() % 4];
        let value = ALPHABET.iter().position(|letter| *letter == last.as_bytes()[0]).expect("a letter");
        for stray in 1..1_usize << unused {
            let other = format!("{most}{}", char::from(ALPHABET[value | stray]));
            let verdict = verify_with(&set, &requirements, crate::NOW, draft.sign_parts(&header, &other));
            assert_eq!(code(&verdict), "not_base64url", "{spaces} spaces, {stray}");
            checked += 1;
        }
    }
    println!("{checked} texts with unused bits set");
}
