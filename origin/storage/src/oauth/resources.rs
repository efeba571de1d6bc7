//! Resource servers.

use tollgate_model::{Audience, AuditAction, AuditKind, Malformed, Resource};

use crate::database::values::{from_json, to_json};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::store::Store;

/// The description of a scope value was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ScopeError {
    #[error("resource server {0} does not exist")]
    NoResource(Audience),
    #[error("the resource server {audience} has no scope value {value}")]
    NoValue { audience: Audience, value: String },
    /// The changed resource server would be invalid.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Creates a resource server, or replaces the one with that audience.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when one is registered under another spelling of the same
    /// audience.
    pub async fn save_resource(&self, resource: &Resource) -> Result<(), StoreError> {
        if self.find_resource(&resource.audience).await?.is_some_and(|other| other.audience != resource.audience) {
            return Err(StoreError::AlreadyExists("resource server"));
        }
        let mut tx = self.begin_write().await?;
        tx.write_resource(resource).await?;
        tx.write_audit_entries(&[self.audit_entry(
            AuditAction::Update,
            AuditKind::Resource,
            resource.audience.as_str(),
        )])
        .await?;
        // Edges learn which types of tokens it accepts.
        tx.bump_version().await?;
        self.commit_and_notify(tx).await
    }

    /// All resource servers, by audience.
    pub async fn list_resources(&self) -> Result<Vec<Resource>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>("SELECT resource FROM resources ORDER BY audience")
                .fetch_all(connection)
                .await?
        });
        rows.iter().map(|row| from_json(row, "resources")).collect()
    }

    /// The resource server of this audience: under this spelling, or else under an equivalent one.
    pub async fn find_resource(&self, audience: &Audience) -> Result<Option<Resource>, StoreError> {
        let row = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>("SELECT resource FROM resources WHERE audience = $1")
                .bind(audience.as_str())
                .fetch_optional(connection)
                .await?
        });
        if let Some(row) = row {
            return from_json(&row, "resources").map(Some);
        }
        let mut all = self.list_resources().await?.into_iter();
        Ok(all.find(|resource| resource.audience.is_same_resource(audience.as_str())))
    }

    /// Deletes a resource server. Returns false if it does not exist.
    pub async fn delete_resource(&self, audience: &Audience) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let removed = with_connection!(&mut tx, connection => {
            sqlx::query("DELETE FROM resources WHERE audience = $1")
                .bind(audience.as_str())
                .execute(connection)
                .await?
                .rows_affected()
        });
        if removed > 0 {
            tx.write_audit_entries(&[self.audit_entry(AuditAction::Remove, AuditKind::Resource, audience.as_str())])
                .await?;
            tx.bump_version().await?;
        }
        self.commit_and_notify(tx).await?;
        Ok(removed > 0)
    }

    /// Replaces a resource server, if it is still as `read`.
    ///
    /// # Errors
    /// [`StoreError::ConcurrentModification`] when it was changed or removed since it was read.
    pub async fn change_resource(&self, read: &Resource, changed: &Resource) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        if tx.lock_resource(&read.audience).await?.as_ref() != Some(read) {
            return Err(StoreError::ConcurrentModification);
        }
        tx.write_resource(changed).await?;
        let line = self.audit_entry(AuditAction::Update, AuditKind::Resource, read.audience.as_str());
        tx.write_audit_entries(&[line]).await?;
        // Edges learn which types of tokens it accepts.
        tx.bump_version().await?;
        self.commit_and_notify(tx).await
    }

    /// Sets the description of a scope value.
    ///
    /// # Errors
    /// When the resource server does not exist, the value or the description is not allowed, or the
    /// database fails.
    pub async fn set_scope_description(
        &self,
        audience: &Audience,
        value: &str,
        words: &str,
    ) -> Result<Resource, ScopeError> {
        self.change_scope(audience, value, Some(words)).await
    }

    /// Removes the description of a scope value.
    ///
    /// # Errors
    /// When the resource server does not exist or describes no such value, or the database fails.
    pub async fn delete_scope_description(&self, audience: &Audience, value: &str) -> Result<Resource, ScopeError> {
        self.change_scope(audience, value, None).await
    }

    async fn change_scope(
        &self,
        audience: &Audience,
        value: &str,
        words: Option<&str>,
    ) -> Result<Resource, ScopeError> {
        let mut tx = self.begin_write().await?;
        let resource = tx.lock_resource(audience).await?.ok_or_else(|| ScopeError::NoResource(audience.clone()))?;
        let no_value = || ScopeError::NoValue { audience: audience.clone(), value: value.to_owned() };
        let (resource, done) = match words {
            Some(words) => (resource.with_scope(value, words)?, "set"),
            None => (resource.without_scope(value).ok_or_else(no_value)?, "removed"),
        };
        tx.write_resource(&resource).await?;
        let line = self.audit_entry(AuditAction::Update, AuditKind::Resource, audience.as_str());
        tx.write_audit_entries(&[line.with_detail(&format!("scope value {value} {done}"))]).await?;
        tx.commit().await?;
        Ok(resource)
    }
}

impl Tx {
    /// The resource server of this audience, locked against changes until the commit.
    async fn lock_resource(&mut self, audience: &Audience) -> Result<Option<Resource>, StoreError> {
        let lock = if matches!(self, Either::Postgres(_)) { " FOR UPDATE" } else { "" };
        let row: Option<String> = with_connection!(&mut *self, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT resource FROM resources WHERE audience = ");
            query.push_bind(audience.as_str()).push(lock).build_query_scalar().fetch_optional(connection).await?
        });
        row.map(|row| from_json(&row, "resources")).transpose()
    }

    async fn write_resource(&mut self, resource: &Resource) -> Result<(), StoreError> {
        with_connection!(&mut *self, connection => {
            sqlx::query(
                "INSERT INTO resources (audience, resource) VALUES ($1, $2)
                 ON CONFLICT (audience) DO UPDATE SET resource = excluded.resource",
            )
            .bind(resource.audience.as_str())
            .bind(to_json(resource)?)
            .execute(connection)
            .await?;
        });
        Ok(())
    }
}
