//! The routes that edges enforce.

use tollgate_model::{Actor, Route};
use tollgate_storage::AddRouteError;

use super::{AdminError, Registry};

impl Registry {
    /// All routes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_routes(&self) -> Result<Vec<Route>, AdminError> {
        Ok(self.store.list_routes().await?)
    }

    /// Adds a route.
    ///
    /// # Errors
    /// [`AdminError::Conflict`] when it has the precedence of another for the same requests or
    /// there are too many, [`AdminError::Invalid`] when it can never apply, or when the database
    /// fails.
    pub async fn create_route(&self, by: &Actor, route: &Route) -> Result<(), AdminError> {
        self.store.with_actor(by).create_route(route).await.map_err(|error| match error {
            AddRouteError::Store(error) => AdminError::from(error),
            AddRouteError::NeverApplies(_) => AdminError::invalid(&error),
            refused => AdminError::Conflict(refused.to_string()),
        })?;
        tracing::info!(%route, by = by.as_str(), "added a route");
        Ok(())
    }

    /// Removes the route with the path and the methods of this one.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn delete_route(&self, by: &Actor, route: &Route) -> Result<(), AdminError> {
        if !self.store.with_actor(by).delete_route(route).await? {
            return Err(AdminError::not_found("rule", route));
        }
        tracing::info!(%route, by = by.as_str(), "removed a route");
        Ok(())
    }
}
