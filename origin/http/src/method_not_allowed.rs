//! Answers to a method that a resource does not have.

use std::sync::Arc;

use axum::extract::{MatchedPath, State};
use axum::http::header::{CACHE_CONTROL, PRAGMA};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::admin_api::auth::{self, AdminApi};
use crate::shared_signals::bearer::authenticate_receiver;
use crate::shared_signals::receivers::SignalReceivers;

/// Refuses the method. Where all methods of a resource require an access token, the token is
/// checked first: a receiver whose token has expired gets 401, not an answer about the method.
/// Caches must not store the answer, which RFC 9110 §15.5.6 lets them.
pub(super) async fn refuse(
    State(receivers): State<Arc<SignalReceivers>>,
    State(admin_api): State<Arc<AdminApi>>,
    route: MatchedPath,
    headers: HeaderMap,
) -> Response {
    let authenticated = match route.as_str() {
        route if route.starts_with("/ssf/") => {
            authenticate_receiver(&receivers, &headers).await.map(drop).map_err(|error| error.into_response())
        }
        route if route.starts_with("/admin/api/") => {
            auth::authenticate(&admin_api, &headers).await.map(drop).map_err(|problem| problem.into_response())
        }
        _ => Ok(()),
    };
    let refusal = authenticated.err().unwrap_or_else(|| StatusCode::METHOD_NOT_ALLOWED.into_response());
    ([(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")], refusal).into_response()
}
