//! Resource servers and the descriptions of their scope values.

use tollgate_model::{Actor, Audience, Resource};
use tollgate_storage::ScopeError;

use super::{AdminError, Administration};

const NOT_FOUND: AdminError = AdminError::NotFound("there is no resource server of that audience");

impl Administration {
    /// Registers a resource server, or replaces the one of that audience.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], or when the database fails.
    pub async fn save_resource(&self, by: &Actor, resource: Resource) -> Result<Resource, AdminError> {
        let resource = resource.checked().map_err(|error| AdminError::invalid(&error))?;
        if let Some(client) = &resource.introspected_by
            && self.store.find_client(client).await?.is_none()
        {
            return Err(AdminError::Invalid("introspected_by is not a registered client".to_owned()));
        }
        self.store.with_actor(by).save_resource(&resource).await?;
        tracing::info!(audience = %resource.audience, by = by.as_str(), "registered a resource server");
        Ok(resource)
    }

    /// The resource server of this audience.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn get_resource(&self, audience: &str) -> Result<Resource, AdminError> {
        let audience = parse_audience(audience)?;
        self.store.find_resource(&audience).await?.ok_or(NOT_FOUND)
    }

    /// Removes a resource server.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn delete_resource(&self, by: &Actor, audience: &str) -> Result<(), AdminError> {
        let audience = parse_audience(audience)?;
        if !self.store.with_actor(by).delete_resource(&audience).await? {
            return Err(NOT_FOUND);
        }
        tracing::info!(%audience, by = by.as_str(), "removed a resource server");
        Ok(())
    }

    /// Describes a scope value of a resource server. Everything else of the resource server stays
    /// as it is, even if it is changed at the same time.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], [`AdminError::Invalid`], or when the database fails.
    pub async fn set_scope_description(
        &self,
        by: &Actor,
        audience: &Audience,
        value: &str,
        description: &str,
    ) -> Result<Resource, AdminError> {
        let resource = self.store.with_actor(by).set_scope_description(audience, value, description).await?;
        tracing::info!(%audience, value, by = by.as_str(), "described a scope value");
        Ok(resource)
    }

    /// Removes the description of a scope value.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn delete_scope_description(
        &self,
        by: &Actor,
        audience: &str,
        value: &str,
    ) -> Result<Resource, AdminError> {
        let audience = parse_audience(audience)?;
        let resource = self.store.with_actor(by).delete_scope_description(&audience, value).await?;
        tracing::info!(%audience, value, by = by.as_str(), "removed the description of a scope value");
        Ok(resource)
    }
}

fn parse_audience(audience: &str) -> Result<Audience, AdminError> {
    audience.parse().map_err(|_| NOT_FOUND)
}

impl From<ScopeError> for AdminError {
    fn from(error: ScopeError) -> AdminError {
        match error {
            ScopeError::NoResource(_) => NOT_FOUND,
            ScopeError::NoValue { .. } => AdminError::NotFound("that resource server has no such scope value"),
            ScopeError::Malformed(error) => error.into(),
            ScopeError::Store(error) => error.into(),
        }
    }
}
