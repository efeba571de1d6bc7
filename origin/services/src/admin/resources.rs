//! Resource servers and the descriptions of their scope values.

use serde_json::Value;
use tollgate_model::{Actor, Audience, Resource, Verifier};
use tollgate_storage::{ScopeError, StoreError};

use super::{AdminError, MAX_CHANGE_ATTEMPTS, Registry};

impl Registry {
    /// All resource servers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_resources(&self) -> Result<Vec<Resource>, AdminError> {
        Ok(self.store.list_resources().await?)
    }

    /// Registers a resource server, or replaces the one of that audience.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], or when the database fails.
    pub async fn save_resource(&self, by: &Actor, resource: Resource) -> Result<Resource, AdminError> {
        let resource = self.check_resource(resource).await?;
        self.store.with_actor(by).save_resource(&resource).await?;
        tracing::info!(audience = %resource.audience, by = by.as_str(), "registered a resource server");
        Ok(resource)
    }

    /// Replaces a resource server that was read as `version`.
    ///
    /// # Errors
    /// [`AdminError::Conflict`] when it was changed since, and as [`Registry::change_resource`].
    pub async fn replace_resource(
        &self,
        by: &Actor,
        resource: Resource,
        version: &str,
    ) -> Result<Resource, AdminError> {
        let replace = |current: &Resource| check_version(current, version).map(|()| resource.clone());
        self.change_resource(by, resource.audience.as_str(), replace).await
    }

    /// The resource server of this audience.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn get_resource(&self, audience: &str) -> Result<Resource, AdminError> {
        let audience = parse_audience(audience)?;
        self.store.find_resource(&audience).await?.ok_or_else(|| not_found(&audience))
    }

    /// Changes a resource server. A change that another administrator makes at the same time is
    /// kept: then `change` is applied again.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], those of `change`, or when the database fails.
    pub async fn change_resource(
        &self,
        by: &Actor,
        audience: &str,
        change: impl Fn(&Resource) -> Result<Resource, AdminError> + Send + Sync,
    ) -> Result<Resource, AdminError> {
        for _ in 0..MAX_CHANGE_ATTEMPTS {
            let resource = self.get_resource(audience).await?;
            let changed = self.check_resource(change(&resource)?).await?;
            if changed.audience != resource.audience {
                return Err(AdminError::Invalid("the audience of a resource server cannot change".to_owned()));
            }
            if changed == resource {
                return Ok(resource);
            }
            match self.store.with_actor(by).change_resource(&resource, &changed).await {
                Err(StoreError::ConcurrentModification) => {}
                outcome => {
                    outcome?;
                    tracing::info!(audience = %changed.audience, by = by.as_str(), "changed a resource server");
                    return Ok(changed);
                }
            }
        }
        Err(AdminError::changing())
    }

    /// Checks a resource server, and that the client that introspects its tokens exists.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], or when the database fails.
    pub async fn check_resource(&self, resource: Resource) -> Result<Resource, AdminError> {
        let resource = resource.checked().map_err(|error| AdminError::invalid(&error))?;
        match &resource.introspected_by {
            Some(client) if self.store.find_client(client).await?.is_none() => {
                Err(AdminError::Invalid(format!("introspected_by: client {client} does not exist")))
            }
            _ => Ok(resource),
        }
    }

    /// Removes a resource server.
    ///
    /// # Errors
    /// [`AdminError::NotFound`], or when the database fails.
    pub async fn delete_resource(&self, by: &Actor, audience: &str) -> Result<(), AdminError> {
        let audience = parse_audience(audience)?;
        if !self.store.with_actor(by).delete_resource(&audience).await? {
            return Err(not_found(&audience));
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
    audience.parse().map_err(|_| AdminError::not_found("resource server", audience))
}

fn not_found(audience: &Audience) -> AdminError {
    AdminError::not_found("resource server", audience)
}

/// Fingerprint, by which a form or a request finds out whether the resource server was changed
/// since it was read.
#[must_use]
pub fn resource_version(resource: &Resource) -> String {
    super::version(resource)
}

fn check_version(current: &Resource, version: &str) -> Result<(), AdminError> {
    match resource_version(current) == version {
        true => Ok(()),
        false => Err(AdminError::Conflict("the resource server was changed meanwhile: read it again".to_owned())),
    }
}

/// Applies a merge patch (RFC 7396) to a resource server. `verifier` in it is a preset that
/// replaces algorithm, type and format; with `version`, the patch is for that version only. The
/// result is not checked.
///
/// # Errors
/// [`AdminError::Invalid`] for a patch that is no object, has an unknown preset, or names a member
/// that a resource server does not have; [`AdminError::Conflict`] for another version.
pub fn patch_resource(resource: &Resource, mut patch: Value) -> Result<Resource, AdminError> {
    let mut take = |name: &str| patch.as_object_mut()?.remove(name).filter(|value| !value.is_null());
    let (verifier, version) = (take("verifier"), take("version"));
    if let Some(version) = version {
        check_version(resource, version.as_str().unwrap_or_default())?;
    }
    let mut changed = super::patched(resource, patch)
        .map_err(|error| AdminError::Invalid(format!("the resource server: {error}")))?;
    if let Some(verifier) = verifier {
        let verifier: Verifier = verifier.as_str().unwrap_or_default().parse()?;
        changed.tokens = changed.tokens.with_preset(verifier);
    }
    Ok(changed)
}

impl From<ScopeError> for AdminError {
    fn from(error: ScopeError) -> AdminError {
        match error {
            ScopeError::NoResource(audience) => not_found(&audience),
            ScopeError::NoValue { .. } => AdminError::NotFound(error.to_string()),
            ScopeError::Malformed(error) => error.into(),
            ScopeError::Store(error) => error.into(),
        }
    }
}
