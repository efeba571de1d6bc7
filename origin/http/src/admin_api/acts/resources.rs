//! Registering and removing resource servers.

use axum::http::StatusCode;
use tollgate_model::{Actor, Audience, Resource};
use tollgate_storage::ScopeError;

use crate::App;
use crate::problem::Problem;

/// Registers a resource server, or replaces the one of that audience.
pub(crate) async fn put(app: &App, by: &Actor, resource: Resource) -> Result<Resource, Problem> {
    let resource = resource.checked().map_err(|error| Problem::bad_request(&error.to_string()))?;
    if let Some(client) = &resource.introspected_by
        && app.store.find_client(client).await?.is_none()
    {
        return Err(Problem::bad_request("introspected_by is not a client that is known here"));
    }
    app.store.with_actor(by).save_resource(&resource).await?;
    tracing::info!(audience = %resource.audience, by = by.as_str(), "registered a resource server");
    Ok(resource)
}

/// The resource server of this audience.
pub(crate) async fn find(app: &App, audience: &str) -> Result<Resource, Problem> {
    let audience: Audience = audience.parse().map_err(|_| unknown())?;
    app.store.find_resource(&audience).await?.ok_or_else(unknown)
}

/// Removes a resource server.
pub(crate) async fn delete(app: &App, by: &Actor, audience: &str) -> Result<(), Problem> {
    let audience: Audience = audience.parse().map_err(|_| unknown())?;
    if !app.store.with_actor(by).delete_resource(&audience).await? {
        return Err(unknown());
    }
    tracing::info!(%audience, by = by.as_str(), "removed a resource server");
    Ok(())
}

/// Says what a scope value of a resource server means; all else stays as it is, whoever changes it meanwhile.
pub(crate) async fn set_scope(
    app: &App,
    by: &Actor,
    audience: &Audience,
    value: &str,
    words: &str,
) -> Result<Resource, Problem> {
    let resource = app.store.with_actor(by).set_scope_description(audience, value, words).await.map_err(not_changed)?;
    tracing::info!(%audience, value, by = by.as_str(), "said what a scope value means");
    Ok(resource)
}

/// Forgets what a scope value of a resource server means.
pub(crate) async fn remove_scope(app: &App, by: &Actor, audience: &str, value: &str) -> Result<Resource, Problem> {
    let audience: Audience = audience.parse().map_err(|_| unknown())?;
    let resource = app.store.with_actor(by).delete_scope_description(&audience, value).await.map_err(not_changed)?;
    tracing::info!(%audience, value, by = by.as_str(), "forgot what a scope value means");
    Ok(resource)
}

fn not_changed(error: ScopeError) -> Problem {
    match error {
        ScopeError::NoResource(_) => unknown(),
        ScopeError::NoValue { .. } => {
            Problem::new(StatusCode::NOT_FOUND, "that resource server has no such scope value")
        }
        ScopeError::Malformed(error) => Problem::bad_request(&error.to_string()),
        ScopeError::Store(error) => error.into(),
    }
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no resource server of that audience")
}
