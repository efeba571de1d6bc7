//! Names of users that were stored before names were prepared (RFC 8265): they are prepared when the database is opened.

use tollgate_model::UserName;

use crate::error::StoreError;
use crate::store::Store;

/// Names in one transaction.
const PAGE: i64 = 500;

impl Store {
    /// Prepares the names that were not yet. A name that another user has once it is prepared, or that has characters that no name has
    /// any more, stays as it is: its user signs in by typing it the same way, and an administrator is told.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn prepare_user_names(&self) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let page = with_connection!(&mut self.reader().await?, connection => {
                sqlx::query_as::<_, (String, String)>(
                    "SELECT id, name FROM users WHERE NOT name_prepared AND id > $1 ORDER BY id LIMIT $2",
                )
                .bind(&after)
                .bind(PAGE)
                .fetch_all(connection)
                .await?
            });
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            let mut tx = self.begin_write().await?;
            for (id, name) in page {
                let prepared = name.parse::<UserName>().ok();
                let taken = match &prepared {
                    Some(prepared) => with_connection!(&mut tx, connection => {
                        sqlx::query(
                            "UPDATE users SET name = $2, name_prepared = TRUE WHERE id = $1
                             AND NOT EXISTS (SELECT 1 FROM users other WHERE other.name = $2 AND other.id <> $1)",
                        )
                        .bind(&id)
                        .bind(prepared.as_str())
                        .execute(connection)
                        .await?
                        .rows_affected()
                    }),
                    None => 0,
                };
                if taken == 0 {
                    tracing::warn!(
                        user = id,
                        "the name of this user is written as no name is any more, and another user has it or it has characters \
                         that cannot be seen: they sign in by typing it the same way; give them another name"
                    );
                }
            }
            tx.commit().await?;
        }
    }
}
