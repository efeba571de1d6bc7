//! Search for clients and users, page by page.

use sqlx::QueryBuilder;
use tollgate_model::{Client, User};

use crate::accounts::users::UserRow;
use crate::database::values::to_sql;
use crate::error::StoreError;
use crate::oauth::clients::{ClientRow, client_select};
use crate::store::{Pools, Store};

/// Maximum clients or users per page.
pub const MAX_SEARCH_PAGE: u64 = 1000;

/// Which clients or users to list.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Text that the id or a name must contain, in any letter case.
    pub text: Option<String>,
    /// Lists those after the one with this id.
    pub after: Option<String>,
    /// Newest first instead of oldest first.
    pub newest_first: bool,
    /// Page size, at most [`MAX_SEARCH_PAGE`].
    pub limit: u64,
}

/// SQL that differs between the databases.
struct Dialect {
    /// Operator that ignores letter case; SQLite's does so for ASCII only.
    like: &'static str,
    /// Cast that a text column needs before a member of its JSON is read.
    json: &'static str,
}

impl Search {
    fn pattern(&self) -> Option<String> {
        let text = self.text.as_deref()?;
        Some(format!("%{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")))
    }

    fn limit(&self) -> i64 {
        to_sql(self.limit.min(MAX_SEARCH_PAGE))
    }

    fn order(&self) -> (&'static str, &'static str) {
        if self.newest_first { (" < ", " DESC") } else { (" > ", " ASC") }
    }
}

/// Appends a subquery of the ids of `$table` that match a search, in their order: rows that contain
/// its text in one of `$columns`.
macro_rules! push_search {
    ($query:ident, $table:literal, $search:expr, $columns:expr, $like:expr) => {
        let (beyond, order) = $search.order();
        $query.push("(SELECT id FROM ").push($table).push(" WHERE 1 = 1");
        if let Some(pattern) = $search.pattern() {
            for (index, column) in $columns.into_iter().enumerate() {
                $query.push(if index == 0 { " AND (" } else { " OR " });
                $query.push(column).push($like).push_bind(pattern.clone()).push(" ESCAPE '\\'");
            }
            $query.push(")");
        }
        if let Some(after) = &$search.after {
            $query.push(" AND (created_at, id)").push(beyond).push("(SELECT created_at, id FROM ").push($table);
            $query.push(" WHERE id = ").push_bind(after.clone()).push(")");
        }
        $query.push(" ORDER BY created_at").push(order).push(", id").push(order);
        $query.push(" LIMIT ").push_bind($search.limit()).push(")");
    };
}

impl Store {
    fn dialect(&self) -> Dialect {
        match &self.pools {
            Pools::Sqlite { .. } => Dialect { like: " LIKE ", json: "" },
            Pools::Postgres { .. } => Dialect { like: " ILIKE ", json: "::json" },
        }
    }

    pub async fn search_clients(&self, search: &Search) -> Result<Vec<Client>, StoreError> {
        let Dialect { like, json } = self.dialect();
        let columns =
            ["id".to_owned(), format!("metadata{json} ->> 'client_name'"), format!("metadata{json} ->> 'owner'")];
        let (_, order) = search.order();
        let rows = with_connection!(&mut self.reader().await?, connection => {
            let mut query = QueryBuilder::new(client_select!("WHERE c.id IN "));
            push_search!(query, "clients", search, columns.clone(), like);
            query.push(" ORDER BY c.created_at").push(order).push(", c.id").push(order).push(", s.created_at");
            query.build_query_as::<ClientRow>().fetch_all(connection).await?
        });
        crate::oauth::clients::clients(rows)
    }

    pub async fn search_users(&self, search: &Search) -> Result<Vec<User>, StoreError> {
        let Dialect { like, json } = self.dialect();
        let claim = |name: &str| format!("claims{json} ->> '{name}'");
        let columns = ["id".to_owned(), "name".to_owned(), "external_id".to_owned(), claim("name"), claim("email")];
        let (_, order) = search.order();
        let rows = with_connection!(&mut self.reader().await?, connection => {
            let mut query = QueryBuilder::new("SELECT * FROM users WHERE id IN ");
            push_search!(query, "users", search, columns.clone(), like);
            query.push(" ORDER BY created_at").push(order).push(", id").push(order);
            query.build_query_as::<UserRow>().fetch_all(connection).await?
        });
        rows.into_iter().map(User::try_from).collect()
    }
}
