//! Identity tokens for upstreams: signed by the edge, short-lived, each with an identifier of its
//! own.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tollgate_gate::{Connection, Decision, Gate, Nonce, Request};

use crate::{NOW, Origin, asked, gate_with, hs256};

const SETTINGS: [(&str, &str); 2] = [
    ("TOLLGATE_EDGE_PUBLIC_URL", "https://edge.example"),
    ("TOLLGATE_EDGE_IDENTITY_KEY", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"),
];

fn synced(gate: Gate) -> Gate {
    let (mut gate, origin) = (gate, Origin::with(0));
    assert_eq!(gate.accept(200, &origin.snapshot(), &asked(NOW)), Ok(true));
    assert_eq!(gate.accept(200, &origin.deltas(0), &asked(NOW)), Ok(false));
    gate
}

/// The claims of the identity token for a request; none without a token.
fn claims(gate: &Gate) -> Option<Value> {
    let credentials = format!("Bearer {}", hs256("a"));
    let headers = [("authorization", credentials.as_bytes())];
    let request = Request { method: "GET", target: "/", headers: &headers, connection: Connection::default() };
    let Decision::Forward(forward) = gate.decide(&request, NOW, true) else { panic!("the request is allowed") };
    let (_, token) = forward.identity.iter().find(|(name, _)| name == "x-tollgate-identity")?;
    let claims = token.split('.').nth(1).expect("claims");
    Some(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64url")).expect("JSON"))
}

#[test]
fn each_identity_token_has_its_own_identifier() {
    let gates =
        [1, 2].map(|seed| synced(gate_with(&SETTINGS)).with_instance_seed(Nonce::from_bytes([seed; Nonce::LEN])));
    let ids: BTreeSet<String> = gates
        .iter()
        .flat_map(|gate| [claims(gate), claims(gate)])
        .map(|claims| claims.unwrap()["jti"].to_string())
        .collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn identity_token_names_edge_and_upstream_for_a_minute() {
    let gate = synced(gate_with(&SETTINGS)).with_instance_seed(Nonce::from_bytes([1; Nonce::LEN]));
    let claims = claims(&gate).expect("a token");
    assert_eq!((&claims["iss"], &claims["aud"]), (&"https://edge.example".into(), &"http://127.0.0.1:5000".into()));
    assert_eq!((&claims["iat"], &claims["exp"]), (&(NOW / 1000).into(), &(NOW / 1000 + 60).into()));
}

#[test]
fn gate_without_key_or_random_bits_signs_no_identity() {
    assert_eq!(claims(&synced(gate_with(&SETTINGS))), None);
    assert_eq!(claims(&synced(gate_with(&[])).with_instance_seed(Nonce::from_bytes([1; Nonce::LEN]))), None);
}
