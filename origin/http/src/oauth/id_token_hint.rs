//! ID tokens of this server that a client gives back as a hint of who its user is.

use serde_json::{Map, Value};
use tollgate_keys::jose::{self, Jws};
use tollgate_model::GrantId;

use crate::App;

/// The claims of an ID token of ours, however old; none if it is not ours.
pub(crate) fn claims(app: &App, hint: &str) -> Option<Map<String, Value>> {
    let jws = Jws::parse(hint).ok()?;
    // An access token of ours is no ID token.
    if jws.token_type.as_deref() != Some("JWT") {
        return None;
    }
    let claims = jws.verify(app.keys.current().verifying_keys()).ok()?;
    (jose::text(&claims, "iss").ok()? == app.issuer && is_id_token(&claims)).then_some(claims)
}

/// Whether these are the claims of an ID token. Signed answers of userinfo have the same type and
/// issuer, but no time and no grant.
fn is_id_token(claims: &Map<String, Value>) -> bool {
    let grant = jose::text(claims, "sid").is_ok_and(|sid| sid.parse::<GrantId>().is_ok());
    grant && ["exp", "iat", "auth_time"].iter().all(|name| claims.contains_key(*name))
}
