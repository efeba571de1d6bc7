//! Adding and removing the rules that edges follow.

use axum::http::StatusCode;

use crate::domain::{Actor, Route};
use crate::http::App;
use crate::http::problem::Problem;
use crate::store::AddRouteError;

/// Adds a rule.
pub(in crate::http) async fn add(app: &App, by: &Actor, route: &Route) -> Result<(), Problem> {
    app.store.by(by).insert_route(route).await.map_err(|error| match error {
        AddRouteError::Store(error) => Problem::from(error),
        refused => Problem::new(StatusCode::CONFLICT, &refused.to_string()),
    })?;
    tracing::info!(%route, by = by.as_str(), "added a rule");
    Ok(())
}

/// Removes the rule with the path and the methods of this one.
pub(in crate::http) async fn delete(app: &App, by: &Actor, route: &Route) -> Result<(), Problem> {
    if !app.store.by(by).delete_route(route).await? {
        return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such rule"));
    }
    tracing::info!(%route, by = by.as_str(), "removed a rule");
    Ok(())
}
