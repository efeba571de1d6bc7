//! Preparation of stored user names by RFC 8265, when a database is opened that was written before
//! names were prepared.

use tollgate_model::UserName;

use crate::error::StoreError;
use crate::store::Store;

const NAMES_PER_TRANSACTION: i64 = 500;

impl Store {
    /// Prepares the names that have not been prepared. A name stays as it is if another user has
    /// the prepared form, or if it has characters that are no longer allowed: its user signs in by
    /// typing it the same way, and the log asks an administrator to rename the user.
    pub(crate) async fn prepare_user_names(&self) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let page = with_connection!(&mut self.reader().await?, connection => {
                sqlx::query_as::<_, (String, String)>(
                    "SELECT id, name FROM users WHERE NOT name_prepared AND id > $1 ORDER BY id LIMIT $2",
                )
                .bind(&after)
                .bind(NAMES_PER_TRANSACTION)
                .fetch_all(connection)
                .await?
            });
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            let mut tx = self.begin_write().await?;
            for (id, name) in page {
                let prepared = name.parse::<UserName>().ok();
                let renamed = match &prepared {
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
                if renamed == 0 {
                    tracing::warn!(
                        user = id,
                        "the name of this user could not be prepared (RFC 8265): another user has the prepared form, or it contains \
                         characters that are not allowed; the user signs in by typing it unchanged; rename the user"
                    );
                }
            }
            tx.commit().await?;
        }
    }
}
