//! Edges to push to.

use super::rows::EdgeRow;
use super::{Store, StoreError, to_sql};
use crate::domain::{Edge, EdgeName};

impl Store {
    /// Registers an edge.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken.
    pub async fn insert_edge(&self, edge: &Edge) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let inserted = each!(&mut tx, connection => {
            sqlx::query("INSERT INTO edges (name, url, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING")
                .bind(edge.name.as_str())
                .bind(edge.url.as_str())
                .bind(to_sql(edge.created_at))
                .execute(connection)
                .await?
                .rows_affected()
        });
        if inserted == 0 {
            return Err(StoreError::Exists("edge"));
        }
        tx.bump_version().await?;
        tx.commit().await
    }

    /// All edges by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn edges(&self) -> Result<Vec<Edge>, StoreError> {
        let rows = each!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, EdgeRow>("SELECT * FROM edges ORDER BY name").fetch_all(connection).await?
        });
        rows.into_iter().map(Edge::try_from).collect()
    }

    /// Removes an edge; false when there is none of that name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_edge(&self, name: &EdgeName) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let deleted = each!(&mut tx, connection => {
            sqlx::query("DELETE FROM edges WHERE name = $1").bind(name.as_str()).execute(connection).await?.rows_affected()
        });
        if deleted > 0 {
            tx.bump_version().await?;
        }
        tx.commit().await?;
        Ok(deleted > 0)
    }

    /// Records that an edge holds `sequence`. A lower one than recorded changes nothing: answers may overtake each other.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn acknowledge(&self, name: &EdgeName, sequence: u64, now_ms: u64) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        each!(&mut tx, connection => {
            sqlx::query("UPDATE edges SET acknowledged = $2, acknowledged_at_ms = $3 WHERE name = $1 AND acknowledged <= $2")
                .bind(name.as_str())
                .bind(to_sql(sequence))
                .bind(to_sql(now_ms))
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }
}
