//! Syntax of dates, and time checks.

use super::{AttackList, CLAIMS_NOT_JSON, ProfileRule, malformed, raw_claim};

const EXPIRED: &str = "the token has expired";
const NOT_YET_VALID: &str = "the token is not valid yet";
/// The last second of the year 9999.
const MAX_TIME: u64 = 253_402_300_799;

impl AttackList<'_> {
    pub(super) fn dates(&mut self) {
        let now = self.context.now;
        for (name, text) in [
            ("exp", format!("{MAX_TIME}")),
            ("exp", format!("{}.0", now + 600)),
            ("exp", format!("{}e-3", (now + 600) * 1000)),
            ("exp", "9.9E9".to_owned()),
            ("exp", "2.5e+11".to_owned()),
            ("nbf", "0".to_owned()),
            ("nbf", "-0".to_owned()),
            ("nbf", "1.7e9".to_owned()),
            ("iat", "1".to_owned()),
            ("iat", format!("{now}.00")),
        ] {
            self.passes(
                ProfileRule::Dates,
                format!("the date {name} {text}"),
                raw_claim(&self.eddsa(), name, &text).sign(),
            );
        }
        for name in ["exp", "nbf", "iat"] {
            for text in [
                "253402300800",
                "253402300799.5",
                "1e12",
                "9223372036854775807",
                "9223372036854775808",
                "18446744073709551615",
                "18446744073709551616",
                "18446744075509551616",
                "1e308",
                "1e400",
                "1e99999999999999999999",
                "-1",
                "-9223372036854775808",
                "-1e400",
                "1.5",
                "1700000000.0000000001",
                "1e-400",
                "0.1",
            ] {
                let token = raw_claim(&self.eddsa(), name, text).sign();
                self.fails(ProfileRule::Dates, format!("the date {name} {text}"), token, malformed(name));
            }
            for text in ["NaN", "Infinity", "-Infinity", "0x7fffffff", "1_000", "1e", "1."] {
                let token = raw_claim(&self.eddsa(), name, text).sign();
                self.fails(ProfileRule::Dates, format!("the date {name} {text}"), token, CLAIMS_NOT_JSON);
            }
            for text in [r#""9999999999""#, r#""2099-01-01T00:00:00Z""#, "null", "true", "[9999999999]", "{}"] {
                let token = raw_claim(&self.eddsa(), name, text).sign();
                self.fails(ProfileRule::Dates, format!("the date {name} {text}"), token, malformed(name));
            }
        }
        self.times();
    }

    /// With margins, because the adapters have their own clocks. The core's tests check the exact
    /// seconds.
    fn times(&mut self) {
        let now = self.context.now;
        for (name, claim, value) in [
            ("expired within the leeway", "exp", now - 5),
            ("not before, within the leeway", "nbf", now + 20),
            ("issued ahead within the leeway", "iat", now + 20),
            ("issued long ago", "iat", 1),
            ("expires in year 9999", "exp", MAX_TIME),
        ] {
            self.passes(ProfileRule::Times, name, self.eddsa().claim(claim, value).sign());
        }
        for (name, claim, value, why) in [
            ("expired longer ago than any leeway", "exp", now - 61, EXPIRED),
            ("expired yesterday", "exp", now - 86_400, EXPIRED),
            ("expired at the beginning of time", "exp", 0, EXPIRED),
            ("not before, further off than any leeway", "nbf", now + 600, NOT_YET_VALID),
            ("not before year 9999", "nbf", MAX_TIME, NOT_YET_VALID),
            ("issued in the future", "iat", now + 600, NOT_YET_VALID),
            ("issued in year 9999", "iat", MAX_TIME, NOT_YET_VALID),
        ] {
            self.fails(ProfileRule::Times, name, self.eddsa().claim(claim, value).sign(), why);
        }
    }
}
