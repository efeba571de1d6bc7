//! Opaque tokens, and tokens of unknown status on routes that introspect them.

use sha2::{Digest as _, Sha256};
use tollgate_gate::TokenReference;

use super::*;

/// A `jti` of epoch 1.
const TOKEN_ID: &str = "tg_AAAAAQAAAAAAAAAAAAAAAAAA";

fn edge_key() -> String {
    format!("near:1799999999:{}", URL_SAFE_NO_PAD.encode(SECRET))
}

/// A registered edge of this origin.
fn registered(origin: &Origin) -> Gate {
    synced_with(origin, &[("TOLLGATE_EDGE_KEY", &edge_key())])
}

/// An opaque token of the origin's form.
fn opaque(number: u8) -> String {
    let checksum = Sha256::new().chain_update("tga_").chain_update([number; 32]).finalize();
    format!("tga_{}", URL_SAFE_NO_PAD.encode([&[number; 32][..], &checksum[..4]].concat()))
}

fn reference(token: &str) -> TokenReference {
    TokenReference::of_opaque(token.as_bytes()).expect("an opaque token")
}

/// The origin's answer: the claims of the active token, or none.
fn answer(claims: Option<&Value>) -> Vec<u8> {
    let claims = claims.map(|claims| claims.to_string().into_bytes());
    EdgeKey::new(&SECRET).seal_introspection(NONCE, claims.as_deref().map(|claims| ("key-1", claims)))
}

fn decide(gate: &Gate, target: &str, token: &str, now_ms: u64, has_waited: bool) -> String {
    let credentials = format!("Bearer {token}");
    let headers = [("authorization", credentials.as_bytes())];
    let request = Request { method: "GET", target, headers: &headers, connection: Connection::default() };
    match gate.decide(&request, now_ms, has_waited) {
        Decision::Forward(forward) => {
            let subject = forward.identity.iter().find(|(name, _)| *name == "x-tollgate-token-id");
            format!("passes as {}", subject.map_or("nobody", |(_, value)| value.as_str()))
        }
        Decision::Answer(answer) => {
            let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
            format!("{} {}", answer.status, body["error_description"].as_str().unwrap_or_default())
        }
        Decision::Introspect(asked) => format!("asks for {asked}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn an_opaque_token_is_introspected_once_and_then_decided_from_the_replica() {
    let mut origin = Origin::with(0);
    let mut gate = registered(&origin);
    let token = opaque(1);
    let asks = format!("asks for {}", reference(&token));
    assert_eq!(decide(&gate, "/", &token, NOW, false), asks);
    let target = gate.next_introspection(&reference(&token), &asked(NOW)).expect("a registered edge");
    let query = target.strip_prefix("/edge/v1/introspect?").expect("a query");
    assert!(
        query.starts_with(&format!("{}&nonce={NONCE}&edge=near&number=1799999999&at={NOW}&proof=", reference(&token)))
    );
    assert!(EdgeKey::new(&SECRET).has_signed(query) && !query.contains(&token), "{query}");

    assert_eq!(
        gate.accept_introspection(&reference(&token), 200, &answer(Some(&claims("token-1"))), &asked(NOW)),
        Ok(())
    );
    assert_eq!(decide(&gate, "/", &token, NOW, true), "passes as token-1");
    assert_eq!(decide(&gate, "/", &token, NOW + 900, false), "passes as token-1", "without another question");
    origin.revoked = 1;
    assert_eq!(gate.accept(200, &origin.deltas(0), &asked(NOW + 1000)), Ok(false));
    assert_eq!(decide(&gate, "/", &token, NOW + 1000, false), "401 the token was revoked");
}

#[test]
fn an_answer_is_as_good_as_a_replica_of_its_age() {
    let mut origin = Origin::with(0);
    origin.config =
        config(&json!([{ "path": "/lenient", "on_stale": "allow" }, { "path": "/ask", "on_stale": "introspect" }]));
    let mut gate = registered(&origin);
    let token = opaque(1);
    let later = NOW + 5000;
    assert_eq!(gate.accept_introspection(&reference(&token), 200, &answer(Some(&claims("a"))), &asked(later)), Ok(()));
    assert_eq!(
        decide(&gate, "/", &token, later + 1000, false),
        "passes as a",
        "the replica is stale, the answer is not"
    );
    assert_eq!(decide(&gate, "/", &token, later + 1001, false), "Wait");
    assert_eq!(decide(&gate, "/", &token, later + 1001, true), "503 the token's revocation status is unknown");
    assert_eq!(decide(&gate, "/lenient", &token, later + 1001, false), "passes as a");
    assert_eq!(decide(&gate, "/ask", &token, later + 1001, true), format!("asks for {}", reference(&token)));
}

#[test]
fn negative_answers_and_failures_are_remembered_for_a_second() {
    let mut gate = registered(&Origin::with(0));
    let (unknown, unanswered) = (opaque(1), opaque(2));
    assert_eq!(gate.accept_introspection(&reference(&unknown), 200, &answer(None), &asked(NOW)), Ok(()));
    gate.introspection_failed(&reference(&unanswered), NOW);
    for (token, expected) in [
        (&unknown, "401 the token is unknown, expired or revoked"),
        (&unanswered, "503 the token's revocation status is unknown"),
    ] {
        assert_eq!(decide(&gate, "/", token, NOW + 900, true), expected);
        let asks = format!("asks for {}", reference(token));
        assert_eq!(decide(&gate, "/", token, NOW + 1001, true), asks);
    }
}

#[test]
fn answers_that_are_not_the_origins_to_this_question_count_as_failures() {
    let token = opaque(1);
    let good = answer(Some(&claims("a")));
    let of_another_key = EdgeKey::new(&[1; 32]).seal_introspection(NONCE, None);
    let of_another_question = EdgeKey::new(&SECRET).seal_introspection(Nonce::from_bytes([8; Nonce::LEN]), None);
    let malformed = EdgeKey::new(&SECRET).seal_introspection(NONCE, Some(("k", b"{}")));
    let changed = {
        let mut changed = good.clone();
        changed[30] ^= 1;
        changed
    };
    for (status, body) in [
        (200, of_another_key),
        (200, of_another_question),
        (200, malformed),
        (200, changed),
        (200, good[..good.len() - 1].to_vec()),
        (200, Vec::new()),
        (403, good.clone()),
        (503, Vec::new()),
    ] {
        let mut gate = registered(&Origin::with(0));
        assert!(gate.accept_introspection(&reference(&token), status, &body, &asked(NOW)).is_err(), "{status}");
        assert_eq!(decide(&gate, "/", &token, NOW, true), "503 the token's revocation status is unknown");
    }
}

#[test]
fn only_tokens_of_the_origins_form_cause_questions_and_few_at_a_time() {
    let gate = registered(&Origin::with(0));
    let malformed = "401 the token is not three parts separated by dots";
    let token = opaque(1);
    for garbage in ["tga_", "tga_x", &token[..51], &token.replacen("tga_A", "tga_B", 1), "tgs_AAAA", "opaque"] {
        assert_eq!(decide(&gate, "/", garbage, NOW, true), malformed, "{garbage}");
    }
    assert_eq!(decide(&synced(&Origin::with(0)), "/", &token, NOW, true), malformed, "an edge without a key");
    for number in 0..200 {
        assert!(decide(&gate, "/", &opaque(number), NOW, true).starts_with("asks"), "{number}");
    }
    let status_unknown = "503 the token's revocation status is unknown";
    assert_eq!(decide(&gate, "/", &opaque(201), NOW, true), status_unknown, "too many in this second");
}

#[test]
fn an_opaque_token_expires_and_is_bound_like_a_signed_one() {
    let mut gate = registered(&Origin::with(0));
    let (short, bound) = (opaque(1), opaque(2));
    let mut expiring = claims("short");
    expiring["exp"] = json!(NOW / 1000 - 30);
    assert_eq!(gate.accept_introspection(&reference(&short), 200, &answer(Some(&expiring)), &asked(NOW)), Ok(()));
    assert_eq!(decide(&gate, "/", &short, NOW, true), "401 the token has expired");
    let mut confirmed = claims("bound");
    confirmed["cnf"] = json!({ "jkt": URL_SAFE_NO_PAD.encode([0; 32]) });
    assert_eq!(gate.accept_introspection(&reference(&bound), 200, &answer(Some(&confirmed)), &asked(NOW)), Ok(()));
    let refused = "401 the token is bound to a key and came without proof of possession";
    assert_eq!(decide(&gate, "/", &bound, NOW, true), refused);
}

#[test]
fn a_route_can_introspect_tokens_of_unknown_status() {
    let mut origin = Origin::with(0);
    origin.config = config(&json!([{ "path": "/*", "on_stale": "introspect", "on_not_covered": "introspect" }]));
    let mut gate = registered(&origin);
    let (token, later) = (hs256(TOKEN_ID), NOW + 5000);
    let reference = TokenReference::of_id(TOKEN_ID).expect("an id");
    assert_eq!(decide(&gate, "/", &token, NOW, false), format!("passes as {TOKEN_ID}"), "a fresh replica suffices");
    assert_eq!(decide(&gate, "/", &token, later, false), "Wait", "the shared fetch comes first");
    assert_eq!(decide(&gate, "/", &token, later, true), format!("asks for id={TOKEN_ID}"));
    let foreign = answer(Some(&claims("tg_AAAAAgAAAAAAAAAAAAAAAAAA")));
    assert!(gate.accept_introspection(&reference, 200, &foreign, &asked(later)).is_err(), "of another token");
    assert_eq!(gate.accept_introspection(&reference, 200, &answer(Some(&claims(TOKEN_ID))), &asked(later)), Ok(()));
    assert_eq!(decide(&gate, "/", &token, later + 1000, true), format!("passes as {TOKEN_ID}"));
    assert_eq!(decide(&gate, "/", &token, later + 1001, true), format!("asks for id={TOKEN_ID}"), "it is too old");
    assert_eq!(gate.accept_introspection(&reference, 200, &answer(None), &asked(later)), Ok(()));
    assert_eq!(decide(&gate, "/", &token, later, true), "401 the token is unknown, expired or revoked");
    let other_issuer = hs256("an-id-of-another-form");
    assert_eq!(decide(&gate, "/", &other_issuer, later, true), "503 the token's revocation status is unknown");
}
