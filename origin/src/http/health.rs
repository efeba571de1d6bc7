//! `GET /health`: whether this origin can do its work, looked at now. `GET /health/live`: whether the process answers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;

use super::AppState;

#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    #[schema(value_type = String)]
    status: &'static str,
    #[schema(value_type = String)]
    version: &'static str,
    #[schema(value_type = String)]
    database: &'static str,
    feed: Feed,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Feed {
    #[schema(value_type = String)]
    status: &'static str,
    /// The newest sequence in the database, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

/// 200 while the database answers and changes in it are noticed, else 503.
#[utoipa::path(
    get, path = "/health",
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 503, description = "It cannot", body = Health),
    ),
)]
pub(super) async fn deep(State(app): State<AppState>) -> impl IntoResponse {
    let head = app.store.head().await;
    if let Err(error) = &head {
        tracing::error!(%error, "the health check cannot read the database");
    }
    let watching = app.wake.borrow().watching;
    let word = |good: bool| if good { "ok" } else { "failing" };
    let good = head.is_ok() && watching;
    let health = Health {
        status: word(good),
        version: env!("CARGO_PKG_VERSION"),
        database: word(head.is_ok()),
        feed: Feed { status: word(watching), sequence: head.ok().map(|head| head.sequence) },
    };
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health))
}

/// Tells that the process answers.
#[utoipa::path(get, path = "/health/live", responses((status = 200, description = "It does", body = Object)))]
pub(super) async fn live() -> impl IntoResponse {
    Json(serde_json::json!({ "status": "ok" }))
}
