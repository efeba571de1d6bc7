//! Adding and removing the rules that edges follow.

use axum::http::StatusCode;
use tollgate_model::{Actor, Route};
use tollgate_storage::AddRouteError;

use crate::App;
use crate::problem::Problem;

/// Adds a rule.
pub(crate) async fn add(app: &App, by: &Actor, route: &Route) -> Result<(), Problem> {
    app.store.with_actor(by).create_route(route).await.map_err(|error| match error {
        AddRouteError::Store(error) => Problem::from(error),
        refused => Problem::new(StatusCode::CONFLICT, &refused.to_string()),
    })?;
    tracing::info!(%route, by = by.as_str(), "added a rule");
    Ok(())
}

/// Removes the rule with the path and the methods of this one.
pub(crate) async fn delete(app: &App, by: &Actor, route: &Route) -> Result<(), Problem> {
    if !app.store.with_actor(by).delete_route(route).await? {
        return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such rule"));
    }
    tracing::info!(%route, by = by.as_str(), "removed a rule");
    Ok(())
}
