//! ID tokens that clients send back as `id_token_hint`.

use serde_json::{Map, Value};
use tollgate_keys::jose::{self, Jws};
use tollgate_model::GrantId;
use tollgate_services::signing_keys::SigningKeys;

/// Claims of an ID token of this issuer, even an expired one; `None` for anything else.
pub(crate) fn claims(issuer: &str, keys: &SigningKeys, hint: &str) -> Option<Map<String, Value>> {
    let jws = Jws::parse(hint).ok()?;
    // An access token is not an ID token.
    if jws.token_type.as_deref() != Some("JWT") {
        return None;
    }
    let claims = jws.verify(keys.current().public_keys()).ok()?;
    (jose::text(&claims, "iss").ok()? == issuer && is_id_token(&claims)).then_some(claims)
}

/// Whether these are claims of an ID token. Signed userinfo responses have the same type and
/// issuer, but neither `auth_time` nor a grant.
fn is_id_token(claims: &Map<String, Value>) -> bool {
    let grant = jose::text(claims, "sid").is_ok_and(|sid| sid.parse::<GrantId>().is_ok());
    grant && ["exp", "iat", "auth_time"].iter().all(|name| claims.contains_key(*name))
}
