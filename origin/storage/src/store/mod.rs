//! [`Store`]: the handle through which all other crates use the database.

mod connect;
pub(crate) mod connections;
pub(crate) mod inspection;
pub(crate) mod migrations;
pub(crate) mod open;
mod statistics;
pub(crate) mod trusted_time;

use std::sync::{Arc, Mutex};

use sqlx::{PgPool, SqlitePool};
use tokio::sync::Notify;
use tokio::sync::watch::Sender;
use tokio::time::timeout;
use tollgate_model::{Actor, ClientProfile};
use tollgate_system::Clock;

use crate::database::Tx;
use crate::database::availability::Availability;
use crate::database::pooled_connection::STATEMENT_TIMEOUT;
use crate::error::StoreError;
use crate::store::trusted_time::TrustedTime;

/// A handle to the database; clones share its connections.
#[derive(Clone)]
pub struct Store {
    pub(crate) pools: Pools,
    pub(crate) availability: Arc<Availability>,
    /// Dates audit entries, and is one of the clocks that `trusted_time` compares.
    pub(crate) clock: Clock,
    pub(crate) trusted_time: Arc<TrustedTime>,
    /// Counts this process's commits that edges or snapshot publishers need to know about, so that
    /// they are notified without polling.
    pub(crate) committed: Sender<u64>,
    /// The epoch of the last issued tokens, unless a key was revoked then: see
    /// [`Store::try_fast_path`].
    pub(crate) open_epoch: Arc<Mutex<Option<u32>>>,
    /// Wakes the sender of back-channel logouts.
    pub(crate) logouts: Arc<Notify>,
    /// Actor of the changes made through this handle, for the audit log.
    pub(crate) actor: Option<Actor>,
    /// Profile of the issuer, for handles that serve clients.
    pub(crate) client_profile: Option<ClientProfile>,
}

#[derive(Clone)]
pub(crate) enum Pools {
    /// One connection writes: SQLite has one writer anyway, and a queue here is fairer than its
    /// busy handler. The other connections read concurrently (WAL).
    Sqlite {
        read: SqlitePool,
        write: SqlitePool,
    },
    Postgres {
        read: PgPool,
        write: PgPool,
    },
}

impl Store {
    /// A handle to the same database whose changes the audit log attributes to `actor`. Without an
    /// actor, the origin itself is recorded.
    #[must_use]
    pub fn with_actor(&self, actor: &Actor) -> Store {
        Store { actor: Some(actor.clone()), ..self.clone() }
    }

    /// A handle to the same database whose [`Store::find_client`] judges clients by the profile of
    /// their issuer.
    #[must_use]
    pub fn with_client_profile(&self, client_profile: Option<ClientProfile>) -> Store {
        Store { client_profile, ..self.clone() }
    }

    /// Commits a change that edges or snapshot publishers need, and wakes those of this process.
    pub(crate) async fn commit_and_notify(&self, tx: Tx) -> Result<(), StoreError> {
        tx.commit().await?;
        self.committed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Closes the connections after their running statements have finished.
    pub async fn close(&self) {
        let closed = async {
            match &self.pools {
                Pools::Sqlite { read, write } => tokio::join!(read.close(), write.close()),
                Pools::Postgres { read, write } => tokio::join!(read.close(), write.close()),
            }
        };
        if timeout(STATEMENT_TIMEOUT, closed).await.is_err() {
            tracing::warn!("the database connections did not close in time");
        }
    }
}
