//! Queue of back-channel logouts that must be sent to clients (OpenID Connect Back-Channel Logout).
//!
//! A sender claims a row by moving its due time into the future. So one of several origins sends
//! it, and what an origin claimed and did not send before it failed is due again later.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;
use tollgate_model::{ClientId, ClientMetadata, Grant, PendingLogout};

use crate::database::bulk::{padded_with_last, statement_chunks};
use crate::database::values::{from_json, from_sql, to_sql};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::store::Store;

/// Maximum due rows considered by one claim.
const MAX_DUE_CONSIDERED: u64 = 1024;

#[derive(sqlx_macros::FromRow)]
struct LogoutRow {
    number: i64,
    client_id: String,
    subject: String,
    session: String,
    ended_at: i64,
    trace: String,
    tries: i64,
}

impl TryFrom<LogoutRow> for PendingLogout {
    type Error = StoreError;

    fn try_from(row: LogoutRow) -> Result<PendingLogout, StoreError> {
        Ok(PendingLogout {
            number: from_sql(row.number),
            client: row.client_id.parse().map_err(StoreError::corrupt("logouts"))?,
            subject: row.subject,
            session: row.session,
            ended_at: from_sql(row.ended_at),
            trace: row.trace,
            attempts: from_sql(row.tries),
        })
    }
}

/// The part of an ended grant that a logout token names.
#[derive(Debug, sqlx_macros::FromRow)]
pub(crate) struct EndedGrant {
    id: String,
    client_id: String,
    subject: String,
}

impl From<&Grant> for EndedGrant {
    fn from(grant: &Grant) -> EndedGrant {
        let (id, client_id) = (grant.id.to_string(), grant.client.to_string());
        EndedGrant { id, client_id, subject: grant.subject.clone() }
    }
}

impl Store {
    /// Notified after every commit that may have queued a logout.
    #[must_use]
    pub fn logout_notifier(&self) -> Arc<Notify> {
        Arc::clone(&self.logouts)
    }

    /// Unix second at which the next logout is due, if any is queued.
    pub async fn find_next_logout_time(&self) -> Result<Option<u64>, StoreError> {
        let due: Option<i64> = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar("SELECT MIN(due_at) FROM logouts").fetch_one(connection).await?
        });
        Ok(due.map(from_sql))
    }

    /// Claims at most `limit` logouts that are due at the Unix second `now`, and of each client as
    /// many as `slots` allows. No other sender claims them before the Unix second `until`.
    pub async fn claim_logouts(
        &self,
        now: u64,
        until: u64,
        limit: usize,
        slots: &ClientSlots,
    ) -> Result<Vec<PendingLogout>, StoreError> {
        let mut tx = self.begin_write().await?;
        // Rows that another origin is claiming at this moment are skipped.
        let lock = if matches!(tx, Either::Postgres(_)) { " FOR UPDATE SKIP LOCKED" } else { "" };
        let due: Vec<(i64, String)> = with_connection!(&mut tx, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT number, client_id FROM logouts WHERE due_at <= ");
            query.push_bind(to_sql(now));
            // Logouts of other clients may be queued behind those of a client without a free slot.
            for client in slots.full() {
                query.push(" AND client_id <> ").push_bind(client.as_str());
            }
            query.push(" ORDER BY due_at, number LIMIT ").push_bind(to_sql(MAX_DUE_CONSIDERED)).push(lock);
            query.build_query_as().fetch_all(connection).await?
        });
        let mut slots = slots.clone();
        let mut chosen = Vec::new();
        for (number, client) in due {
            let client: ClientId = client.parse().map_err(StoreError::corrupt("logouts"))?;
            if chosen.len() < limit && slots.try_acquire(&client) {
                chosen.push(number);
            }
        }
        let mut claimed = Vec::with_capacity(chosen.len());
        for numbers in statement_chunks(&chosen) {
            let rows: Vec<LogoutRow> = with_connection!(&mut tx, connection => {
                let mut query = sqlx::QueryBuilder::new("UPDATE logouts SET tries = tries + 1, due_at = ");
                query.push_bind(to_sql(until)).push(" WHERE number IN (");
                let mut list = query.separated(", ");
                for number in padded_with_last(numbers) {
                    list.push_bind(number);
                }
                query.push(") RETURNING number, client_id, subject, session, ended_at, trace, tries");
                query.build_query_as().fetch_all(connection).await?
            });
            claimed.extend(rows.into_iter().map(PendingLogout::try_from).collect::<Result<Vec<_>, _>>()?);
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Makes a claimed logout due again at the Unix second `due_at`, unless another sender has
    /// claimed it since.
    pub async fn reschedule_logout(&self, logout: &PendingLogout, due_at: u64) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE logouts SET due_at = $3 WHERE number = $1 AND tries = $2")
                .bind(to_sql(logout.number))
                .bind(to_sql(logout.attempts))
                .bind(to_sql(due_at))
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }

    /// Removes a logout that was sent or given up.
    pub async fn delete_logout(&self, logout: &PendingLogout) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("DELETE FROM logouts WHERE number = $1")
                .bind(to_sql(logout.number))
                .execute(connection)
                .await?;
        });
        tx.commit().await
    }
}

impl Tx {
    /// Queues a logout for each of these grants whose client registered a `backchannel_logout_uri`,
    /// and returns whether one was queued. `has_endpoint` caches by client whether it did.
    pub(crate) async fn insert_logouts(
        &mut self,
        grants: &[EndedGrant],
        trace: &str,
        now: u64,
        has_endpoint: &mut HashMap<String, bool>,
    ) -> Result<bool, StoreError> {
        for grant in grants {
            if !has_endpoint.contains_key(&grant.client_id) {
                has_endpoint.insert(grant.client_id.clone(), self.has_logout_endpoint(&grant.client_id).await?);
            }
        }
        let notified = grants.iter().filter(|grant| has_endpoint.get(&grant.client_id).copied().unwrap_or(false));
        let notified: Vec<&EndedGrant> = notified.collect();
        insert_rows!(
            self,
            "INSERT INTO logouts (client_id, subject, session, ended_at, trace, due_at)",
            "",
            &notified,
            |row, grant| row
                .push_bind(grant.client_id.as_str())
                .push_bind(grant.subject.as_str())
                .push_bind(grant.id.as_str())
                .push_bind(to_sql(now))
                .push_bind(trace)
                .push_bind(to_sql(now))
        );
        Ok(!notified.is_empty())
    }

    async fn has_logout_endpoint(&mut self, client: &str) -> Result<bool, StoreError> {
        let metadata = with_connection!(&mut *self, connection => {
            sqlx::query_scalar::<_, String>("SELECT metadata FROM clients WHERE id = $1 AND disabled_at IS NULL")
                .bind(client)
                .fetch_optional(connection)
                .await?
        });
        let Some(metadata) = metadata else { return Ok(false) };
        Ok(from_json::<ClientMetadata>(&metadata, "clients")?.backchannel_logout_uri.is_some())
    }
}

/// Concurrent deliveries per client, with a limit: a slow client does not occupy all senders.
#[derive(Debug, Clone)]
pub struct ClientSlots {
    limit: usize,
    used: BTreeMap<ClientId, usize>,
}

impl ClientSlots {
    #[must_use]
    pub fn with_limit(limit: usize) -> ClientSlots {
        ClientSlots { limit, used: BTreeMap::new() }
    }

    /// Takes a slot of this client; false if none is free.
    pub fn try_acquire(&mut self, client: &ClientId) -> bool {
        let used = self.used.entry(client.clone()).or_default();
        let is_free = *used < self.limit;
        *used += usize::from(is_free);
        is_free
    }

    /// Returns a slot of this client.
    pub fn release(&mut self, client: &ClientId) {
        if let Some(used) = self.used.get_mut(client) {
            *used = used.saturating_sub(1);
        }
        self.used.retain(|_, used| *used > 0);
    }

    /// Clients without a free slot.
    fn full(&self) -> impl Iterator<Item = &ClientId> {
        self.used.iter().filter(|(_, used)| **used >= self.limit).map(|(client, _)| client)
    }
}
