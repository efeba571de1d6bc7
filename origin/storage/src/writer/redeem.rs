//! Taking what may be taken once: codes, device codes, refresh tokens. It happens in the transaction that issues the token, so
//! that of any number of requests at one moment one gets it, and what was given is on record as given.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, SqliteConnection};
use tollgate_model::{AccessToken, GrantId, RefreshState, RefreshUse, SecretHash};

use crate::database::bulk::{column, padded_with_last, statement_chunks};
use crate::database::bulk_statement::{BulkStatement, PaddedValues};
use crate::database::values::{from_sql, to_sql};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::oauth::grants::{late_retries_to_sql, refresh_state};
use crate::writer::batch::IssueRequest;
use crate::writer::issuing::IssuancePreconditions;

/// A token to be issued for something that may be taken once. What its request had to fit is checked before.
#[derive(Debug, Clone)]
pub struct RedeemRequest {
    /// What is taken.
    pub credential: RedeemCredential,
    /// The grant that it stands for.
    pub grant: GrantId,
    /// The token.
    pub issue: IssueRequest,
    /// When, Unix seconds.
    pub at: u64,
}

/// What is taken.
#[derive(Debug, Clone)]
pub enum RedeemCredential {
    /// An authorization code.
    Code {
        /// Its hash.
        hash: SecretHash,
        /// The grant's first refresh token.
        refresh: Option<NewRefreshToken>,
    },
    /// A device code whose user agreed.
    DeviceCode {
        /// Its hash.
        hash: SecretHash,
        /// The grant's first refresh token.
        refresh: Option<NewRefreshToken>,
    },
    /// A refresh token.
    RefreshToken {
        /// Its hash.
        hash: SecretHash,
        /// What follows it.
        successor: NewRefreshToken,
        /// For how many seconds it gives that again.
        grace: u64,
    },
    /// Nothing: the grant must stand, that is all.
    ActiveGrant,
}

/// A refresh token that is to be.
#[derive(Debug, Clone)]
pub struct NewRefreshToken {
    /// Its hash.
    pub hash: SecretHash,
    /// The Unix second from which it is bad, unless it was used by then.
    pub expires_at: u64,
    /// The thumbprint of the key that it is bound to.
    pub jkt: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedeemOutcome<T = Box<AccessToken>> {
    /// The token is on record, and so is what else was given with it.
    Issued(T),
    /// It was taken before. The grant is revoked now.
    Replayed,
    /// The grant was revoked or is over.
    Ended,
    /// The refresh token lay unused for too long.
    Expired,
}

impl<T> RedeemOutcome<T> {
    /// The same, with what becomes of the token.
    pub(crate) fn map<U>(self, issued: impl FnOnce(T) -> U) -> RedeemOutcome<U> {
        match self {
            RedeemOutcome::Issued(token) => RedeemOutcome::Issued(issued(token)),
            RedeemOutcome::Replayed => RedeemOutcome::Replayed,
            RedeemOutcome::Ended => RedeemOutcome::Ended,
            RedeemOutcome::Expired => RedeemOutcome::Expired,
        }
    }
}

/// What a claim came to, before the token is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Replayed,
    Ended,
    Expired,
    /// Something bars the token. Nothing was taken: whoever asked may ask again, with another key or by what holds now.
    Barred,
}

/// What may be shown once.
#[derive(Debug, Clone, Copy)]
pub struct ReplayKey {
    /// The hash of its id and of who made it.
    pub hash: SecretHash,
    /// The Unix second from which it would be refused anyway.
    pub expires_at: u64,
}

/// A grant that gives something, while a batch takes of it.
struct GoodGrant<'a> {
    /// How far its refresh tokens have come, if it has any, and the Unix second from which the current one is bad.
    state: Option<(RefreshState, u64)>,
    /// The refresh token that it comes to here.
    next: Option<&'a NewRefreshToken>,
}

impl<'a> GoodGrant<'a> {
    /// Gives what is claimed, if that may be. `taken` are the codes that this batch takes.
    fn give(&mut self, redeem: &'a RedeemRequest, taken: &mut HashSet<[u8; 32]>) -> Verdict {
        match &redeem.credential {
            RedeemCredential::ActiveGrant => Verdict::Good,
            RedeemCredential::Code { hash, refresh } | RedeemCredential::DeviceCode { hash, refresh } => {
                if !taken.remove(hash.as_bytes()) {
                    return Verdict::Replayed;
                }
                if let Some(first) = refresh {
                    self.rotate(RefreshState::first(first.hash), first);
                }
                Verdict::Good
            }
            RedeemCredential::RefreshToken { hash, successor, grace } => {
                self.refresh(hash, successor, *grace, redeem.at)
            }
        }
    }

    /// The first of a batch to show the current refresh token ends it. Whoever shows the same after that, here or later, gets what the
    /// first got, or has the grant revoked.
    fn refresh(&mut self, hash: &SecretHash, successor: &'a NewRefreshToken, grace: u64, at: u64) -> Verdict {
        let Some((state, expires_at)) = self.state else {
            return Verdict::Ended;
        };
        match state.use_token(*hash, successor.hash, grace, at) {
            RefreshUse::Rotated(_) | RefreshUse::RetriedLate(_) if at >= expires_at => Verdict::Expired,
            RefreshUse::Rotated(next) | RefreshUse::RetriedLate(next) => {
                self.rotate(next, successor);
                Verdict::Good
            }
            RefreshUse::Repeated => Verdict::Good,
            RefreshUse::Reused => Verdict::Replayed,
        }
    }

    fn rotate(&mut self, state: RefreshState, token: &'a NewRefreshToken) {
        self.state = Some((state, token.expires_at));
        self.next = Some(token);
    }
}

/// A grant's id, and the refresh token to which it goes on.
pub(crate) type Rotation<'a> = (&'a str, RefreshState, &'a NewRefreshToken);

/// A grant's id, its current refresh token and when that ends, the one before, when it was refreshed, and how often late.
type StateRow = (String, Option<Vec<u8>>, Option<i64>, Option<Vec<u8>>, Option<i64>, i64);

/// SQL condition: the user of a row of `grants` is active. A user's grants end in the transaction that disables them, so it fails only for
/// grants that an older version left.
macro_rules! of_active_user {
    () => {
        "EXISTS (SELECT 1 FROM users WHERE users.id = grants.user_id AND users.disabled_at IS NULL)"
    };
}

impl Tx {
    /// Takes what is claimed; a verdict for each, in order.
    pub(crate) async fn claim(
        &mut self,
        redeems: &[RedeemRequest],
        bars: &IssuancePreconditions,
    ) -> Result<Vec<Verdict>, StoreError> {
        let Some(first) = redeems.first() else {
            return Ok(Vec::new());
        };
        // WriteBatch of one moment; a second more or less decides nothing.
        let at = first.at;
        let mut good = self.good_grants(redeems, at).await?;
        let (mut codes, mut devices) = (Vec::new(), Vec::new());
        let may_issue = |redeem: &&RedeemRequest| bars.check(&redeem.issue).is_ok();
        for redeem in redeems.iter().filter(|redeem| good.contains_key(redeem.grant.as_str())).filter(may_issue) {
            match &redeem.credential {
                RedeemCredential::Code { hash, .. } => codes.push(*hash),
                RedeemCredential::DeviceCode { hash, .. } => devices.push(*hash),
                RedeemCredential::RefreshToken { .. } | RedeemCredential::ActiveGrant => {}
            }
        }
        let mut taken = self.take("codes SET redeemed_at", &codes, at).await?;
        taken.extend(self.take("device_codes SET redeemed_at", &devices, at).await?);

        let mut verdicts = Vec::with_capacity(redeems.len());
        for redeem in redeems {
            verdicts.push(match good.get_mut(redeem.grant.as_str()) {
                None => Verdict::Ended,
                Some(_) if !may_issue(&redeem) => Verdict::Barred,
                Some(grant) => grant.give(redeem, &mut taken),
            });
        }
        let rotations = good.iter().filter_map(|(id, grant)| Some((id.as_str(), grant.state?.0, grant.next?)));
        let rotations: Vec<Rotation> = rotations.collect();
        for rotations in statement_chunks(&rotations) {
            with_connection!(&mut *self, connection => connection.rotate_refresh_tokens(rotations, None).await?);
        }
        Ok(verdicts)
    }

    /// Those of the grants that still give something: they stand, and their users are active. On PostgreSQL they stay so until this
    /// transaction ends, and nobody else refreshes by them: whoever comes to that takes all locks here, each at once as strong as it needs
    /// and all in one order.
    async fn good_grants<'a>(
        &mut self,
        redeems: &'a [RedeemRequest],
        at: u64,
    ) -> Result<HashMap<String, GoodGrant<'a>>, StoreError> {
        let mut ids: Vec<&str> = redeems.iter().map(|redeem| redeem.grant.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let only_read = redeems.iter().all(|redeem| matches!(redeem.credential, RedeemCredential::ActiveGrant));
        let lock = match self {
            Either::Sqlite(_) => "",
            Either::Postgres(_) if only_read => " ORDER BY id COLLATE \"C\" FOR SHARE",
            Either::Postgres(_) => " ORDER BY id COLLATE \"C\" FOR NO KEY UPDATE",
        };
        let mut good = HashMap::with_capacity(ids.len());
        for ids in statement_chunks(&ids) {
            let rows: Vec<StateRow> = with_connection!(&mut *self, connection => {
                let mut query = sqlx::QueryBuilder::new(
                    "SELECT id, refresh_hash, refresh_expires_at, previous_hash, refreshed_at, late_retries FROM grants
                     WHERE ended_at IS NULL AND ends_at > ",
                );
                query.push_bind(to_sql(at)).push(concat!(" AND ", of_active_user!(), " AND id IN ("));
                let mut list = query.separated(", ");
                for id in padded_with_last(ids) {
                    list.push_bind(*id);
                }
                query.push(")").push(lock).build_query_as().fetch_all(connection).await?
            });
            for (id, current, expires_at, previous, refreshed_at, late_retries) in rows {
                let state = |(current, expires_at): (Vec<u8>, i64)| {
                    let state = refresh_state(&current, previous.as_deref(), refreshed_at, late_retries)?;
                    Ok::<_, StoreError>((state, from_sql(expires_at)))
                };
                good.insert(id, GoodGrant { state: current.zip(expires_at).map(state).transpose()?, next: None });
            }
        }
        Ok(good)
    }

    /// Marks rows as taken that are not yet; the hashes of those that were not.
    async fn take(
        &mut self,
        table_and_column: &'static str,
        hashes: &[SecretHash],
        at: u64,
    ) -> Result<HashSet<[u8; 32]>, StoreError> {
        let column = table_and_column.rsplit(' ').next().unwrap_or_default();
        let mut taken = HashSet::new();
        for hashes in statement_chunks(hashes) {
            let rows: Vec<Vec<u8>> = with_connection!(&mut *self, connection => {
                let mut query = sqlx::QueryBuilder::new("UPDATE ");
                query.push(table_and_column).push(" = ").push_bind(to_sql(at)).push(" WHERE ").push(column);
                query.push(" IS NULL AND hash IN (");
                let mut list = query.separated(", ");
                for hash in padded_with_last(hashes) {
                    list.push_bind(hash.as_bytes().to_vec());
                }
                query.push(") RETURNING hash").build_query_scalar().fetch_all(connection).await?
            });
            for row in rows {
                taken.insert(crate::database::values::fixed_bytes(&row, "codes")?);
            }
        }
        Ok(taken)
    }

    /// Remembers what is shown; whether each was not shown before.
    pub(crate) async fn see(&mut self, keys: &[ReplayKey]) -> Result<Vec<bool>, StoreError> {
        let mut news: HashSet<Vec<u8>> = HashSet::new();
        for keys in statement_chunks(keys) {
            with_connection!(&mut *self, connection => {
                let mut query = build_insert!("INSERT INTO seen (hash, expires_at)", keys, |row, key| row
                    .push_bind(key.hash.as_bytes().to_vec())
                    .push_bind(to_sql(key.expires_at)));
                query.push(" ON CONFLICT DO NOTHING RETURNING hash");
                news.extend(query.build_query_scalar::<Vec<u8>>().fetch_all(connection).await?);
            });
        }
        Ok(keys.iter().map(|key| news.remove(key.hash.as_bytes().as_slice())).collect())
    }
}

/// Writes how far the refresh tokens of grants have come.
pub(crate) trait RotateRefreshTokens {
    /// Writes it of as many grants as a statement may be about, and none of them twice; of how many it could be written. Unless they are
    /// this transaction's, see [`Tx::good_grants`], they must stand at the Unix second `current_at`, and go on from their current refresh
    /// token, which must not be too old then; then the state's late retries are those that follow from what is stored.
    async fn rotate_refresh_tokens(
        &mut self,
        grants: &[Rotation<'_>],
        current_at: Option<u64>,
    ) -> Result<u64, StoreError>;
}

impl RotateRefreshTokens for SqliteConnection {
    async fn rotate_refresh_tokens(
        &mut self,
        grants: &[Rotation<'_>],
        current_at: Option<u64>,
    ) -> Result<u64, StoreError> {
        static UPDATE: BulkStatement = BulkStatement::new(
            "UPDATE grants SET refresh_hash = column2, previous_hash = column3, refreshed_at = column4, refresh_expires_at = column5,
             refresh_jkt = column6, late_retries = CASE WHEN current.at IS NULL THEN column7 WHEN late_retries > 0 THEN -1 ELSE 0 END
             FROM (SELECT ? AS at) AS current,",
            7,
            concat!(
                "AS given WHERE grants.id = column1 AND (current.at IS NULL
                OR refresh_hash = column3 AND refresh_expires_at > current.at AND ended_at IS NULL AND ends_at > current.at AND ",
                of_active_user!(),
                ")"
            ),
        );
        let mut given = PaddedValues::new();
        given.bind(current_at.map(to_sql));
        for (id, state, next) in grants {
            given.row().bind(*id).bind(state.current.as_bytes().to_vec());
            given.bind(state.previous.map(|hash| hash.as_bytes().to_vec())).bind(state.refreshed_at.map(to_sql));
            given.bind(to_sql(next.expires_at)).bind(next.jkt.as_deref()).bind(late_retries_to_sql(state.late_retries));
        }
        Ok(UPDATE.query(grants.len(), given)?.execute(self).await?.rows_affected())
    }
}

impl RotateRefreshTokens for PgConnection {
    /// The locks are taken in the order of [`Tx::good_grants`]; whoever waited for one finds what the other left.
    async fn rotate_refresh_tokens(
        &mut self,
        grants: &[Rotation<'_>],
        current_at: Option<u64>,
    ) -> Result<u64, StoreError> {
        let update = sqlx::query(concat!(
            "WITH locked AS MATERIALIZED (SELECT grants.id FROM grants JOIN UNNEST($1::text[]) AS given (id) USING (id)
                ORDER BY grants.id COLLATE \"C\" FOR NO KEY UPDATE OF grants)
             UPDATE grants SET refresh_hash = current, previous_hash = previous, refreshed_at = at,
                refresh_expires_at = expires_at, refresh_jkt = jkt,
                late_retries = CASE WHEN $7::bigint IS NULL THEN late WHEN late_retries > 0 THEN -1 ELSE 0 END
             FROM UNNEST($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::text[], $8::bigint[])
                AS given (grant_id, current, previous, at, expires_at, jkt, late)
             WHERE (SELECT COUNT(*) FROM locked) > 0 AND grants.id = grant_id AND ($7::bigint IS NULL
                OR refresh_hash = previous AND refresh_expires_at > $7 AND ended_at IS NULL AND ends_at > $7 AND ",
            of_active_user!(),
            ")"
        ));
        let update = update
            .bind(column(grants, |(id, _, _)| *id))
            .bind(column(grants, |(_, state, _)| state.current.as_bytes().to_vec()))
            .bind(column(grants, |(_, state, _)| state.previous.map(|hash| hash.as_bytes().to_vec())))
            .bind(column(grants, |(_, state, _)| state.refreshed_at.map(to_sql)))
            .bind(column(grants, |(_, _, next)| to_sql(next.expires_at)))
            .bind(column(grants, |(_, _, next)| next.jkt.as_deref()))
            .bind(current_at.map(to_sql))
            .bind(column(grants, |(_, state, _)| late_retries_to_sql(state.late_retries)));
        Ok(update.execute(self).await?.rows_affected())
    }
}

impl RedeemCredential {
    /// What a reuse is recorded as.
    pub(crate) const fn reuse(&self) -> &'static str {
        match self {
            RedeemCredential::Code { .. } => "an authorization code was used twice",
            RedeemCredential::DeviceCode { .. } => "a device code was used twice",
            RedeemCredential::RefreshToken { .. } => "an old refresh token was used",
            RedeemCredential::ActiveGrant => "the grant was used twice",
        }
    }
}
