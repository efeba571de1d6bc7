//! Tokens: accepted, sent in odd ways, malformed, forged, revoked.

use tollgate_model::TokenAlg;

use super::{Case, REVOKED, Section, Setup, Table, bearer, challenged, get, refused};
use crate::token_builder::encode;

pub(super) const SECTION: Section =
    Section { name: "tokens", setup: Setup::Plain, routes: &[], cases: |table| table.tokens() };

impl Table<'_> {
    fn tokens(&self) -> Vec<Case> {
        [
            self.accepted_tokens(),
            self.token_presentation(),
            self.malformed_tokens(),
            self.forged_tokens(),
            self.claims_and_revocation(),
        ]
        .concat()
    }

    fn accepted_tokens(&self) -> Vec<Case> {
        let audiences = serde_json::json!(["https://other.example", self.factory.audience.as_str()]);
        vec![
            self.passes("HS256", &self.good(TokenAlg::Hs256)),
            self.passes("EdDSA", &self.eddsa()),
            self.passes("Ed25519 (RFC 9864)", &self.eddsa().header("alg", "Ed25519")),
            self.passes("ES256", &self.good(TokenAlg::Es256)),
            self.passes("RS256", &self.good(TokenAlg::Rs256)),
            self.passes("typ in full and in capitals", &self.eddsa().header("typ", "Application/AT+JWT")),
            self.passes("no kid where one key fits", &self.eddsa().header("kid", ())),
            self.passes("one of several audiences", &self.eddsa().claim("aud", audiences)),
            self.passes("expired within the leeway", &self.eddsa().claim("exp", self.now - 1)),
            self.passes("issued ahead within the leeway", &self.eddsa().claim("iat", self.now + 20)),
            self.passes("a date as a float", &self.eddsa().rewrite(|text| text.replacen('{', "{\"nbf\":1.7e9,", 1))),
            self.passes(
                "unknown claims",
                &self.eddsa().claim("https://claims.example/x", serde_json::json!({ "deep": [1, { "er": null }] })),
            ),
            self.passes("an identity beyond ASCII", &self.eddsa().claim("sub", "café 100%")),
        ]
    }

    fn token_presentation(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let token = draft.sign();
        let bearer = bearer(&draft);
        let twice = || refused(400, "invalid_request", "more than one credential");
        let query = || {
            let why = "an access token in the query is not accepted; send it in the Authorization header";
            refused(400, "invalid_request", why)
        };
        let alone = refused(400, "invalid_request", "the Bearer scheme has no token");
        vec![
            get("no token", "/", &[], challenged()),
            get("another scheme", "/", &["Basic YTpi"], challenged()),
            get("the scheme in another case", "/", &[&format!("bEARER {token}")], self.identity(&draft)),
            get("the scheme alone", "/", &["Bearer"], alone),
            get("two words after the scheme", "/", &[&format!("{bearer} {token}")], twice()),
            get("two tokens", "/", &[&bearer, &bearer], twice()),
            get("a token behind another scheme", "/", &["Basic YTpi", &bearer], twice()),
            get("a token in the query", "/?access_token=abc", &[], query()),
            get("a token in header and query", "/?a=b&access_token=abc", &[&bearer], query()),
        ]
    }

    fn malformed_tokens(&self) -> Vec<Case> {
        let good = self.eddsa().sign();
        let (most, last) = good.split_at(good.len() - 1);
        let spare_bits = format!("{most}{}", char::from(last.as_bytes()[0] + 1)); // only 2 of the last letter's 6 bits are used; the others are 0
        let empty_signature = format!("{}.", self.eddsa().signing_input());
        let long = self.eddsa().claim("padding", "x".repeat(12_400)).sign();
        assert!(long.len() > 16 * 1024 && long.len() < 17 * 1024, "{} is a little too long", long.len());
        let deep = self
            .eddsa()
            .rewrite(|text| text.replacen('{', &format!("{{\"x\":{}{},", "[".repeat(20), "]".repeat(20)), 1));
        vec![
            self.fails("not a token", "abc", "the token is not three parts separated by dots"),
            self.fails("two parts", "a.b", "the token is not three parts separated by dots"),
            self.fails("four parts", &format!("{good}.a"), "the token is not three parts separated by dots"),
            self.fails("no signature", &empty_signature, "the token is not three parts separated by dots"),
            self.fails("padding", &format!("{good}=="), "the token's signature is not base64url"),
            self.fails("spare bits set", &spare_bits, "the token's signature is not base64url"),
            self.fails("another alphabet", &good.replacen(['e'], "+", 1), "the token's header is not base64url"),
            self.fails("oversized", &long, &format!("the token has {} bytes; the limit is 16384", long.len())),
            self.fails(
                "a header that is not JSON",
                &format!("{}.{}.{}", encode("{"), encode("{}"), encode("x")),
                "the token's header is not JSON",
            ),
            self.fails("claims nested too deep", &deep.sign(), "the token's claims set is nested too deep"),
            self.fails(
                "a claim twice",
                &self.eddsa().rewrite(|text| text.replacen('{', "{\"exp\":9999999999,", 1)).sign(),
                "the token's claims set repeats a member name",
            ),
            self.fails("a claim missing", &self.eddsa().claim("jti", ()).sign(), "the claim jti is missing"),
            self.fails(
                "a date as a string",
                &self.eddsa().claim("exp", "9999999999").sign(),
                "the claim exp is malformed",
            ),
            self.fails(
                "an identifier with a line break",
                &self.eddsa().claim("sub", "a\nx-admin: 1").sign(),
                "the claim sub is malformed",
            ),
        ]
    }

    fn forged_tokens(&self) -> Vec<Case> {
        let good = self.eddsa().sign();
        let tampered = {
            let parts: Vec<&str> = good.split('.').collect();
            let claims = self.eddsa().claim("scope", "admin").signing_input();
            format!("{claims}.{}", parts[2])
        };
        let unsigned = self.eddsa().header("alg", "none").signing_input();
        let psychic = format!("{}.{}", self.good(TokenAlg::Es256).signing_input(), encode([0; 64]));
        let short = format!("{}.{}", self.good(TokenAlg::Hs256).signing_input(), encode([0; 16]));
        let confused = self.good(TokenAlg::Hs256).header("kid", self.factory.kid(TokenAlg::Rs256)).sign();
        let borrowed = self.good(TokenAlg::Hs256).claim("aud", "https://other.example").sign();
        vec![
            self.fails("tampered claims", &tampered, "the signature is not valid"),
            self.fails("alg none", &format!("{unsigned}.{}", encode("x")), "the algorithm is not accepted"),
            self.fails(
                "alg in another case",
                &self.eddsa().header("alg", "eddsa").sign(),
                "the algorithm is not accepted",
            ),
            self.fails(
                "Ed25519 with the kid of an RSA key",
                &self.eddsa().header("alg", "Ed25519").header("kid", self.factory.kid(TokenAlg::Rs256)).sign(),
                "the key is for another algorithm",
            ),
            self.fails(
                "PS256 with the kid of an RSA key",
                &self.good(TokenAlg::Rs256).header("alg", "PS256").sign(),
                "the algorithm is not accepted",
            ),
            self.fails("HS256 with the kid of an RSA key", &confused, "the key is for another algorithm"),
            self.fails("ES256 signature of zeros", &psychic, "the signature is not valid"),
            self.fails("HS256 signature cut short", &short, "the signature is not valid"),
            self.fails("an unknown key", &self.eddsa().header("kid", "another").sign(), "no key matches the token"),
            self.fails(
                "an embedded key",
                &self.eddsa().header("jwk", serde_json::json!({ "kty": "OKP" })).sign(),
                "the header member jwk is not accepted",
            ),
            self.fails(
                "a critical extension",
                &self.eddsa().header("crit", serde_json::json!(["x"])).sign(),
                "the header member crit is not accepted",
            ),
            self.fails("an HS256 token of another audience", &borrowed, "the token is for another audience"),
        ]
    }

    fn claims_and_revocation(&self) -> Vec<Case> {
        let respelled = self.eddsa().claim("jti", REVOKED).rewrite(|text| text.replacen('{', "{ \"again\" : 1 , ", 1));
        vec![
            self.fails("a plain JWT", &self.eddsa().header("typ", "JWT").sign(), "the token is not an access token"),
            self.fails(
                "a plain JWT, signed as Ed25519",
                &self.eddsa().header("typ", "JWT").header("alg", "Ed25519").sign(),
                "the token is not an access token",
            ),
            self.fails("no typ", &self.eddsa().header("typ", ()).sign(), "the token is not an access token"),
            self.fails("expired", &self.eddsa().shifted(-7200).sign(), "the token has expired"),
            self.fails(
                "not yet valid",
                &self.eddsa().claim("nbf", self.now + 600).sign(),
                "the token is not valid yet",
            ),
            self.fails("issued in the future", &self.eddsa().shifted(600).sign(), "the token is not valid yet"),
            self.fails(
                "another issuer",
                &self.eddsa().claim("iss", "https://other.example").sign(),
                "the token is from another issuer",
            ),
            self.fails(
                "another audience",
                &self.eddsa().claim("aud", "https://other.example").sign(),
                "the token is for another audience",
            ),
            self.fails("revoked", &self.eddsa().claim("jti", REVOKED).sign(), "the token was revoked"),
            self.fails("revoked, another text of the same token", &respelled.sign(), "the token was revoked"),
            self.fails(
                "revoked, another name of the algorithm",
                &self.eddsa().header("alg", "Ed25519").claim("jti", REVOKED).sign(),
                "the token was revoked",
            ),
            self.fails(
                "revoked, another algorithm",
                &self.good(TokenAlg::Es256).claim("jti", REVOKED).sign(),
                "the token was revoked",
            ),
        ]
    }

    pub(super) fn plain_jwts(&self) -> Vec<Case> {
        let plain = |alg| self.good(alg).header("typ", "JWT");
        let as_ed25519 = || plain(TokenAlg::EdDsa).header("alg", "Ed25519");
        vec![
            self.passes("typ JWT, HS256", &plain(TokenAlg::Hs256)),
            self.passes("typ JWT, EdDSA", &plain(TokenAlg::EdDsa)),
            self.passes("typ JWT, Ed25519 (RFC 9864)", &as_ed25519()),
            self.passes("typ JWT, ES256", &plain(TokenAlg::Es256)),
            self.passes("typ JWT, RS256", &plain(TokenAlg::Rs256)),
            self.passes("typ at+jwt is accepted as before", &self.eddsa()),
            self.passes("typ at+jwt, Ed25519", &self.eddsa().header("alg", "Ed25519")),
            self.passes("no typ, as RFC 7519 has it", &self.eddsa().header("typ", ())),
            self.fails(
                "the typ of a logout token",
                &self.eddsa().header("typ", "logout+jwt").sign(),
                "the token is not an access token",
            ),
            self.fails(
                "an ID token, which has no jti",
                &as_ed25519().claim("jti", ()).sign(),
                "the claim jti is missing",
            ),
            self.fails("typ JWT, revoked", &as_ed25519().claim("jti", REVOKED).sign(), "the token was revoked"),
            self.fails(
                "typ JWT, another audience",
                &as_ed25519().claim("aud", "https://other.example").sign(),
                "the token is for another audience",
            ),
        ]
    }
}
