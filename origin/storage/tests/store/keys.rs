//! Stored keys, and the tokens they sign.

use std::collections::BTreeSet;

use tollgate_core::{CheckedByCaller, KeySet, TokenRequirements, UnknownStatusPolicy, verify};
use tollgate_keys::{KeyRing, KeyRingError, MasterKey};
use tollgate_model::StoredKey;
use tollgate_model::{AccessToken, ClientId, MAX_IDENTIFIER_BYTES, SecretHash, TokenAlg};

use crate::database::Database;
use crate::samples::{ISSUER, NOW, token};

on_both_databases!(
    keys_open_only_with_their_master_key,
    edge_accepts_the_longest_key_identifiers,
    first_keys_are_stored_once,
);

async fn keys_open_only_with_their_master_key(database: &Database) {
    let master = MasterKey::from_random([1; 32]);
    let made = made_keys(&master);
    assert!(database.store.create_first_keys(&made).await.expect("stored"));
    let stored = database.store.list_keys().await.expect("read");
    let ring = open(&master, &stored).expect("they open");
    assert_eq!(ring.public_jwks().len(), 3);
    let listed = serde_json::to_value(ring.published_jwks()).expect("JSON");
    let types: Vec<_> = listed.as_array().expect("keys").iter().map(|key| &key["kty"]).collect();
    assert_eq!(types, ["RSA", "EC", "OKP"], "a verifier without Ed25519 finds its key before it fails");

    let wrong = open(&MasterKey::from_random([2; 32]), &stored).err();
    assert!(matches!(wrong, Some(KeyRingError::WrongMasterKey { .. })), "{wrong:?}");
    let mut swapped = stored.clone();
    let (first, last) = (swapped[0].sealed.clone(), swapped.len() - 1);
    swapped[0].sealed = std::mem::replace(&mut swapped[last].sealed, first);
    assert!(open(&master, &swapped).is_err(), "a private part opens in its own row only");

    for alg in TokenAlg::OF_ACCESS_TOKENS {
        let token = signed_by(&ring, alg, token(1, NOW + 3600));
        let text = ring.issue(&token, ISSUER).expect("signed");
        let recognised = ring.verify_token(&text, ISSUER).expect("recognised");
        assert!(recognised.matches_record(&token), "{alg}");
        for other in others(&token) {
            assert!(!recognised.matches_record(&other), "{alg}: {other:?}");
        }
        assert_eq!(ring.verify_token(&text, "https://other.example"), None, "{alg}");
        let tampered = format!("{}A{}", &text[..text.len() - 8], &text[text.len() - 7..]);
        assert!(tampered == text || ring.verify_token(&tampered, ISSUER).is_none(), "{alg}");
    }
}

async fn edge_accepts_the_longest_key_identifiers(database: &Database) {
    let master = MasterKey::from_random([1; 32]);
    assert!(database.store.create_first_keys(&made_keys(&master)).await.expect("stored"));
    let ring = open(&master, &database.store.list_keys().await.expect("read")).expect("they open");
    let keys = KeySet::from_jwks(serde_json::json!({ "keys": ring.public_jwks() }).to_string().as_bytes());
    let longest = "a".repeat(MAX_IDENTIFIER_BYTES);
    assert!(format!("{longest}a").parse::<ClientId>().is_err());

    let mut token = token(1, NOW + 3600);
    token.client = longest.parse().expect("a client id");
    token.subject.clone_from(&longest);
    token.audience = longest.parse().expect("an audience");
    let token = signed_by(&ring, TokenAlg::EdDsa, token);
    let text = ring.issue(&token, &longest).expect("signed");
    let expected = TokenRequirements {
        issuer: &longest,
        audience: &longest,
        scope: &[],
        rules: None,
        leeway: 0,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    };
    let verdict = verify(text.as_bytes(), &keys.expect("a key set"), &expected, &CheckedByCaller, NOW);
    assert!(verdict.is_ok(), "{:?}", verdict.err());
}

async fn first_keys_are_stored_once(database: &Database) {
    let master = MasterKey::from_random([1; 32]);
    let (one, other) = (made_keys(&master), made_keys(&master));
    let second = database.reopen().await;
    let (first, late) = tokio::join!(database.store.create_first_keys(&one), second.create_first_keys(&other));
    assert!(first.expect("stored") != late.expect("asked"), "one of two that start together makes the keys");
    assert_eq!(database.store.list_keys().await.expect("read").len(), one.len());
    second.close().await;
}

fn open(master: &MasterKey, stored: &[StoredKey]) -> Result<KeyRing, KeyRingError> {
    KeyRing::open(master, stored, BTreeSet::new(), NOW)
}

/// Records that have the id of a token but are not its own.
fn others(token: &AccessToken) -> [AccessToken; 3] {
    [
        AccessToken { key_id: "another".to_owned(), ..token.clone() },
        AccessToken { audience: "another".parse().expect("an audience"), ..token.clone() },
        AccessToken { opaque: Some(SecretHash::of("a secret")), ..token.clone() },
    ]
}

fn signed_by(ring: &KeyRing, alg: TokenAlg, token: AccessToken) -> AccessToken {
    AccessToken { key_id: ring.key_id(alg, &token.audience).expect("a key"), ..token }
}

fn made_keys(master: &MasterKey) -> Vec<StoredKey> {
    tokio::task::block_in_place(|| KeyRing::generate(master, NOW)).expect("made")
}
