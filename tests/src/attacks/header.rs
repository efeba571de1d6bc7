//! Header members.

use serde_json::json;

use super::{
    ALGORITHMS, AttackList, HEADER_WRONG_TYPE, ProfileRule, UNKNOWN_ALGORITHM, UNKNOWN_KEY, WRONG_ALGORITHM, encode,
    raw_header,
};

/// Forbidden header members, with values that have an effect elsewhere and values that look
/// harmless.
const FORBIDDEN: [(&str, &[&str]); 7] = [
    ("crit", &[r#"["exp"]"#, r#"["b64"]"#, r#"["x"]"#, "[]", "null", "false"]),
    ("b64", &["false", "true", "null"]),
    ("zip", &[r#""DEF""#, r#""none""#, "null"]),
    ("jku", &[r#""https://auth.example/jwks""#, r#""""#, "null"]),
    ("x5u", &[r#""https://auth.example/cert""#, "null"]),
    ("jwk", &[r#"{"kty":"oct","k":"AA"}"#, "{}", "null"]),
    ("x5c", &[r#"["MIIB"]"#, "[]", "null"]),
];

impl AttackList<'_> {
    pub(super) fn header(&mut self) {
        self.alg();
        self.typ();
        self.forbidden();
        self.kid();
    }

    fn alg(&mut self) {
        for alg in ALGORITHMS {
            self.passes(ProfileRule::Alg, alg, self.good(alg).sign());
        }
        let missing = self.eddsa().header("alg", ()).sign();
        self.fails(ProfileRule::Alg, "no alg", missing, "the header member alg is missing");
        for text in ["null", "1", "true", r#"["EdDSA"]"#, r#"{"name":"EdDSA"}"#] {
            let token = raw_header(&self.eddsa(), "alg", text).sign();
            self.fails(ProfileRule::Alg, format!("alg {text}"), token, HEADER_WRONG_TYPE);
        }
        for alg in [
            "", "HS384", "HS512", "RS384", "RS512", "PS256", "PS512", "ES384", "ES512", "ES256K", "ed25519", "Ed448",
            "RS1", "dir", "HS25", "HS2566", "hs256", "Hs256", "eddsa", "EDDSA", "EdDSA ", " EdDSA", "EdDSA\0", "ЕdDSA",
        ] {
            let token = self.eddsa().header("alg", alg).sign();
            self.fails(ProfileRule::Alg, format!("alg {alg:?}"), token, UNKNOWN_ALGORITHM);
        }
        for (signed_by, named) in
            ALGORITHMS.into_iter().flat_map(|a| ALGORITHMS.map(|b| (a, b))).filter(|(a, b)| a != b)
        {
            // The key of one algorithm, named by a token of another.
            let token = self.good(signed_by).header("kid", self.context.signer.key_id(named)).sign();
            self.fails(ProfileRule::Alg, format!("{signed_by} with the kid of a {named} key"), token, WRONG_ALGORITHM);
            // The right key and signature under another algorithm's name.
            let token = self.good(signed_by).header("alg", named).sign();
            self.fails(ProfileRule::Alg, format!("a {signed_by} signature called {named}"), token, WRONG_ALGORITHM);
        }
    }

    fn typ(&mut self) {
        for typ in ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+JWT"] {
            self.passes(ProfileRule::Typ, format!("typ {typ}"), self.eddsa().header("typ", typ).sign());
        }
        for typ in [
            "",
            "JWT",
            "jwt",
            "application/jwt",
            "id+jwt",
            "logout+jwt",
            "secevent+jwt",
            "dpop+jwt",
            "at+jwt ",
            " at+jwt",
            "at+jwt;x",
            "at",
            "at jwt",
            "application/application/at+jwt",
            "text/at+jwt",
            "at+jwt\0",
        ] {
            let token = self.eddsa().header("typ", typ).sign();
            self.fails(ProfileRule::Typ, format!("typ {typ:?}"), token, "the token is not an access token");
        }
        let missing = self.eddsa().header("typ", ()).sign();
        self.fails(ProfileRule::Typ, "no typ", missing, "the token is not an access token");
        for text in ["null", "1", r#"["at+jwt"]"#, r#"{"at+jwt":1}"#] {
            let token = raw_header(&self.eddsa(), "typ", text).sign();
            self.fails(ProfileRule::Typ, format!("typ {text}"), token, HEADER_WRONG_TYPE);
        }
    }

    fn forbidden(&mut self) {
        for (name, texts) in FORBIDDEN {
            for text in texts {
                let token = raw_header(&self.eddsa(), name, text).sign();
                let why = format!("the header member {name} is not accepted");
                self.fails(ProfileRule::Forbidden, format!("{name} {text}"), token, why);
            }
        }
        for name in ["cty", "x5t", "x5t#S256", "CRIT", "Jku", "x", "nonce", "url", "iss"] {
            let token = self.eddsa().header(name, "x").sign();
            self.passes(ProfileRule::Forbidden, format!("{name}, which steers nothing"), token);
        }
    }

    fn kid(&mut self) {
        let kid = self.context.signer.key_id("EdDSA");
        for alg in ALGORITHMS {
            self.passes(ProfileRule::Kid, format!("the kid of the {alg} key"), self.good(alg).sign());
            self.passes(
                ProfileRule::NoKid,
                format!("{alg} without a kid, one key fits"),
                self.good(alg).header("kid", ()).sign(),
            );
        }
        let escaped: String = kid.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        let token = raw_header(&self.eddsa(), "kid", &format!("\"{escaped}\"")).sign();
        self.passes(ProfileRule::Kid, "the kid spelled in escapes", token);
        let flipped: String = kid
            .chars()
            .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
            .collect();
        assert_ne!(flipped, kid, "the key's name has letters");
        let (prefix, _) = kid.split_at(kid.len() - 1);
        for (name, kid) in [
            ("in other case", flipped),
            ("cut short", prefix.to_owned()),
            ("with a space behind", format!("{kid} ")),
            ("with a NUL behind", format!("{kid}\0")),
            ("twice", format!("{kid}{kid}")),
            ("in base64url", encode(&kid)),
            ("of nobody, 128 letters", "k".repeat(128)),
            ("of nobody, one letter", "k".to_owned()),
            ("that is the place in the key set", "0".to_owned()),
        ] {
            self.fails(ProfileRule::Kid, format!("a kid {name}"), self.eddsa().header("kid", kid).sign(), UNKNOWN_KEY);
        }
        for (name, kid) in [
            ("of 129 letters", "k".repeat(129)),
            ("that is empty", String::new()),
            ("of 128 letters in 256 bytes", "é".repeat(128)),
        ] {
            let token = self.eddsa().header("kid", kid).sign();
            self.fails(ProfileRule::Kid, format!("a kid {name}"), token, "the key id is empty or too long");
        }
        for text in ["null", "0", "true", "[]", "{}"] {
            let token = raw_header(&self.eddsa(), "kid", text).sign();
            self.fails(ProfileRule::Kid, format!("kid {text}"), token, HEADER_WRONG_TYPE);
        }
        let both = self.eddsa().header("kid", json!([kid])).sign();
        self.fails(ProfileRule::Kid, "the kid in an array", both, HEADER_WRONG_TYPE);
    }
}
