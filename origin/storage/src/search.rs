//! Pages of clients and users, for people who look for one of many.

use sqlx::QueryBuilder;
use tollgate_model::{Client, User};

use crate::accounts::users::UserRow;
use crate::database::values::to_sql;
use crate::error::StoreError;
use crate::oauth::clients::{ClientRow, client_select};
use crate::store::{Pools, Store};

/// Clients or users of a page at most.
pub const MAX_SEARCH_PAGE: u64 = 1000;

/// Which clients or users to list.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Those that have this text in their id or their names alone, whatever the case of its letters.
    pub text: Option<String>,
    /// Those that come after the one with this id alone.
    pub after: Option<String>,
    /// Whether the newest come first, not the oldest.
    pub newest_first: bool,
    /// As many at most, up to [`MAX_SEARCH_PAGE`].
    pub limit: u64,
}

/// What is written differently for each database.
struct Dialect {
    /// Compares without regard to case; SQLite's does so for ASCII alone.
    like: &'static str,
    /// What a column of text must be before a member of its JSON is taken.
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

/// Adds which rows of `$table` a search means, in their order: those whose `$columns` have its text in them.
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

    /// A page of clients.
    ///
    /// # Errors
    /// When the database fails.
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

    /// A page of users.
    ///
    /// # Errors
    /// When the database fails.
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
