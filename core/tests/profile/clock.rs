//! `exp`, `nbf` and `iat` to the second, with several leeways.

use tollgate_core::{MAX_LEEWAY_SECONDS, TokenRequirements};

use crate::keys::Keys;
use crate::{NOW, all_keys, code, requirements, valid_token, verify_with};

#[test]
fn a_token_is_valid_from_and_until_the_exact_second() {
    let (keys, set) = (Keys::new(), all_keys());
    let mut checked = 0;
    for leeway in [0, 1, 30, 60] {
        let requirements = TokenRequirements { leeway, ..requirements() };
        for (claim, value, word) in [
            ("exp", NOW - leeway + 1, "passes"),
            ("exp", NOW - leeway, "expired"),
            ("exp", NOW - leeway - 1, "expired"),
            ("nbf", NOW + leeway, "passes"),
            ("nbf", NOW + leeway + 1, "not_yet_valid"),
            ("iat", NOW + leeway, "passes"),
            ("iat", NOW + leeway + 1, "not_yet_valid"),
        ] {
            let token = valid_token(&keys, "EdDSA").claim(claim, value).sign();
            assert_eq!(code(&verify_with(&set, &requirements, NOW, token)), word, "{claim} {value}, leeway {leeway}");
            checked += 1;
        }
    }
    println!("{checked} seconds checked");
}

#[test]
fn a_leeway_above_a_minute_counts_as_a_minute() {
    let (keys, set) = (Keys::new(), all_keys());
    for leeway in [MAX_LEEWAY_SECONDS + 1, 3600, u64::MAX] {
        let requirements = TokenRequirements { leeway, ..requirements() };
        let late = |seconds: u64| valid_token(&keys, "EdDSA").claim("exp", NOW - seconds).sign();
        assert_eq!(code(&verify_with(&set, &requirements, NOW, late(59))), "passes");
        assert_eq!(code(&verify_with(&set, &requirements, NOW, late(60))), "expired");
        let early = |seconds: u64| valid_token(&keys, "EdDSA").claim("nbf", NOW + seconds).sign();
        assert_eq!(code(&verify_with(&set, &requirements, NOW, early(60))), "passes");
        assert_eq!(code(&verify_with(&set, &requirements, NOW, early(61))), "not_yet_valid");
    }
}

#[test]
fn a_clock_at_either_end_of_its_range_does_not_overflow() {
    let (keys, set) = (Keys::new(), all_keys());
    for leeway in [0, 60, u64::MAX] {
        let requirements = TokenRequirements { leeway, ..requirements() };
        let unlimited = valid_token(&keys, "EdDSA").claim("exp", 253_402_300_799_u64).claim("iat", 0).sign();
        assert_eq!(code(&verify_with(&set, &requirements, 0, &unlimited)), "passes");
        assert_eq!(code(&verify_with(&set, &requirements, u64::MAX, &unlimited)), "expired");
        let token = valid_token(&keys, "EdDSA").sign();
        assert_eq!(code(&verify_with(&set, &requirements, 0, &token)), "not_yet_valid");
    }
}
