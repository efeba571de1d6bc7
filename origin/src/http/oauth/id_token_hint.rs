//! ID tokens of this server that a client gives back as a hint of who its user is.

use serde_json::{Map, Value};

use crate::http::App;
use crate::jose::{self, Jws};

/// The claims of an ID token of ours, however old; none if it is not ours.
pub(in crate::http) fn claims(app: &App, hint: &str) -> Option<Map<String, Value>> {
    let jws = Jws::read(hint).ok()?;
    // An access token of ours is no ID token.
    if jws.token_type.as_deref() != Some("JWT") {
        return None;
    }
    let claims = jws.verify(app.keys.current().verifying()).ok()?;
    (jose::text(&claims, "iss").ok()? == app.issuer).then_some(claims)
}
