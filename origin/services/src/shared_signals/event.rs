//! Security event tokens: the claims for a signal.
//!
//! The event of each signal (CAEP 1.0 section 3):
//! - The revocation of a session, subject, client, key or of everything is `session-revoked`. CAEP
//!   3.1 applies it to every session that matches the subject, which is complex where no simple
//!   format exists. `event_timestamp` is the time of the revocation; later sessions are not
//!   affected.
//! - The revocation of a token is `token-claims-change` with a `jwt_id` subject and `active` (RFC
//!   7662) false as the changed claim. CAEP has no event for a single token, and `session-revoked`
//!   would end more than was revoked.
//! - A reinstatement is `token-claims-change` with `active` true. CAEP has no event for it, and
//!   `session-established` would mean a new login.
//! - If one of several revocations is lifted and another still applies, `session-revoked` is sent
//!   again, without a time. CAEP cannot express "only until then", and a receiver that refuses too
//!   much is safer than one that accepts too much.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tollgate_core::{RevocationKind, RevokedBefore};
use tollgate_keys::{KeyRing, STATEMENT_ALG};
use tollgate_model::Audience;
use tollgate_model::encoding::base64url;
use tollgate_model::event_stream::{EventType, Stream};
use tollgate_storage::Signal;

use crate::signing_keys::{SigningError, SigningKeys};

/// `typ` header of security event tokens (RFC 8417 section 2.3), required by SSF.
pub const TOKEN_TYPE: &str = "secevent+jwt";

/// Claims of a security event token. SSF section 4.1 forbids `sub` and `exp`, so that the token
/// cannot pass for another JWT.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    jti: String,
    sub_id: Value,
    events: Value,
}

/// Builds and signs an issuer's security event tokens.
pub struct Transmitter {
    keys: SigningKeys,
    issuer: String,
}

impl Transmitter {
    #[must_use]
    pub fn new(keys: SigningKeys, issuer: String) -> Transmitter {
        Transmitter { keys, issuer }
    }

    /// `iss` of the tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Keys that decrypt the receivers' credentials.
    #[must_use]
    pub fn keys(&self) -> Arc<KeyRing> {
        self.keys.current()
    }

    /// The token of a signal for a stream. `iat` is the signal's time, so that the same signal
    /// gives the same token.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub async fn token(&self, stream: &Stream, signal: &Signal) -> Result<String, SigningError> {
        let claims = claims(&self.issuer, &stream.audience, self.jti(stream, signal), signal);
        self.keys.sign_statement(STATEMENT_ALG, TOKEN_TYPE, &claims).await
    }

    /// The token's `jti`, a function of issuer, stream and signal.
    #[must_use]
    pub fn jti(&self, stream: &Stream, signal: &Signal) -> String {
        jti(&self.issuer, stream.number, signal)
    }
}

/// Hashes the whole signal, not only its sequence: after a restore from an old backup, other
/// revocations have the same sequences, and a receiver must not take them for duplicates.
fn jti(issuer: &str, stream: u64, signal: &Signal) -> String {
    let mut hash = Sha256::new_with_prefix(b"tollgate security event v1\0");
    for text in [issuer, &signal.name] {
        // Length prefixes keep different lists of texts different.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    for number in [stream, signal.sequence, u64::from(signal.kind.to_byte()), signal.mark.0, signal.at] {
        hash.update(number.to_be_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    format!("{}-{}", signal.sequence, base64url(digest.split_at(16).0))
}

fn claims<'a>(issuer: &'a str, audience: &'a Audience, jti: String, signal: &Signal) -> Claims<'a> {
    let mut event = json!({ "initiating_entity": initiator(&signal.by) });
    if !signal.is_still_revoked() {
        event["event_timestamp"] = signal.at.into();
    }
    if let Some(reason) = &signal.reason {
        event["reason_admin"] = json!({ "en": reason });
    }
    match signal.event_type() {
        EventType::TokenClaimsChange => {
            event["claims"] = json!({ "active": signal.mark == RevokedBefore::NOT_REVOKED })
        }
        // A member of Tollgate, which SSF section 4.1 permits: the time before which tokens are
        // revoked is not the time of the revocation.
        EventType::SessionRevoked if signal.kind == RevocationKind::Everything => {
            event["issued_before"] = signal.mark.0.into()
        }
        EventType::SessionRevoked => {}
    }
    let mut events = json!({});
    events[signal.event_type().uri()] = event;
    Claims { iss: issuer, aud: audience.as_str(), iat: signal.at, jti, sub_id: subject(issuer, signal), events }
}

/// Subject identifier (RFC 9493, SSF section 3).
fn subject(issuer: &str, signal: &Signal) -> Value {
    let name = &signal.name;
    let opaque = json!({ "format": "opaque", "id": name });
    match signal.kind {
        RevocationKind::Token => json!({ "format": "jwt_id", "iss": issuer, "jti": name }),
        RevocationKind::Subject => json!({ "format": "iss_sub", "iss": issuer, "sub": name }),
        RevocationKind::Session => json!({ "format": "complex", "session": opaque }),
        RevocationKind::Client => json!({ "format": "complex", "application": opaque }),
        // A member of Tollgate, which SSF section 3.3 permits.
        RevocationKind::Key => json!({ "format": "complex", "signing_key": opaque }),
        RevocationKind::Everything => json!({ "format": "complex", "tenant": { "format": "uri", "uri": issuer } }),
    }
}

/// `initiating_entity` (CAEP section 2): `admin` for the command line and the admin API, `system`
/// for a client that revokes its own token.
fn initiator(by: &str) -> &'static str {
    if by.starts_with("client:") { "system" } else { "admin" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(kind: RevocationKind, name: &str, mark: RevokedBefore) -> Signal {
        Signal {
            sequence: 7,
            kind,
            name: name.to_owned(),
            mark,
            is_reinstatement: mark == RevokedBefore::NOT_REVOKED,
            at: 1_800_000_000,
            by: "cli:ann".to_owned(),
            reason: Some("leaked".to_owned()),
            void_after: 1_800_003_600,
        }
    }

    fn encode(signal: &Signal) -> Value {
        let audience = "https://receiver.example".parse().expect("an audience");
        serde_json::to_value(claims("https://auth.example", &audience, "7-x".to_owned(), signal)).expect("JSON")
    }

    #[test]
    fn revoked_session_gives_the_caep_event() {
        let actual = encode(&signal(RevocationKind::Session, "s1", RevokedBefore::through_epoch(3)));
        let expected = json!({
            "iss": "https://auth.example",
            "aud": "https://receiver.example",
            "iat": 1_800_000_000,
            "jti": "7-x",
            "sub_id": { "format": "complex", "session": { "format": "opaque", "id": "s1" } },
            "events": { "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
                "event_timestamp": 1_800_000_000,
                "initiating_entity": "admin",
                "reason_admin": { "en": "leaked" },
            } },
        });
        assert_eq!(actual, expected);
    }

    #[test]
    fn every_kind_has_a_subject_and_an_event() {
        let change = EventType::TokenClaimsChange.uri();
        for kind in RevocationKind::ALL {
            let (revoked, lifted) =
                (encode(&signal(kind, "x", RevokedBefore(9))), encode(&signal(kind, "x", RevokedBefore::NOT_REVOKED)));
            assert_eq!(revoked["sub_id"], lifted["sub_id"], "{kind:?}");
            assert_eq!(lifted["events"][change]["claims"], json!({ "active": true }), "{kind:?}");
            let event =
                if kind == RevocationKind::Token { EventType::TokenClaimsChange } else { EventType::SessionRevoked };
            assert!(revoked["events"][event.uri()].is_object(), "{kind:?}");
            assert!(revoked.get("sub").is_none() && revoked.get("exp").is_none());
        }
        let token = encode(&signal(RevocationKind::Token, "j", RevokedBefore::TOKEN));
        assert_eq!(token["sub_id"], json!({ "format": "jwt_id", "iss": "https://auth.example", "jti": "j" }));
        assert_eq!(token["events"][change]["claims"], json!({ "active": false }));
        let everything = encode(&signal(RevocationKind::Everything, "*", RevokedBefore::time(9)));
        assert_eq!(everything["events"][EventType::SessionRevoked.uri()]["issued_before"], 9);
    }

    #[test]
    fn partial_reinstatement_has_no_event_timestamp() {
        let lowered =
            Signal { is_reinstatement: true, ..signal(RevocationKind::Client, "c", RevokedBefore::through_epoch(3)) };
        let event = &encode(&lowered)["events"][EventType::SessionRevoked.uri()];
        assert!(event.is_object() && event.get("event_timestamp").is_none());
    }

    #[test]
    fn jti_depends_on_every_member_of_the_signal() {
        let one = signal(RevocationKind::Client, "c", RevokedBefore::through_epoch(3));
        let same = jti("i", 1, &one);
        assert_eq!(same, jti("i", 1, &one.clone()));
        assert!(same.starts_with("7-"));
        let others = [
            jti("j", 1, &one),
            jti("i", 2, &one),
            jti("i", 1, &Signal { name: "d".to_owned(), ..one.clone() }),
            jti("i", 1, &Signal { mark: RevokedBefore::through_epoch(4), ..one.clone() }),
            jti("i", 1, &Signal { kind: RevocationKind::Subject, ..one.clone() }),
            jti("i", 1, &Signal { at: 1, ..one.clone() }),
            jti("i", 1, &Signal { sequence: 8, ..one.clone() }),
        ];
        assert!(others.iter().all(|other| *other != same));
    }
}
