//! ID tokens of this server that a client gives back as a hint of who its user is.

use serde_json::{Map, Value};
use tollgate_core::KeySet;

use crate::http::App;
use crate::jose::{self, Jws};

/// The claims of an ID token of ours, however old; none if it is not ours.
pub(in crate::http) fn claims(app: &App, hint: &str) -> Option<Map<String, Value>> {
    let jwks = serde_json::json!({ "keys": app.keys.current().public_jwks() }).to_string();
    let keys = KeySet::from_jwks(jwks.as_bytes()).ok()?;
    let jws = Jws::read(hint).ok()?;
    // An access token of ours is no ID token.
    if jws.token_type.as_deref() != Some("JWT") {
        return None;
    }
    let claims = jws.verify(&keys).ok()?;
    (jose::text(&claims, "iss").ok()? == app.issuer).then_some(claims)
}
