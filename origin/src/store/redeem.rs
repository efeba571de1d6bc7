//! Taking what may be taken once: codes, device codes, refresh tokens. It happens in the transaction that issues the token, so
//! that of any number of requests at one moment one gets it, and what was given is on record as given.

use std::collections::{HashMap, HashSet};

use super::{Either, StoreError, Tx, from_sql, portions, repeated, to_sql};
use crate::domain::{AccessToken, GrantId, SecretHash, TokenDraft};

/// A token to be issued for something that may be taken once. What its request had to fit is checked before.
#[derive(Debug, Clone)]
pub struct Redeem {
    /// What is taken.
    pub claim: Claim,
    /// The grant that it stands for.
    pub grant: GrantId,
    /// The token.
    pub draft: TokenDraft,
    /// When, Unix seconds.
    pub at: u64,
}

/// What is taken.
#[derive(Debug, Clone)]
pub enum Claim {
    /// An authorization code.
    Code {
        /// Its hash.
        hash: SecretHash,
        /// The grant's first refresh token.
        refresh: Option<NewRefresh>,
    },
    /// A device code whose user agreed.
    Device {
        /// Its hash.
        hash: SecretHash,
        /// The grant's first refresh token.
        refresh: Option<NewRefresh>,
    },
    /// A refresh token.
    Refresh {
        /// Its hash.
        hash: SecretHash,
        /// What follows it.
        successor: NewRefresh,
        /// For how many seconds it gives that again.
        grace: u64,
    },
    /// Nothing: the grant must stand, that is all.
    Standing,
}

/// A refresh token that is to be.
#[derive(Debug, Clone)]
pub struct NewRefresh {
    /// Its hash.
    pub hash: SecretHash,
    /// The Unix second from which it is bad, unless it was used by then.
    pub expires_at: u64,
    /// The thumbprint of the key that it is bound to.
    pub jkt: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// The token is on record, and so is what else was given with it.
    Issued(Box<AccessToken>),
    /// It was taken before. The grant is revoked now.
    Replayed,
    /// The grant was revoked or is over.
    Ended,
}

/// What a claim came to, before the token is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Replayed,
    Ended,
    /// The key that was to sign is revoked. Nothing was taken: whoever asked may ask again with another key.
    KeyRevoked,
}

/// What may be shown once.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    /// The hash of its id and of who made it.
    pub hash: SecretHash,
    /// The Unix second from which it would be refused anyway.
    pub expires_at: u64,
}

impl Tx {
    /// Takes what is claimed; a verdict for each, in order.
    pub(super) async fn claim(
        &mut self,
        redeems: &[Redeem],
        revoked: &HashSet<String>,
    ) -> Result<Vec<Verdict>, StoreError> {
        let Some(first) = redeems.first() else {
            return Ok(Vec::new());
        };
        // Wishes of one moment; a second more or less decides nothing.
        let at = first.at;
        let good = self.good_grants(redeems, at).await?;
        let (mut codes, mut devices, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
        let has_key = |redeem: &Redeem| !revoked.contains(&redeem.draft.key_id);
        for redeem in redeems.iter().filter(|redeem| good.contains(redeem.grant.as_str()) && has_key(redeem)) {
            match &redeem.claim {
                Claim::Code { hash, .. } => codes.push(*hash),
                Claim::Device { hash, .. } => devices.push(*hash),
                Claim::Refresh { hash, .. } => tokens.push(*hash),
                Claim::Standing => {}
            }
        }
        let mut taken = self.take("codes SET redeemed_at", &codes, at).await?;
        taken.extend(self.take("device_codes SET redeemed_at", &devices, at).await?);
        taken.extend(self.take("refresh_tokens SET used_at", &tokens, at).await?);

        let mut verdicts = Vec::with_capacity(redeems.len());
        let mut new: Vec<(GrantId, NewRefresh)> = Vec::new();
        let mut doubtful: Vec<usize> = Vec::new();
        for (index, redeem) in redeems.iter().enumerate() {
            if !good.contains(redeem.grant.as_str()) {
                verdicts.push(Verdict::Ended);
                continue;
            }
            if !has_key(redeem) {
                verdicts.push(Verdict::KeyRevoked);
                continue;
            }
            let Some((hash, refresh)) = redeem.claim.parts() else {
                verdicts.push(Verdict::Good);
                continue;
            };
            if taken.remove(hash.as_bytes()) {
                new.extend(refresh.map(|refresh| (redeem.grant.clone(), refresh)));
                verdicts.push(Verdict::Good);
            } else {
                doubtful.push(index);
                verdicts.push(Verdict::Replayed);
            }
        }
        self.insert_refresh_tokens(&new).await?;
        for index in self.in_grace(redeems, &doubtful).await? {
            if let Some(verdict) = verdicts.get_mut(index) {
                *verdict = Verdict::Good;
            }
        }
        Ok(verdicts)
    }

    /// Which of the grants still give something. On PostgreSQL they stay so until this transaction ends.
    async fn good_grants(&mut self, redeems: &[Redeem], at: u64) -> Result<HashSet<String>, StoreError> {
        let mut ids: Vec<&str> = redeems.iter().map(|redeem| redeem.grant.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let lock = if matches!(self, Either::Postgres(_)) { " ORDER BY id FOR SHARE" } else { "" };
        let mut good = HashSet::new();
        for ids in portions(&ids) {
            each!(&mut *self, connection => {
                let mut query = sqlx::QueryBuilder::new("SELECT id FROM grants WHERE ended_at IS NULL AND ends_at > ");
                query.push_bind(to_sql(at)).push(" AND id IN (");
                let mut list = query.separated(", ");
                for id in repeated(ids) {
                    list.push_bind(*id);
                }
                good.extend(query.push(")").push(lock).build_query_scalar::<String>().fetch_all(connection).await?);
            });
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
        for hashes in portions(hashes) {
            let rows: Vec<Vec<u8>> = each!(&mut *self, connection => {
                let mut query = sqlx::QueryBuilder::new("UPDATE ");
                query.push(table_and_column).push(" = ").push_bind(to_sql(at)).push(" WHERE ").push(column);
                query.push(" IS NULL AND hash IN (");
                let mut list = query.separated(", ");
                for hash in repeated(hashes) {
                    list.push_bind(hash.as_bytes().to_vec());
                }
                query.push(") RETURNING hash").build_query_scalar().fetch_all(connection).await?
            });
            for row in rows {
                taken.insert(super::rows::fixed(&row, "codes")?);
            }
        }
        Ok(taken)
    }

    async fn insert_refresh_tokens(&mut self, new: &[(GrantId, NewRefresh)]) -> Result<(), StoreError> {
        insert_rows!(self, "INSERT INTO refresh_tokens (hash, grant_id, expires_at, jkt)", "", new, |binder, row| {
            let (grant, refresh) = row;
            binder
                .push_bind(refresh.hash.as_bytes().to_vec())
                .push_bind(grant.as_str())
                .push_bind(to_sql(refresh.expires_at))
                .push_bind(&refresh.jkt);
        });
        Ok(())
    }

    /// Those of the refresh tokens used before that may give their successor again: it is not long ago, and the successor was
    /// not used itself.
    async fn in_grace(&mut self, redeems: &[Redeem], doubtful: &[usize]) -> Result<Vec<usize>, StoreError> {
        let mut asked: Vec<(usize, SecretHash, SecretHash, u64, u64)> = Vec::new();
        for index in doubtful {
            if let Some(Redeem { claim: Claim::Refresh { hash, successor, grace }, at, .. }) = redeems.get(*index) {
                asked.push((*index, *hash, successor.hash, *grace, *at));
            }
        }
        let hashes: Vec<SecretHash> = asked.iter().flat_map(|(_, hash, successor, ..)| [*hash, *successor]).collect();
        let used = self.used_at(&hashes).await?;
        let fits = |(index, hash, successor, grace, at): (usize, SecretHash, SecretHash, u64, u64)| {
            let recently = used.get(hash.as_bytes()).copied().flatten().is_some_and(|used| at <= used + grace);
            let unused = used.get(successor.as_bytes()).is_some_and(Option::is_none);
            (recently && unused).then_some(index)
        };
        Ok(asked.into_iter().filter_map(fits).collect())
    }

    /// When each of these refresh tokens was used, if it is on record.
    async fn used_at(&mut self, hashes: &[SecretHash]) -> Result<HashMap<[u8; 32], Option<u64>>, StoreError> {
        let mut used = HashMap::new();
        for hashes in portions(hashes) {
            let rows: Vec<(Vec<u8>, Option<i64>)> = each!(&mut *self, connection => {
                let mut query = sqlx::QueryBuilder::new("SELECT hash, used_at FROM refresh_tokens WHERE hash IN (");
                let mut list = query.separated(", ");
                for hash in repeated(hashes) {
                    list.push_bind(hash.as_bytes().to_vec());
                }
                query.push(")").build_query_as().fetch_all(connection).await?
            });
            for (hash, at) in rows {
                used.insert(super::rows::fixed(&hash, "refresh_tokens")?, at.map(from_sql));
            }
        }
        Ok(used)
    }

    /// Remembers what is shown; whether each was not shown before.
    pub(super) async fn see(&mut self, sights: &[Sight]) -> Result<Vec<bool>, StoreError> {
        let mut news: HashSet<Vec<u8>> = HashSet::new();
        for sights in portions(sights) {
            each!(&mut *self, connection => {
                let mut query = insertion!("INSERT INTO seen (hash, expires_at)", sights, |row, sight| row
                    .push_bind(sight.hash.as_bytes().to_vec())
                    .push_bind(to_sql(sight.expires_at)));
                query.push(" ON CONFLICT DO NOTHING RETURNING hash");
                news.extend(query.build_query_scalar::<Vec<u8>>().fetch_all(connection).await?);
            });
        }
        Ok(sights.iter().map(|sight| news.remove(sight.hash.as_bytes().as_slice())).collect())
    }
}

impl Claim {
    /// The hash of what is taken, and the refresh token that comes of it.
    fn parts(&self) -> Option<(SecretHash, Option<NewRefresh>)> {
        match self {
            Claim::Code { hash, refresh } | Claim::Device { hash, refresh } => Some((*hash, refresh.clone())),
            Claim::Refresh { hash, successor, .. } => Some((*hash, Some(successor.clone()))),
            Claim::Standing => None,
        }
    }

    /// What a reuse is recorded as.
    pub(super) const fn reuse(&self) -> &'static str {
        match self {
            Claim::Code { .. } => "an authorization code was used twice",
            Claim::Device { .. } => "a device code was used twice",
            Claim::Refresh { .. } => "an old refresh token was used",
            Claim::Standing => "the grant was used twice",
        }
    }
}
