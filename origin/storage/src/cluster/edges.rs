//! Registered edges, and the sequences that they have acknowledged.

use tollgate_model::{AuditAction, AuditKind, Edge, EdgeHeartbeat, EdgeName};

use crate::database::Tx;
use crate::database::values::{from_sql, to_sql};
use crate::error::StoreError;
use crate::store::Store;

#[derive(sqlx_macros::FromRow)]
pub(crate) struct EdgeRow {
    name: String,
    url: String,
    acknowledged: i64,
    acknowledged_at_ms: Option<i64>,
    contacted_at_ms: Option<i64>,
    created_at: i64,
}

impl TryFrom<EdgeRow> for Edge {
    type Error = StoreError;

    fn try_from(row: EdgeRow) -> Result<Edge, StoreError> {
        let corrupt = StoreError::corrupt("edges");
        Ok(Edge {
            name: row.name.parse().map_err(&corrupt)?,
            url: row.url.parse().map_err(&corrupt)?,
            acknowledged: from_sql(row.acknowledged),
            acknowledged_at_ms: row.acknowledged_at_ms.map(from_sql),
            contacted_at_ms: row.contacted_at_ms.map(from_sql),
            created_at: from_sql(row.created_at),
        })
    }
}

impl Store {
    /// Registers an edge.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when the name is taken.
    pub async fn create_edge(&self, edge: &Edge) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let inserted = with_connection!(&mut tx, connection => {
            sqlx::query("INSERT INTO edges (name, url, created_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING")
                .bind(edge.name.as_str())
                .bind(edge.url.as_str())
                .bind(to_sql(edge.created_at))
                .execute(connection)
                .await?
                .rows_affected()
        });
        if inserted == 0 {
            return Err(StoreError::AlreadyExists("edge"));
        }
        tx.write_audit_entries(&[self.audit_entry(AuditAction::Create, AuditKind::Edge, edge.name.as_str())]).await?;
        tx.bump_version().await?;
        self.commit_and_notify(tx).await
    }

    pub async fn list_edges(&self) -> Result<Vec<Edge>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, EdgeRow>("SELECT * FROM edges ORDER BY name").fetch_all(connection).await?
        });
        rows.into_iter().map(Edge::try_from).collect()
    }

    /// Deletes an edge. Returns false if it does not exist.
    pub async fn delete_edge(&self, name: &EdgeName) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let deleted = with_connection!(&mut tx, connection => {
            sqlx::query("DELETE FROM edges WHERE name = $1").bind(name.as_str()).execute(connection).await?.rows_affected()
        });
        tx.delete_edge_reports(name).await?;
        if deleted > 0 {
            tx.write_audit_entries(&[self.audit_entry(AuditAction::Remove, AuditKind::Edge, name.as_str())]).await?;
            tx.bump_version().await?;
        }
        self.commit_and_notify(tx).await?;
        Ok(deleted > 0)
    }

    /// Records that an edge has reached `sequence`. A lower sequence than the recorded one only
    /// updates the time of contact: responses may arrive out of order.
    pub async fn record_edge_acknowledgement(
        &self,
        name: &EdgeName,
        sequence: u64,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        tx.record_contact(name, None, sequence, now_ms).await?;
        tx.commit().await
    }

    /// Records the heartbeats of several edges, as [`Store::record_edge_acknowledgement`] does for
    /// one, and their reports. Those of deleted registrations are ignored.
    pub async fn record_edge_contacts(&self, contacts: &[EdgeHeartbeat]) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        for EdgeHeartbeat { name, number, sequence, at_ms, report } in contacts {
            tx.record_contact(name, Some(*number), *sequence, *at_ms).await?;
            if let Some(report) = report {
                tx.record_edge_report(name, *number, report, *at_ms).await?;
            }
        }
        tx.commit().await
    }
}

impl Tx {
    /// `number` identifies the registration; `None` stands for any registration of that name.
    async fn record_contact(
        &mut self,
        name: &EdgeName,
        number: Option<u64>,
        sequence: u64,
        at_ms: u64,
    ) -> Result<(), StoreError> {
        with_connection!(&mut *self, connection => {
            sqlx::query(
                "UPDATE edges SET
                     acknowledged_at_ms = CASE WHEN acknowledged < $2 OR acknowledged_at_ms IS NULL THEN $3
                         WHEN acknowledged = $2 AND acknowledged_at_ms < $3 THEN $3 ELSE acknowledged_at_ms END,
                     acknowledged = CASE WHEN acknowledged <= $2 THEN $2 ELSE acknowledged END,
                     contacted_at_ms = CASE WHEN contacted_at_ms > $3 THEN contacted_at_ms ELSE $3 END
                 WHERE name = $1 AND created_at = COALESCE($4, created_at)",
            )
            .bind(name.as_str())
            .bind(to_sql(sequence))
            .bind(to_sql(at_ms))
            .bind(number.map(to_sql))
            .execute(connection)
            .await?;
        });
        Ok(())
    }
}
