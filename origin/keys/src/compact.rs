//! Serializes signed JWTs (RFC 7515 §7.1): header, claims and signature in base64url, without
//! intermediate copies. Other modules parse them; tests compare the result with a general JOSE
//! library.

use std::sync::Arc;

use base64_simd::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::json;
use tollgate_model::encoding::base64url;
use tollgate_model::{AccessTokenType, TokenAlg};

use super::private::PrivateKey;

/// The usual `typ` of access tokens (RFC 9068 §2.1). No other kind of JWT has it.
pub(super) const TOKEN_TYPE: &str = AccessTokenType::AtJwt.as_str();

/// Error: a token could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("no active {0} key")]
    NoKey(TokenAlg),
    #[error("an HS256 token must have exactly one audience, whose key signs it")]
    SeveralAudiences,
    #[error("unknown signing key {0}")]
    UnknownKey(String),
    #[error("the token could not be serialized: {0}")]
    Write(#[from] serde_json::Error),
    #[error("signing failed")]
    Sign,
}

/// Enough for the claims of nearly all tokens; more cost another allocation.
const CLAIMS_CAPACITY: usize = 512;
/// RSA with 2048 bits.
const RSA_SIGNATURE_CHARACTERS: usize = 342;
/// Signatures of 64 bytes.
const SHORT_SIGNATURE_CHARACTERS: usize = 86;

/// The JWS header in base64url. The order of its members is fixed and there is no white space:
/// edges compare the canonical header of a key byte by byte.
pub(super) fn header(alg: TokenAlg, kid: &str, token_type: &str) -> String {
    base64url(json!({ "alg": alg.as_str(), "kid": kid, "typ": token_type }).to_string().as_bytes())
}

/// A JWT that is complete except for its signature.
pub struct UnsignedJwt {
    /// Header and claims, with capacity for the signature.
    text: String,
    key: Arc<PrivateKey>,
}

impl UnsignedJwt {
    /// Serializes `claims`, to be signed with `key`, whose header is `header`.
    pub(super) fn new(header: &str, claims: &impl Serialize, key: &Arc<PrivateKey>) -> Result<UnsignedJwt, IssueError> {
        let mut payload = Vec::with_capacity(CLAIMS_CAPACITY);
        serde_json::to_writer(&mut payload, claims)?;
        let signature = if key.alg().is_rsa() { RSA_SIGNATURE_CHARACTERS } else { SHORT_SIGNATURE_CHARACTERS };
        let mut text = String::with_capacity(header.len() + payload.len().div_ceil(3) * 4 + signature + 2);
        text.push_str(header);
        text.push('.');
        URL_SAFE_NO_PAD.encode_append(&payload, &mut text);
        Ok(UnsignedJwt { text, key: Arc::clone(key) })
    }

    /// The algorithm of its signature.
    #[must_use]
    pub fn alg(&self) -> TokenAlg {
        self.key.alg()
    }

    /// Signs it. RSA takes about a millisecond: not for an async thread.
    ///
    /// # Errors
    /// If signing fails.
    pub fn sign(self) -> Result<String, IssueError> {
        let UnsignedJwt { mut text, key } = self;
        let signature = key.try_sign(text.as_bytes()).ok_or(IssueError::Sign)?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_append(&signature, &mut text);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jwt_compact::{AlgorithmExt as _, Claims as JwtClaims, Header, UntrustedToken};
    use serde_json::Value;

    use super::*;
    use crate::{KeyRing, MasterKey, TokenOptions};
    use tollgate_model::encoding::from_base64url;
    use tollgate_model::status_list;
    use tollgate_model::{AccessToken, ActorClaim, Claims, Confirmation, Scope, TokenDetails, TokenId};

    const ISSUER: &str = "https://auth.example.com";

    fn ring() -> KeyRing {
        let master = MasterKey::from_random([1; 32]);
        let keys = KeyRing::generate(&master, 1_000).expect("made");
        KeyRing::open(&master, &keys, BTreeSet::new(), 1_000).expect("they open")
    }

    fn token(ring: &KeyRing, alg: TokenAlg) -> AccessToken {
        let audience = "https://api.example.com".parse().map(|audience: tollgate_model::Audience| audience.into());
        let audience = audience.expect("an audience");
        let act = ActorClaim { sub: "a \"quoted\" Bär".to_owned(), client_id: None, act: None };
        AccessToken {
            id: TokenId::new(7, [9; 14]),
            number: 70_000,
            client: "reports".parse().expect("a client"),
            subject: "an\u{e4}\n".to_owned(),
            session: Some("tgg_1".to_owned()),
            key_id: ring.key_id(alg, &audience).expect("a key"),
            scope: Scope::parse("reports:write reports:read").expect("a scope"),
            audience,
            details: TokenDetails {
                cnf: Some(Confirmation::Key("thumb".to_owned())),
                act: Some(act),
                auth_time: Some(900),
                ..TokenDetails::default()
            },
            opaque: None,
            issued_at: 1_000,
            expires_at: 4_600,
        }
    }

    fn signed(ring: &KeyRing, token: &AccessToken, options: &TokenOptions<'_>) -> String {
        ring.prepare_token_with(token, ISSUER, options).and_then(UnsignedJwt::sign).expect("signed")
    }

    fn part(token: &str, index: usize) -> Vec<u8> {
        from_base64url(token.split('.').nth(index).expect("a part")).expect("base64url")
    }

    fn json_part(token: &str, index: usize) -> Value {
        serde_json::from_slice(&part(token, index)).expect("JSON")
    }

    #[test]
    fn tokens_equal_those_of_a_general_jose_library() {
        let ring = ring();
        for alg in TokenAlg::OF_ACCESS_TOKENS {
            let token = token(&ring, alg);
            let audience = token.audience.single().and_then(|audience| ring.audience_key(audience)).expect("a key");
            let key = ring.signing_key(alg).map_or(audience.key(), |(_, key)| key);
            let status = Some(status_list::StatusClaim::of_token(ISSUER, token.number));
            let claims = Claims { status, ..token.claims(ISSUER) };
            let reference_header = Header::empty().with_token_type("at+jwt").with_key_id(&token.key_id);
            let reference =
                crate::JwtAlgorithm(alg).token(&reference_header, &JwtClaims::new(&claims), key).expect("signed");

            let options = TokenOptions { has_status: true, ..TokenOptions::default() };
            let text = signed(&ring, &token, &options);
            assert_eq!(json_part(&text, 0), json_part(&reference, 0), "{alg}");
            assert_eq!(json_part(&text, 1), json_part(&reference, 1), "{alg}");
            let unverified_token = UntrustedToken::new(&text).expect("compact");
            let verified = crate::JwtAlgorithm(alg).validator::<Value>(key).validate(&unverified_token);
            assert!(verified.is_ok(), "{alg}: {:?}", verified.err());
            assert!(
                ring.verify_token(&text, ISSUER).is_some_and(|recognised| recognised.matches_record(&token)),
                "{alg}"
            );
        }
    }

    #[test]
    fn members_have_the_order_that_edges_expect() {
        let ring = ring();
        let token = token(&ring, TokenAlg::Hs256);
        let text = ring.issue(&token, ISSUER).expect("signed");
        let header = format!(r#"{{"alg":"HS256","kid":"{}","typ":"at+jwt"}}"#, token.key_id);
        assert_eq!(part(&text, 0), header.as_bytes());
        let claims = String::from_utf8(part(&text, 1)).expect("text");
        let names = ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "sid", "scope", "cnf"];
        let places: Vec<usize> = names.map(|name| claims.find(&format!("\"{name}\":")).expect(name)).into();
        assert!(claims.starts_with("{\"iss\":") && places.is_sorted(), "{claims}");
        assert!(claims.contains("\"scope\":\"reports:read reports:write\""), "{claims}");
    }

    #[test]
    fn token_of_type_jwt_is_recognized_by_its_claims_and_an_id_token_is_not() {
        let ring = ring();
        let user = json!({ "email": "ada@example.com", "https://claims.example/role": ["admin"] });
        let user_claims = user.as_object();
        for alg in TokenAlg::OF_ACCESS_TOKENS {
            let token = token(&ring, alg);
            let options = TokenOptions { token_type: AccessTokenType::Jwt, has_status: false, user_claims };
            let text = signed(&ring, &token, &options);
            assert_eq!(json_part(&text, 0)["typ"], "JWT", "{alg}");
            assert_eq!(json_part(&text, 1)["email"], "ada@example.com", "{alg}");
            assert_eq!(json_part(&text, 1)["sub"], token.subject, "{alg}");
            let recognised = ring.verify_token(&text, ISSUER).expect("recognised");
            assert!(recognised.matches_record(&token), "{alg}");
        }
        // An ID token shares type, key, issuer and audience with it, but has no jti.
        let id_token = json!({ "iss": ISSUER, "sub": "ada", "aud": "shop", "exp": 4_600, "iat": 1_000, "nonce": "n" });
        for alg in [TokenAlg::EdDsa, TokenAlg::Es256, TokenAlg::Rs256] {
            let text = ring.prepare_statement(alg, "JWT", &id_token).and_then(UnsignedJwt::sign).expect("signed");
            assert_eq!(ring.verify_token(&text, ISSUER), None, "{alg}");
        }
        let token = token(&ring, TokenAlg::EdDsa);
        for other in ["logout+jwt", "secevent+jwt", "statuslist+jwt", "token-introspection+jwt", "jwt", ""] {
            let statement = ring.prepare_statement(TokenAlg::EdDsa, other, &token.claims(ISSUER));
            let text = statement.and_then(UnsignedJwt::sign).expect("signed");
            assert_eq!(ring.verify_token(&text, ISSUER), None, "{other}");
        }
    }
}
