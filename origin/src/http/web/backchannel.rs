//! Telling clients that a user signed out (OpenID Connect Back-Channel Logout): one signed token for each grant of the session, to
//! each client that registered where it wants to hear of it.

use std::time::Duration;

use serde_json::json;

use super::page::WebError;
use crate::ambient;
use crate::domain::{Client, Grant};
use crate::encoding::base64url;
use crate::http::App;
use crate::watch::TraceContext;

/// How long a logout token is good, in seconds (§2.4 recommends two minutes at most).
const LIFETIME: u64 = 120;
/// How often a client that does not answer is told again.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Tells the clients of these grants, in the background: the user does not wait for them.
pub(super) async fn tell(app: &App, grants: Vec<Grant>) -> Result<(), WebError> {
    for grant in grants {
        let Some(client) = app.store.client(&grant.client).await?.filter(Client::is_active) else {
            continue;
        };
        let Some(url) = client.metadata.backchannel_logout_uri.clone() else {
            continue;
        };
        let now = ambient::now();
        let claims = json!({
            "iss": app.issuer,
            "aud": client.id,
            "sub": grant.subject,
            "sid": grant.id,
            "iat": now,
            "exp": now.saturating_add(LIFETIME),
            "jti": base64url(&ambient::random::<16>()?),
            "events": { EVENT: {} },
        });
        let token = app.keys.current().sign_statement_with(client.metadata.id_token_alg(), "logout+jwt", &claims);
        let Ok(token) = token else {
            tracing::error!(client = %client.id, "a logout token could not be signed");
            continue;
        };
        let (outbound, stop) = (app.outbound.clone(), app.stop.clone());
        // It is part of the request that signed out.
        tokio::spawn(TraceContext::current().scope(async move {
            let told = async {
                for _ in 0..TRIES {
                    match outbound.post(&url, &[("logout_token", &token)]).await {
                        Ok(()) => return,
                        Err(error) => {
                            tracing::warn!(client = %client.id, %error, "a client could not be told of a logout")
                        }
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            };
            tokio::select! {
                () = told => {}
                () = stop.cancelled() => {}
            }
        }));
    }
    Ok(())
}
