//! Route rules.

use tollgate_model::{AuditAction, AuditKind, Route};

use super::rows::RouteRow;
use super::{Store, StoreError};

/// A route rule was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddRouteError {
    /// Another rule applies to the same requests with equal right.
    #[error("the rule {0} applies to the same requests: remove it first")]
    Conflict(Box<Route>),
    /// Edges take no more.
    #[error("there are as many route rules as edges take, {0}")]
    TooMany(usize),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Adds a rule.
    ///
    /// # Errors
    /// When it conflicts with one that is there, or the database fails.
    pub async fn create_route(&self, route: &Route) -> Result<(), AddRouteError> {
        let mut tx = self.begin_write().await?;
        // First, for it makes a second process that adds a rule wait: the check below must see what that one adds.
        tx.bump_version().await?;
        let present = each!(&mut tx, connection => {
            sqlx::query_as::<_, RouteRow>("SELECT * FROM routes").fetch_all(connection).await.map_err(StoreError::from)?
        });
        if present.len() >= tollgate_core::MAX_ROUTES {
            return Err(AddRouteError::TooMany(present.len()));
        }
        for row in present {
            let other = Route::try_from(row)?;
            if other.conflicts_with(route) {
                return Err(AddRouteError::Conflict(Box::new(other)));
            }
        }
        each!(&mut tx, connection => {
            sqlx::query("INSERT INTO routes (path, methods, scope, public, on_stale, on_not_covered) VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(route.path())
                .bind(methods(route))
                .bind(route.scope.to_string())
                .bind(route.public)
                .bind(route.on_stale.as_str())
                .bind(route.on_not_covered.as_str())
                .execute(connection)
                .await
                .map_err(StoreError::from)?;
        });
        tx.note(&[self.line(AuditAction::Create, AuditKind::Route, &name(route))]).await?;
        Ok(self.commit_news(tx).await?)
    }

    /// All rules, by path and methods.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_routes(&self) -> Result<Vec<Route>, StoreError> {
        self.begin_read().await?.routes().await
    }

    /// Removes the rule with the same path and methods; false when there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_route(&self, route: &Route) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let deleted = each!(&mut tx, connection => {
            sqlx::query("DELETE FROM routes WHERE path = $1 AND methods = $2")
                .bind(route.path())
                .bind(methods(route))
                .execute(connection)
                .await?
                .rows_affected()
        });
        if deleted > 0 {
            tx.note(&[self.line(AuditAction::Remove, AuditKind::Route, &name(route))]).await?;
            tx.bump_version().await?;
        }
        self.commit_news(tx).await?;
        Ok(deleted > 0)
    }
}

fn methods(route: &Route) -> String {
    let methods: Vec<&str> = route.methods().iter().map(String::as_str).collect();
    methods.join(" ")
}

/// What a rule is called in the audit log: its methods, if it names any, and its path.
fn name(route: &Route) -> String {
    format!("{} {}", methods(route), route.path()).trim_start().to_owned()
}
