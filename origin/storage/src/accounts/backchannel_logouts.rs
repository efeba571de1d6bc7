//! Back-channel logouts that are yet to be sent to clients.
//!
//! Whoever tells a client takes the row up first, by moving on when it is due: so of several origins one tells it, and what one took up
//! and did not live to tell is due again after a while.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;
use tollgate_model::{ClientId, ClientMetadata, Grant, PendingLogout};

use crate::database::bulk::{padded_with_last, statement_chunks};
use crate::database::values::{from_json, from_sql, to_sql};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::store::Store;

/// Rows looked at when some are to be taken up.
const WINDOW: u64 = 1024;

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

/// What a logout token says of a grant that ended.
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
    /// Is notified after every commit that may have added a logout.
    #[must_use]
    pub fn logout_notifier(&self) -> Arc<Notify> {
        Arc::clone(&self.logouts)
    }

    /// When the next client is to be told, Unix seconds, if any is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_next_logout_time(&self) -> Result<Option<u64>, StoreError> {
        let due: Option<i64> = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_scalar("SELECT MIN(due_at) FROM logouts").fetch_one(connection).await?
        });
        Ok(due.map(from_sql))
    }

    /// Takes up at most `most` of what is due at the Unix second `now`, and for each client as many as `room` has for it: nobody else
    /// does until the Unix second `until`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_logouts(
        &self,
        now: u64,
        until: u64,
        most: usize,
        room: &ClientSlots,
    ) -> Result<Vec<PendingLogout>, StoreError> {
        let mut tx = self.begin_write().await?;
        // What another origin is taking up at this moment is left to it.
        let lock = if matches!(tx, Either::Postgres(_)) { " FOR UPDATE SKIP LOCKED" } else { "" };
        let due: Vec<(i64, String)> = with_connection!(&mut tx, connection => {
            let mut query = sqlx::QueryBuilder::new("SELECT number, client_id FROM logouts WHERE due_at <= ");
            query.push_bind(to_sql(now));
            // Behind those of a client that takes no more there may be others'.
            for client in room.full() {
                query.push(" AND client_id <> ").push_bind(client.as_str());
            }
            query.push(" ORDER BY due_at, number LIMIT ").push_bind(to_sql(WINDOW)).push(lock);
            query.build_query_as().fetch_all(connection).await?
        });
        let mut room = room.clone();
        let mut chosen = Vec::new();
        for (number, client) in due {
            let client: ClientId = client.parse().map_err(StoreError::corrupt("logouts"))?;
            if chosen.len() < most && room.try_acquire(&client) {
                chosen.push(number);
            }
        }
        let mut taken = Vec::with_capacity(chosen.len());
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
            taken.extend(rows.into_iter().map(PendingLogout::try_from).collect::<Result<Vec<_>, _>>()?);
        }
        tx.commit().await?;
        Ok(taken)
    }

    /// Has what was taken up taken up again at the Unix second `due_at`, unless somebody did by now.
    ///
    /// # Errors
    /// When the database fails.
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

    /// Forgets a logout: the client was told, or is given up.
    ///
    /// # Errors
    /// When the database fails.
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
    /// Records a logout for each of these grants whose client registered a `backchannel_logout_uri`; whether there was one.
    pub(crate) async fn insert_logouts(
        &mut self,
        grants: &[EndedGrant],
        trace: &str,
        now: u64,
        listening: &mut HashMap<String, bool>,
    ) -> Result<bool, StoreError> {
        for grant in grants {
            if !listening.contains_key(&grant.client_id) {
                listening.insert(grant.client_id.clone(), self.listens(&grant.client_id).await?);
            }
        }
        let told = grants.iter().filter(|grant| listening.get(&grant.client_id).copied().unwrap_or(false));
        let told: Vec<&EndedGrant> = told.collect();
        insert_rows!(
            self,
            "INSERT INTO logouts (client_id, subject, session, ended_at, trace, due_at)",
            "",
            &told,
            |row, grant| row
                .push_bind(grant.client_id.as_str())
                .push_bind(grant.subject.as_str())
                .push_bind(grant.id.as_str())
                .push_bind(to_sql(now))
                .push_bind(trace)
                .push_bind(to_sql(now))
        );
        Ok(!told.is_empty())
    }

    /// Whether a client wants to hear of logouts.
    async fn listens(&mut self, client: &str) -> Result<bool, StoreError> {
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

/// How many are told to each client at this moment, and how many may be: a slow client does not take all the places there are.
#[derive(Debug, Clone)]
pub struct ClientSlots {
    most: usize,
    inside: BTreeMap<ClientId, usize>,
}

impl ClientSlots {
    /// Room for so many of each client, with nothing in it.
    #[must_use]
    pub fn with_limit(most: usize) -> ClientSlots {
        ClientSlots { most, inside: BTreeMap::new() }
    }

    /// Takes a place of this client; false if there is none.
    pub fn try_acquire(&mut self, client: &ClientId) -> bool {
        let inside = self.inside.entry(client.clone()).or_default();
        let enters = *inside < self.most;
        *inside += usize::from(enters);
        enters
    }

    /// Gives a place of this client back.
    pub fn release(&mut self, client: &ClientId) {
        if let Some(inside) = self.inside.get_mut(client) {
            *inside = inside.saturating_sub(1);
        }
        self.inside.retain(|_, inside| *inside > 0);
    }

    /// The clients that have no place left.
    fn full(&self) -> impl Iterator<Item = &ClientId> {
        self.inside.iter().filter(|(_, inside)| **inside >= self.most).map(|(client, _)| client)
    }
}
