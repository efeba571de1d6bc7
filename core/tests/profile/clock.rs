//! `exp`, `nbf` and `iat` to the second, with every leeway.

use tollgate_core::{MAX_LEEWAY_SECONDS, TokenRequirements};

use crate::keys::Keys;
use crate::{NOW, all_keys, code, expected, good, judge_by};

#[test]
fn a_token_dies_and_is_born_on_its_second() {
    let (keys, set) = (Keys::new(), all_keys());
    let mut checked = 0;
    for leeway in [0, 1, 30, 60] {
        let expected = TokenRequirements { leeway, ..expected() };
        for (claim, value, word) in [
            ("exp", NOW - leeway + 1, "passes"),
            ("exp", NOW - leeway, "expired"),
            ("exp", NOW - leeway - 1, "expired"),
            ("nbf", NOW + leeway, "passes"),
            ("nbf", NOW + leeway + 1, "not_yet_valid"),
            ("iat", NOW + leeway, "passes"),
            ("iat", NOW + leeway + 1, "not_yet_valid"),
        ] {
            let token = good(&keys, "EdDSA").claim(claim, value).sign();
            assert_eq!(code(&judge_by(&set, &expected, NOW, token)), word, "{claim} {value}, leeway {leeway}");
            checked += 1;
        }
    }
    println!("{checked} seconds checked");
}

#[test]
fn more_leeway_than_a_minute_is_a_minute() {
    let (keys, set) = (Keys::new(), all_keys());
    for leeway in [MAX_LEEWAY_SECONDS + 1, 3600, u64::MAX] {
        let expected = TokenRequirements { leeway, ..expected() };
        let late = |seconds: u64| good(&keys, "EdDSA").claim("exp", NOW - seconds).sign();
        assert_eq!(code(&judge_by(&set, &expected, NOW, late(59))), "passes");
        assert_eq!(code(&judge_by(&set, &expected, NOW, late(60))), "expired");
        let early = |seconds: u64| good(&keys, "EdDSA").claim("nbf", NOW + seconds).sign();
        assert_eq!(code(&judge_by(&set, &expected, NOW, early(60))), "passes");
        assert_eq!(code(&judge_by(&set, &expected, NOW, early(61))), "not_yet_valid");
    }
}

#[test]
fn a_clock_at_either_end_of_time_overflows_nothing() {
    let (keys, set) = (Keys::new(), all_keys());
    for leeway in [0, 60, u64::MAX] {
        let expected = TokenRequirements { leeway, ..expected() };
        let eternal = good(&keys, "EdDSA").claim("exp", 253_402_300_799_u64).claim("iat", 0).sign();
        assert_eq!(code(&judge_by(&set, &expected, 0, &eternal)), "passes");
        assert_eq!(code(&judge_by(&set, &expected, u64::MAX, &eternal)), "expired");
        let token = good(&keys, "EdDSA").sign();
        assert_eq!(code(&judge_by(&set, &expected, 0, &token)), "not_yet_valid");
    }
}
