//! The issuing epoch.
//!
//! Never: a token of a closed epoch is recorded. A transaction that issues tokens reads the epoch
//! under a shared lock and records the tokens before it commits (on SQLite: under the only write
//! lock). Closing the epoch takes the lock exclusively: it waits for every transaction that issues,
//! and later transactions read the new epoch.

use crate::database::Tx;
use crate::error::StoreError;
use crate::store::Store;

impl Store {
    /// Closes the current issuing epoch, and with it all earlier ones, and returns its number.
    ///
    /// # Errors
    /// When the database fails, or no epoch is left.
    pub async fn close_epoch(&self) -> Result<u32, StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        tx.commit().await?;
        Ok(closed)
    }
}

impl Tx {
    /// Closes the current issuing epoch when this transaction commits, and returns its number.
    pub(crate) async fn close_epoch(&mut self) -> Result<u32, StoreError> {
        let epoch = with_connection!(&mut *self, connection => {
            sqlx::query_scalar::<_, i64>("UPDATE issuing SET epoch = epoch + 1 RETURNING epoch")
                .fetch_one(connection)
                .await?
        });
        // The last epoch can be opened and used, but never closed.
        u32::try_from(epoch).map(|epoch| epoch - 1).map_err(|_| StoreError::EpochsExhausted)
    }

    /// Reads the current issuing epoch.
    pub(crate) async fn epoch(&mut self) -> Result<u32, StoreError> {
        let epoch = with_connection!(&mut *self, connection => {
            sqlx::query_scalar::<_, i64>("SELECT epoch FROM issuing").fetch_one(connection).await?
        });
        u32::try_from(epoch).map_err(|_| StoreError::EpochsExhausted)
    }
}
