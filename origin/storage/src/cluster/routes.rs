//! Route rules.

use std::collections::BTreeSet;

use tollgate_core::RuleConflict;
use tollgate_model::{AuditAction, AuditKind, Route, RouteDocument, Scope};

use crate::database::Tx;
use crate::database::values::{from_json, to_json};
use crate::error::StoreError;
use crate::store::Store;

/// In the column `on_stale` of a rule with a document: programs from before that column refuse the
/// rule by it, instead of applying a part of it.
const EXTENDED: &str = "extended";

/// A route rule was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddRouteError {
    /// Another rule applies to the same requests with the same precedence, or is read alike by some
    /// servers.
    #[error("the rule {0} {1}: remove it first")]
    Conflict(Box<Route>, RuleConflict),
    /// The rule can never apply.
    #[error("{0}")]
    NeverApplies(RuleConflict),
    /// The number of rules that edges accept is reached.
    #[error("there are as many route rules as edges take, {0}")]
    TooMany(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(sqlx_macros::FromRow)]
pub(crate) struct RouteRow {
    path: String,
    methods: String,
    scope: String,
    public: bool,
    on_stale: String,
    on_not_covered: String,
    /// The whole rule as JSON, if the other columns cannot say it.
    document: Option<String>,
}

impl TryFrom<RouteRow> for Route {
    type Error = StoreError;

    fn try_from(row: RouteRow) -> Result<Route, StoreError> {
        let corrupt = StoreError::corrupt("routes");
        if let Some(document) = row.document {
            return Route::try_from(from_json::<RouteDocument>(&document, "routes")?).map_err(&corrupt);
        }
        let methods: Vec<String> = row.methods.split_whitespace().map(str::to_owned).collect();
        let scope = Scope::parse(&row.scope).map_err(&corrupt)?;
        let on_stale = row.on_stale.parse().map_err(&corrupt)?;
        let route = Route::new(&row.path, &methods, scope, row.public, on_stale).map_err(&corrupt)?;
        Ok(route.on_not_covered(row.on_not_covered.parse().map_err(&corrupt)?))
    }
}

impl Store {
    /// Adds a rule.
    ///
    /// # Errors
    /// When it conflicts with an existing rule, or the database fails.
    pub async fn create_route(&self, route: &Route) -> Result<(), AddRouteError> {
        let mut tx = self.begin_write().await?;
        // Locks the row of `feed` first: a concurrent transaction that adds a rule waits, and its
        // rule is part of the check below.
        tx.bump_version().await?;
        let present = with_connection!(&mut tx, connection => {
            sqlx::query_as::<_, RouteRow>("SELECT * FROM routes").fetch_all(connection).await.map_err(StoreError::from)?
        });
        if present.len() >= tollgate_core::MAX_ROUTES {
            return Err(AddRouteError::TooMany(present.len()));
        }
        let others: Vec<Route> = present.into_iter().map(Route::try_from).collect::<Result<_, _>>()?;
        match route.check_among(&others) {
            Ok(()) => {}
            Err((conflict, Some(other))) => return Err(AddRouteError::Conflict(Box::new(other.clone()), conflict)),
            Err((conflict, None)) => return Err(AddRouteError::NeverApplies(conflict)),
        }
        let document = if route.is_extended() { Some(to_json(route.document())?) } else { None };
        let on_stale = document.as_ref().map_or(route.document().on_stale.as_str(), |_| EXTENDED);
        with_connection!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO routes (path, methods, hosts, scope, public, on_stale, on_not_covered, document)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
                .bind(route.path())
                .bind(joined(route.methods()))
                .bind(joined(route.hosts()))
                .bind(route.document().scope.to_string())
                .bind(route.document().public)
                .bind(on_stale)
                .bind(route.document().on_not_covered.as_str())
                .bind(document)
                .execute(connection)
                .await
                .map_err(StoreError::from)?;
        });
        tx.write_audit_entries(&[self.audit_entry(AuditAction::Create, AuditKind::Route, &name(route))]).await?;
        Ok(self.commit_and_notify(tx).await?)
    }

    /// All rules, by path and methods.
    pub async fn list_routes(&self) -> Result<Vec<Route>, StoreError> {
        self.begin_read().await?.routes().await
    }

    /// Deletes the rule with the same path, methods and hosts. Returns false if it does not exist.
    pub async fn delete_route(&self, route: &Route) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let deleted = with_connection!(&mut tx, connection => {
            sqlx::query("DELETE FROM routes WHERE path = $1 AND methods = $2 AND hosts = $3")
                .bind(route.path())
                .bind(joined(route.methods()))
                .bind(joined(route.hosts()))
                .execute(connection)
                .await?
                .rows_affected()
        });
        if deleted > 0 {
            tx.write_audit_entries(&[self.audit_entry(AuditAction::Remove, AuditKind::Route, &name(route))]).await?;
            tx.bump_version().await?;
        }
        self.commit_and_notify(tx).await?;
        Ok(deleted > 0)
    }
}

impl Tx {
    pub(crate) async fn routes(&mut self) -> Result<Vec<Route>, StoreError> {
        let rows = with_connection!(&mut *self, connection => {
            sqlx::query_as::<_, RouteRow>("SELECT * FROM routes")
                .fetch_all(connection)
                .await?
        });
        let mut routes = rows.into_iter().map(Route::try_from).collect::<Result<Vec<_>, _>>()?;
        // Sorted here, because the database's collation would decide the order and thus the digest.
        routes.sort_by(|a, b| (a.path(), a.methods(), a.hosts()).cmp(&(b.path(), b.methods(), b.hosts())));
        Ok(routes)
    }
}

fn joined(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Name of a rule in the audit log: its methods, if it has any, its hosts and its path.
fn name(route: &Route) -> String {
    let hosts = joined(route.hosts()).replace(' ', ",");
    format!("{} {hosts}{}", joined(route.methods()), route.path()).trim_start().to_owned()
}
