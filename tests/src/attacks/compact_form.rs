//! Length and compact serialization.

use super::{
    AttackList, CLAIMS_NOT_BASE64URL, HEADER_NOT_BASE64URL, NOT_COMPACT, ProfileRule, SIGNATURE_NOT_BASE64URL, encode,
};
use crate::token_builder::TokenBuilder;

/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

impl AttackList<'_> {
    pub(super) fn compact_form(&mut self) {
        self.sizes();
        self.counts();
        self.encodings();
        self.alphabets();
        self.positions();
        self.white_space();
    }

    fn sizes(&mut self) {
        for alg in super::ALGORITHMS {
            let largest = of_length(&self.good(alg), MAX_TOKEN_BYTES);
            self.passes(ProfileRule::Size, format!("16 KiB to the byte, {alg}"), largest);
        }
        let too_long = |length: usize| format!("the token has {length} bytes; the limit is 16384");
        let longer = of_length(&self.eddsa(), MAX_TOKEN_BYTES + 1);
        self.fails(ProfileRule::Size, "a byte more than 16 KiB", longer, too_long(MAX_TOKEN_BYTES + 1));
        // Beyond the limit nothing is parsed, not even the three parts.
        self.fails(ProfileRule::Size, "17 KiB of dots", ".".repeat(17 * 1024), too_long(17 * 1024));
        self.fails(ProfileRule::Size, "17 KiB of one letter", "A".repeat(17 * 1024), too_long(17 * 1024));
        self.fails(ProfileRule::Size, "16 MiB of zeros", vec![0; 16 << 20], too_long(16 << 20));
    }

    fn counts(&mut self) {
        let good = self.eddsa().sign();
        let [header, claims, signature] = split(&good);
        for (name, token) in [
            ("no byte at all", String::new()),
            ("one dot", ".".into()),
            ("two dots", "..".into()),
            ("a word", "abc".into()),
            ("two parts", format!("{header}.{claims}")),
            ("five parts, as JWE has them", format!("{good}.{claims}.{signature}")),
            ("four parts", format!("{good}.{signature}")),
            ("an empty fourth part", format!("{good}.")),
            ("an empty part before", format!(".{good}")),
            ("an empty header", format!(".{claims}.{signature}")),
            ("an empty claims part, as detached content has it", format!("{header}..{signature}")),
            ("an empty signature", format!("{header}.{claims}.")),
            ("16 KiB of dots", ".".repeat(MAX_TOKEN_BYTES)),
            ("parts between other marks", good.replace('.', "~")),
        ] {
            self.fails(ProfileRule::Parts, name, token, NOT_COMPACT);
        }
    }

    /// Base64url texts that a lenient decoder reads as the same bytes. Signed as written where the
    /// signature covers them.
    fn encodings(&mut self) {
        for spare in [1, 2] {
            let draft = self.eddsa();
            let header = with_spare_bytes(&draft.header_json(), spare);
            let claims = with_spare_bytes(&draft.claims_json(), spare);
            let padding = "=".repeat(3 - spare);
            let (whole_header, whole_claims) = (encode(&header), encode(&claims));
            let stray = draft.sign_parts(&stray_bits(&whole_header), &whole_claims);
            self.fails(ProfileRule::Parts, format!("stray bits in the header, {spare}"), stray, HEADER_NOT_BASE64URL);
            let stray = draft.sign_parts(&whole_header, &stray_bits(&whole_claims));
            self.fails(ProfileRule::Parts, format!("stray bits in the claims, {spare}"), stray, CLAIMS_NOT_BASE64URL);
            let padded = draft.sign_parts(&format!("{whole_header}{padding}"), &whole_claims);
            self.fails(ProfileRule::Parts, format!("padding in the header, {spare}"), padded, HEADER_NOT_BASE64URL);
            let padded = draft.sign_parts(&whole_header, &format!("{whole_claims}{padding}"));
            self.fails(ProfileRule::Parts, format!("padding in the claims, {spare}"), padded, CLAIMS_NOT_BASE64URL);
            let good = draft.sign_parts(&whole_header, &whole_claims);
            self.passes(ProfileRule::Parts, format!("parts with {spare} bytes beyond threes"), good);
        }
        for alg in super::ALGORITHMS {
            let good = self.good(alg).sign();
            self.fails(
                ProfileRule::Parts,
                format!("stray bits in the signature, {alg}"),
                stray_bits(&good),
                SIGNATURE_NOT_BASE64URL,
            );
            self.fails(
                ProfileRule::Parts,
                format!("padding in the signature, {alg}"),
                format!("{good}=="),
                SIGNATURE_NOT_BASE64URL,
            );
        }
    }

    /// Other alphabets, impossible lengths, and bytes outside the alphabet.
    fn alphabets(&mut self) {
        let draft = self.eddsa().header("x", "???").claim("x", "~~~ÿÿÿ???>>>");
        let [header, claims, _] = split(&draft.sign()).map(str::to_owned);
        let classic = |text: &str| text.replace('-', "+").replace('_', "/");
        assert!(classic(&header) != header && classic(&claims) != claims, "both alphabets differ here");
        self.passes(ProfileRule::Parts, "letters of the URL-safe alphabet only", draft.sign());
        let other = draft.sign_parts(&classic(&header), &claims);
        self.fails(ProfileRule::Parts, "the classic alphabet in the header", other, HEADER_NOT_BASE64URL);
        let other = draft.sign_parts(&header, &classic(&claims));
        self.fails(ProfileRule::Parts, "the classic alphabet in the claims", other, CLAIMS_NOT_BASE64URL);
        let good = self.eddsa().sign();
        for (name, tail) in [
            ("a letter of the classic alphabet behind", "+/"),
            ("a percent-encoded pad behind", "%3D%3D"),
            ("a letter beyond ASCII behind", "é"),
            ("a full stop of another script behind", "\u{3002}"),
            ("a quotation mark behind", "\""),
            ("a semicolon behind", ";x"),
        ] {
            self.fails(ProfileRule::Parts, name, format!("{good}{tail}"), SIGNATURE_NOT_BASE64URL);
        }
        for (name, byte) in [("a byte that is not UTF-8 behind", 0xff), ("a NUL behind", 0), ("a DEL behind", 0x7f)] {
            let token = [good.as_bytes(), &[byte]].concat();
            self.fails(ProfileRule::Parts, name, token, SIGNATURE_NOT_BASE64URL);
        }
        let one = draft.sign_parts("A", &claims);
        self.fails(ProfileRule::Parts, "a header of one letter", one, HEADER_NOT_BASE64URL);
        let five = draft.sign_parts(&header, "AAAAA");
        self.fails(ProfileRule::Parts, "claims of five letters", five, CLAIMS_NOT_BASE64URL);
    }

    /// A wrong letter is found at any position. Vectorized decoders treat blocks of 16 or 32
    /// letters and the remainder differently.
    fn positions(&mut self) {
        let draft = self.good("HS256");
        let [header, claims, signature] = split(&draft.sign()).map(str::to_owned);
        let with_plus = |text: &str, at: usize| format!("{}+{}", &text[..at], &text[at + 1..]);
        for at in (0..header.len()).step_by(5) {
            let token = draft.sign_parts(&with_plus(&header, at), &claims);
            self.fails(ProfileRule::Parts, format!("a plus at place {at} of the header"), token, HEADER_NOT_BASE64URL);
        }
        for at in (0..claims.len()).step_by(5) {
            let token = draft.sign_parts(&header, &with_plus(&claims, at));
            self.fails(ProfileRule::Parts, format!("a plus at place {at} of the claims"), token, CLAIMS_NOT_BASE64URL);
        }
        for at in (0..signature.len()).step_by(5) {
            let token = format!("{header}.{claims}.{}", with_plus(&signature, at));
            self.fails(
                ProfileRule::Parts,
                format!("a plus at place {at} of the signature"),
                token,
                SIGNATURE_NOT_BASE64URL,
            );
        }
    }

    fn white_space(&mut self) {
        for (name, space) in [
            ("a space", ' '),
            ("a tab", '\t'),
            ("a line feed", '\n'),
            ("a carriage return", '\r'),
            ("a form feed", '\u{c}'),
        ] {
            let draft = self.eddsa();
            let [header, claims, signature] = split(&draft.sign()).map(str::to_owned);
            let inside = |text: &str| format!("{}{space}{}", &text[..8], &text[8..]);
            let token = draft.sign_parts(&inside(&header), &claims);
            self.fails(ProfileRule::Parts, format!("{name} in the header"), token, HEADER_NOT_BASE64URL);
            let token = draft.sign_parts(&header, &inside(&claims));
            self.fails(ProfileRule::Parts, format!("{name} in the claims"), token, CLAIMS_NOT_BASE64URL);
            let token = format!("{header}.{claims}.{}", inside(&signature));
            self.fails(ProfileRule::Parts, format!("{name} in the signature"), token, SIGNATURE_NOT_BASE64URL);
            let token = format!("{space}{header}.{claims}.{signature}");
            self.fails(ProfileRule::Parts, format!("{name} before"), token, HEADER_NOT_BASE64URL);
            let token = format!("{header}.{claims}.{signature}{space}");
            self.fails(ProfileRule::Parts, format!("{name} behind"), token, SIGNATURE_NOT_BASE64URL);
        }
    }
}

fn split(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().expect("three parts")
}

/// Appends white space, so that the base64url has unused bits in its last letter.
fn with_spare_bytes(text: &str, spare: usize) -> String {
    let fill = (3 + spare - text.len() % 3) % 3;
    format!("{text}{}", " ".repeat(fill))
}

/// Sets the lowest of the unused bits of the last letter.
pub(super) fn stray_bits(text: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (most, last) = text.split_at(text.len() - 1);
    let value = LETTERS.iter().position(|letter| *letter == last.as_bytes()[0]).expect("a letter");
    assert!(value.is_multiple_of(4), "the last letter has unused bits, all of them 0");
    format!("{most}{}", char::from(LETTERS[value + 1]))
}

/// A token of exactly this length, padded by a claim and a header member.
fn of_length(draft: &TokenBuilder<'_>, length: usize) -> String {
    let bare = draft.clone().claim("x", "").sign().len();
    let about = (length - bare) * 3 / 4;
    for (header, claims) in (0..4).flat_map(|header| (about - 8..=about + 1).map(move |claims| (header, claims))) {
        let long = draft.clone().claim("x", "x".repeat(claims));
        let token = if header == 0 { long.sign() } else { long.header("x", "x".repeat(header)).sign() };
        if token.len() == length {
            return token;
        }
    }
    panic!("no token of {length} bytes")
}
