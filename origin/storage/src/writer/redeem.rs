//! Redeeming authorization codes, device codes and refresh tokens.
//!
//! Never: two requests redeem the same credential. It is redeemed in the transaction that records
//! the access token, so of any number of concurrent requests one succeeds, and what was redeemed is
//! recorded together with what it was redeemed for.

use std::collections::{HashMap, HashSet};

use tollgate_model::{RefreshState, RefreshUse, SecretHash};

use crate::database::bulk::{padded_with_last, statement_chunks};
use crate::database::values::{fixed_bytes, from_sql, to_sql};
use crate::database::{Either, Tx};
use crate::error::StoreError;
use crate::oauth::grants::{is_user_active_sql, refresh_state};
use crate::writer::preconditions::IssuancePreconditions;
use crate::writer::refresh_update::{RefreshUpdate, WriteRefreshUpdates};
use crate::writer::requests::{NewRefreshToken, RedeemCredential, RedeemRequest};

/// Verdict on a credential, before the access token is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Redeemed,
    /// As `Redeemed`, and the refresh token stays the current one.
    Kept,
    Replayed,
    Ended,
    Expired,
    /// A precondition of issuing failed. Nothing was redeemed: the caller can retry, with another
    /// key or after deciding again.
    NotIssuable,
}

/// An active grant while a batch redeems its credentials.
struct ActiveGrant<'a> {
    /// State of its refresh tokens, if it has any, and the Unix second at which the current one
    /// expires.
    state: Option<(RefreshState, u64)>,
    /// Expiry and key of the current refresh token, if this batch changes the state.
    next: Option<&'a NewRefreshToken>,
}

impl<'a> ActiveGrant<'a> {
    /// Judges a request. `redeemed` are the codes that this batch has marked as redeemed; each
    /// counts for one request.
    fn redeem(&mut self, redeem: &'a RedeemRequest, redeemed: &mut HashSet<[u8; 32]>) -> Verdict {
        match &redeem.credential {
            RedeemCredential::ActiveGrant => Verdict::Redeemed,
            RedeemCredential::Code { hash, refresh } | RedeemCredential::DeviceCode { hash, refresh } => {
                if !redeemed.remove(hash.as_bytes()) {
                    return Verdict::Replayed;
                }
                if let Some(first) = refresh {
                    self.set_state(RefreshState::first(first.hash), first);
                }
                Verdict::Redeemed
            }
            RedeemCredential::RefreshToken { hash, successor, rotates, grace } => {
                let Some((state, expires_at)) = self.state else {
                    return Verdict::Ended;
                };
                let usage = match *rotates {
                    true => state.use_token(*hash, successor.hash, *grace, redeem.at),
                    false => state.use_without_rotation(*hash, successor.hash, *grace, redeem.at),
                };
                self.refresh(usage, successor, redeem.at >= expires_at)
            }
        }
    }

    /// The first request of a batch that presents the current refresh token rotates it, if it is
    /// rotated. Any later one that presents the same token, in this batch or another, gets the same
    /// successor within the reuse grace, and has the grant revoked after it.
    fn refresh(&mut self, usage: RefreshUse, successor: &'a NewRefreshToken, is_expired: bool) -> Verdict {
        match usage {
            RefreshUse::Rotated(_) | RefreshUse::RetriedLate(_) | RefreshUse::Kept(_) if is_expired => Verdict::Expired,
            RefreshUse::Kept(state) => {
                self.set_state(state, successor);
                Verdict::Kept
            }
            RefreshUse::Rotated(next) | RefreshUse::RetriedLate(next) => {
                self.set_state(next, successor);
                Verdict::Redeemed
            }
            RefreshUse::Repeated => Verdict::Redeemed,
            RefreshUse::Reused => Verdict::Replayed,
        }
    }

    fn set_state(&mut self, state: RefreshState, token: &'a NewRefreshToken) {
        self.state = Some((state, token.expires_at));
        self.next = Some(token);
    }
}

/// A grant's id, its current refresh token and when that expires, the previous one, when it was
/// rotated, and the number of late retries.
type StateRow = (String, Option<Vec<u8>>, Option<i64>, Option<Vec<u8>>, Option<i64>, i64);

impl Tx {
    /// Redeems credentials, and returns a verdict for each, in order.
    pub(crate) async fn redeem_credentials(
        &mut self,
        redemptions: &[RedeemRequest],
        preconditions: &IssuancePreconditions,
    ) -> Result<Vec<Verdict>, StoreError> {
        let Some(first) = redemptions.first() else {
            return Ok(Vec::new());
        };
        // The requests of a batch arrived within moments; a difference of a second is irrelevant.
        let at = first.at;
        let mut grants = self.lock_active_grants(redemptions, at).await?;
        let (mut codes, mut device_codes) = (Vec::new(), Vec::new());
        let may_issue = |redeem: &&RedeemRequest| preconditions.check(&redeem.issue).is_ok();
        for redeem in redemptions.iter().filter(|redeem| grants.contains_key(redeem.grant.as_str())).filter(may_issue) {
            match &redeem.credential {
                RedeemCredential::Code { hash, .. } => codes.push(*hash),
                RedeemCredential::DeviceCode { hash, .. } => device_codes.push(*hash),
                RedeemCredential::RefreshToken { .. } | RedeemCredential::ActiveGrant => {}
            }
        }
        let mut redeemed = self.mark_redeemed("codes", &codes, at).await?;
        redeemed.extend(self.mark_redeemed("device_codes", &device_codes, at).await?);

        let mut verdicts = Vec::with_capacity(redemptions.len());
        for redeem in redemptions {
            verdicts.push(match grants.get_mut(redeem.grant.as_str()) {
                None => Verdict::Ended,
                Some(_) if !may_issue(&redeem) => Verdict::NotIssuable,
                Some(grant) => grant.redeem(redeem, &mut redeemed),
            });
        }
        let updates = grants.iter().filter_map(|(id, grant)| {
            let (state, token) = (grant.state?.0, grant.next?);
            Some(RefreshUpdate { grant_id: id.as_str(), used: None, state, token })
        });
        let updates: Vec<RefreshUpdate> = updates.collect();
        for updates in statement_chunks(&updates) {
            with_connection!(&mut *self, connection => connection.write_refresh_updates(updates, None).await?);
        }
        Ok(verdicts)
    }

    /// The grants among these that are active and whose users are active. On PostgreSQL they are
    /// locked until this transaction ends, and other refreshes of them wait: every transaction
    /// takes these locks here, in one order, and at once as strong as it needs them, so that none
    /// deadlocks.
    async fn lock_active_grants<'a>(
        &mut self,
        redemptions: &'a [RedeemRequest],
        at: u64,
    ) -> Result<HashMap<String, ActiveGrant<'a>>, StoreError> {
        let mut ids: Vec<&str> = redemptions.iter().map(|redeem| redeem.grant.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let only_reads = redemptions.iter().all(|redeem| matches!(redeem.credential, RedeemCredential::ActiveGrant));
        let lock = match self {
            Either::Sqlite(_) => "",
            Either::Postgres(_) if only_reads => " ORDER BY id COLLATE \"C\" FOR SHARE",
            Either::Postgres(_) => " ORDER BY id COLLATE \"C\" FOR NO KEY UPDATE",
        };
        let mut grants = HashMap::with_capacity(ids.len());
        for ids in statement_chunks(&ids) {
            let rows: Vec<StateRow> = with_connection!(&mut *self, connection => {
                let mut query = sqlx::QueryBuilder::new(
                    "SELECT id, refresh_hash, refresh_expires_at, previous_hash, refreshed_at, late_retries FROM grants
                     WHERE ended_at IS NULL AND ends_at > ",
                );
                query.push_bind(to_sql(at)).push(concat!(" AND ", is_user_active_sql!(), " AND id IN ("));
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
                grants.insert(id, ActiveGrant { state: current.zip(expires_at).map(state).transpose()?, next: None });
            }
        }
        Ok(grants)
    }

    /// Marks codes of a table as redeemed, and returns the hashes of those that were not redeemed
    /// before.
    async fn mark_redeemed(
        &mut self,
        table: &'static str,
        hashes: &[SecretHash],
        at: u64,
    ) -> Result<HashSet<[u8; 32]>, StoreError> {
        let mut redeemed = HashSet::new();
        for hashes in statement_chunks(hashes) {
            let rows: Vec<Vec<u8>> = with_connection!(&mut *self, connection => {
                let mut query = sqlx::QueryBuilder::new("UPDATE ");
                query.push(table).push(" SET redeemed_at = ").push_bind(to_sql(at));
                query.push(" WHERE redeemed_at IS NULL AND hash IN (");
                let mut list = query.separated(", ");
                for hash in padded_with_last(hashes) {
                    list.push_bind(hash.as_bytes().to_vec());
                }
                query.push(") RETURNING hash").build_query_scalar().fetch_all(connection).await?
            });
            for row in rows {
                redeemed.insert(fixed_bytes(&row, table)?);
            }
        }
        Ok(redeemed)
    }
}
