//! Resource servers.

use super::clients::{from_json, json};
use super::{Store, StoreError};
use crate::domain::{Audience, AuditAction, AuditKind, Resource};

impl Store {
    /// Registers a resource server, or replaces the one of that audience.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_resource(&self, resource: &Resource) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        each!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO resources (audience, resource) VALUES ($1, $2)
                 ON CONFLICT (audience) DO UPDATE SET resource = excluded.resource",
            )
            .bind(resource.audience.as_str())
            .bind(json(resource)?)
            .execute(connection)
            .await?;
        });
        tx.note(&[self.line(AuditAction::Update, AuditKind::Resource, resource.audience.as_str())]).await?;
        tx.commit().await
    }

    /// All resource servers, by audience.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resources(&self) -> Result<Vec<Resource>, StoreError> {
        let rows = each!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>("SELECT resource FROM resources ORDER BY audience")
                .fetch_all(connection)
                .await?
        });
        rows.iter().map(|row| from_json(row, "resources")).collect()
    }

    /// The resource server of this audience, if one is registered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resource(&self, audience: &Audience) -> Result<Option<Resource>, StoreError> {
        let row = each!(&mut self.reader().await?, connection => {
            sqlx::query_scalar::<_, String>("SELECT resource FROM resources WHERE audience = $1")
                .bind(audience.as_str())
                .fetch_optional(connection)
                .await?
        });
        row.map(|row| from_json(&row, "resources")).transpose()
    }

    /// Removes a resource server. False when there is none of that audience.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_resource(&self, audience: &Audience) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let removed = each!(&mut tx, connection => {
            sqlx::query("DELETE FROM resources WHERE audience = $1")
                .bind(audience.as_str())
                .execute(connection)
                .await?
                .rows_affected()
        });
        if removed > 0 {
            tx.note(&[self.line(AuditAction::Remove, AuditKind::Resource, audience.as_str())]).await?;
        }
        tx.commit().await?;
        Ok(removed > 0)
    }
}
