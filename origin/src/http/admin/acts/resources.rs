//! Registering and removing resource servers.

use axum::http::StatusCode;

use crate::domain::{Actor, Audience, Resource};
use crate::http::App;
use crate::http::problem::Problem;

/// Registers a resource server, or replaces the one of that audience.
pub(in crate::http) async fn put(app: &App, by: &Actor, resource: Resource) -> Result<Resource, Problem> {
    let resource = resource.checked().map_err(|error| Problem::bad_request(&error.to_string()))?;
    if let Some(client) = &resource.introspected_by
        && app.store.client(client).await?.is_none()
    {
        return Err(Problem::bad_request("introspected_by is not a client that is known here"));
    }
    app.store.by(by).put_resource(&resource).await?;
    tracing::info!(audience = %resource.audience, by = by.as_str(), "registered a resource server");
    Ok(resource)
}

/// Removes a resource server.
pub(in crate::http) async fn delete(app: &App, by: &Actor, audience: &str) -> Result<(), Problem> {
    let audience: Audience = audience.parse().map_err(|_| unknown())?;
    if !app.store.by(by).delete_resource(&audience).await? {
        return Err(unknown());
    }
    tracing::info!(%audience, by = by.as_str(), "removed a resource server");
    Ok(())
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no resource server of that audience")
}
