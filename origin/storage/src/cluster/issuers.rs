//! Registry of the other issuers that the default issuer's database lists.

use tollgate_core::HashChain;
use tollgate_model::{AuditAction, AuditKind, Issuer, IssuerName};

use crate::database::values::{from_sql, to_sql};
use crate::error::StoreError;
use crate::store::Store;

#[derive(sqlx_macros::FromRow)]
struct IssuerRow {
    name: String,
    url: String,
    sealed_database: Option<Vec<u8>>,
    created_at: i64,
}

impl Store {
    /// Makes the database this issuer's, if it has none.
    ///
    /// # Errors
    /// [`StoreError::WrongIssuer`] when it has another: its revocations are named by that issuer.
    pub async fn adopt_issuer(&self, issuer: &str) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO feed (one, issuer, sequence, chain, version, revocation, snapshot)
                 VALUES (1, $1, 0, $2, 1, 0, 0) ON CONFLICT DO NOTHING",
            )
            .bind(issuer)
            .bind(HashChain::genesis(issuer).as_bytes().as_slice())
            .execute(connection)
            .await?;
        });
        let stored = tx.feed().await?.issuer;
        if stored != issuer {
            return Err(StoreError::WrongIssuer { stored, wanted: issuer.to_owned() });
        }
        tx.commit().await
    }

    /// The issuer of the database.
    ///
    /// # Errors
    /// [`StoreError::NoIssuer`] when it has none yet.
    pub async fn get_issuer(&self) -> Result<String, StoreError> {
        Ok(self.begin_read().await?.feed().await?.issuer)
    }

    /// Registers an issuer.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when the name or the URL is taken.
    pub async fn create_issuer(&self, issuer: &Issuer) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        tx.bump_version().await?;
        let written = with_connection!(&mut tx, connection => {
            sqlx::query(
                "INSERT INTO issuers (name, url, sealed_database, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(issuer.name.as_str())
            .bind(issuer.url.as_str())
            .bind(&issuer.sealed_database)
            .bind(to_sql(issuer.created_at))
            .execute(connection)
            .await?
            .rows_affected()
        });
        if written == 0 {
            return Err(StoreError::AlreadyExists("issuer"));
        }
        let line = self.audit_entry(AuditAction::Create, AuditKind::Issuer, issuer.name.as_str());
        tx.write_audit_entries(&[line.with_detail(issuer.url.as_str())]).await?;
        self.commit_and_notify(tx).await
    }

    pub async fn list_issuers(&self) -> Result<Vec<Issuer>, StoreError> {
        let rows = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, IssuerRow>("SELECT * FROM issuers ORDER BY name").fetch_all(connection).await?
        });
        rows.into_iter().map(Issuer::try_from).collect()
    }

    /// Deletes the registration of an issuer, but not its database. Returns false if it does not
    /// exist.
    pub async fn delete_issuer(&self, name: &IssuerName) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        tx.bump_version().await?;
        let deleted = with_connection!(&mut tx, connection => {
            sqlx::query("DELETE FROM issuers WHERE name = $1").bind(name.as_str()).execute(connection).await?.rows_affected()
        });
        if deleted > 0 {
            tx.write_audit_entries(&[self.audit_entry(AuditAction::Remove, AuditKind::Issuer, name.as_str())]).await?;
        }
        self.commit_and_notify(tx).await?;
        Ok(deleted > 0)
    }
}

impl TryFrom<IssuerRow> for Issuer {
    type Error = StoreError;

    fn try_from(row: IssuerRow) -> Result<Issuer, StoreError> {
        let corrupt = StoreError::corrupt("issuers");
        Ok(Issuer {
            name: row.name.parse().map_err(&corrupt)?,
            url: row.url.parse().map_err(&corrupt)?,
            sealed_database: row.sealed_database,
            created_at: from_sql(row.created_at),
        })
    }
}
