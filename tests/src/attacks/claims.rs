//! Required claims, audiences, identifiers, and their comparison.

use serde_json::json;

use super::{AttackList, ProfileRule, malformed, raw_claim};

const OTHER_ISSUER: &str = "the token is from another issuer";
const OTHER_AUDIENCE: &str = "the token is for another audience";
/// Claims that RFC 9068 §2.2 requires.
const REQUIRED: [&str; 7] = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"];

impl AttackList<'_> {
    pub(super) fn claims(&mut self) {
        self.required();
        self.audience();
        self.identifiers();
        self.comparison();
        self.bound();
    }

    fn required(&mut self) {
        let bare = self.eddsa().claim("scope", ()).sign();
        self.passes(ProfileRule::Required, "the required claims alone", bare);
        for name in REQUIRED {
            let without = self.eddsa().claim(name, ()).sign();
            self.fails(ProfileRule::Required, format!("no {name}"), without, format!("the claim {name} is missing"));
            for text in ["null", "true", "{}", r#"{"a":"b"}"#] {
                let token = raw_claim(&self.eddsa(), name, text).sign();
                self.fails(ProfileRule::Required, format!("{name} {text}"), token, malformed(name));
            }
            let other = if ["exp", "iat"].contains(&name) { "\"1\"" } else { "1" };
            let token = raw_claim(&self.eddsa(), name, other).sign();
            self.fails(ProfileRule::Required, format!("{name} {other}"), token, malformed(name));
            if name != "aud" {
                let token = raw_claim(&self.eddsa(), name, "[\"a\"]").sign();
                self.fails(ProfileRule::Required, format!("{name} in an array"), token, malformed(name));
            }
        }
        for (name, text) in [
            ("nbf", r#""1""#),
            ("nbf", "null"),
            ("sid", "1"),
            ("sid", "null"),
            ("scope", r#"["a"]"#),
            ("scope", "null"),
        ] {
            let token = raw_claim(&self.eddsa(), name, text).sign();
            self.fails(ProfileRule::Required, format!("{name}, which may be absent, {text}"), token, malformed(name));
        }
        for scope in [" a", "a ", "a  b", "a\tb", "a\"b", "a\\b", "é", "a\u{7f}"] {
            let token = self.eddsa().claim("scope", scope).sign();
            self.fails(ProfileRule::Required, format!("scope {scope:?}"), token, malformed("scope"));
        }
        let empty = self.eddsa().claims_bytes("{}").sign();
        self.fails(ProfileRule::Required, "no claims", empty, "the claim iss is missing");
    }

    fn audience(&mut self) {
        let ours = self.context.audience;
        let others = |count: usize| (0..count).map(|n| format!("https://{n}.example")).collect::<Vec<_>>();
        for (name, aud) in [
            ("one, a string", json!(ours)),
            ("one in an array", json!([ours])),
            ("the last of 32", json!([others(31), vec![ours.to_owned()]].concat())),
            ("the same twice", json!([ours, ours])),
        ] {
            self.passes(ProfileRule::Audience, format!("aud, {name}"), self.eddsa().claim("aud", aud).sign());
        }
        for (name, aud) in [
            ("an empty array", json!([])),
            ("33 of them", json!([others(32), vec![ours.to_owned()]].concat())),
            ("with a number", json!([ours, 1])),
            ("with a null", json!([ours, null])),
            ("an array inside", json!([[ours]])),
            ("an object", json!({ ours: true })),
            ("with an empty string", json!([ours, ""])),
            ("an empty string", json!("")),
        ] {
            let token = self.eddsa().claim("aud", aud).sign();
            self.fails(ProfileRule::Audience, format!("aud, {name}"), token, malformed("aud"));
        }
        for (name, aud) in [
            ("another", json!("https://other.example")),
            ("others", json!(others(32))),
            ("several in one string", json!(format!("https://other.example {ours}"))),
            ("several with a comma", json!(format!("{ours},https://other.example"))),
            ("a part of ours", json!(ours.get(..ours.len() - 1))),
            ("more than ours", json!(format!("{ours}.evil.example"))),
            ("any", json!("*")),
        ] {
            let token = self.eddsa().claim("aud", aud).sign();
            self.fails(ProfileRule::Audience, format!("aud, {name}"), token, OTHER_AUDIENCE);
        }
    }

    fn identifiers(&mut self) {
        for name in ["sub", "client_id", "jti", "sid"] {
            for (what, text) in [
                ("1 byte", "a".to_owned()),
                ("255 bytes", "a".repeat(255)),
                ("255 bytes in 85 letters", "日".repeat(85)),
            ] {
                self.passes(ProfileRule::Identifiers, format!("{name}, {what}"), self.eddsa().claim(name, text).sign());
            }
            for (what, text) in [
                ("empty", String::new()),
                ("256 bytes", "a".repeat(256)),
                ("128 letters in 256 bytes", "é".repeat(128)),
                ("10,000 bytes", "a".repeat(10_000)),
                ("a NUL inside", "a\0b".to_owned()),
                ("a line feed inside", "a\nb".to_owned()),
                ("a carriage return at the end", "a\r".to_owned()),
                ("an escape character", "\u{1b}[2J".to_owned()),
                ("a DEL", "a\u{7f}".to_owned()),
                ("a control character of Latin-1", "a\u{85}b".to_owned()),
            ] {
                let token = self.eddsa().claim(name, text).sign();
                self.fails(ProfileRule::Identifiers, format!("{name}, {what}"), token, malformed(name));
            }
        }
        for name in ["iss", "aud"] {
            let token = self.eddsa().claim(name, "a\u{1}").sign();
            self.fails(ProfileRule::Identifiers, format!("{name}, a control character"), token, malformed(name));
            let token = self.eddsa().claim(name, "a".repeat(256)).sign();
            self.fails(ProfileRule::Identifiers, format!("{name}, 256 bytes"), token, malformed(name));
        }
    }

    /// A bound token presented as a bearer token may be stolen (RFC 9449 §7.2).
    fn bound(&mut self) {
        let why = "the token is bound to a key and came without proof of possession";
        for (what, cnf) in [
            ("to a DPoP key", json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" })),
            ("to a certificate", json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" })),
            ("in a way nobody knows", json!({ "x": 1 })),
            ("to nothing", json!({})),
            ("to no object", json!(true)),
        ] {
            self.fails(ProfileRule::Bound, format!("bound {what}"), self.eddsa().claim("cnf", cnf).sign(), why);
        }
        let token = raw_claim(&self.eddsa(), "cnf", "null").sign();
        self.fails(ProfileRule::Bound, "bound to null", token, why);
        let token = raw_claim(&self.eddsa(), "\\u0063nf", "{}").sign();
        self.fails(ProfileRule::Bound, "bound, in escapes", token, why);
        let token = self.eddsa().claim("act", json!({ "cnf": {} })).sign();
        self.passes(ProfileRule::Bound, "another claim that has a cnf inside", token);
    }

    fn comparison(&mut self) {
        let escaped = |text: &str| {
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            format!("\"{units}\"")
        };
        for (name, text, why) in
            [("iss", self.context.issuer, OTHER_ISSUER), ("aud", self.context.audience, OTHER_AUDIENCE)]
        {
            let token = raw_claim(&self.eddsa(), name, &escaped(text)).sign();
            self.passes(ProfileRule::Comparison, format!("{name} spelled in escapes is the same {name}"), token);
            let (scheme, rest) = text.split_once("://").expect("a URL");
            for (what, other) in [
                ("the scheme in capitals", format!("{}://{rest}", scheme.to_uppercase())),
                ("a slash at the end", format!("{text}/")),
                ("a space before", format!(" {text}")),
                ("a space behind", format!("{text} ")),
                ("a percent-encoded letter", format!("{scheme}://%{:02X}{}", rest.as_bytes()[0], &rest[1..])),
                ("cut short", text[..text.len() - 1].to_owned()),
                ("a query behind", format!("{text}?")),
                ("a zero-width space inside", format!("{scheme}://\u{200b}{rest}")),
                ("a user before", format!("{scheme}://user@{rest}")),
            ] {
                let token = self.eddsa().claim(name, other).sign();
                self.fails(ProfileRule::Comparison, format!("{name}, {what}"), token, why);
            }
        }
    }
}
