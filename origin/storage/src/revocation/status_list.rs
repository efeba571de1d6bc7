//! The data of status lists: which numbers recorded tokens have, and which of the tokens are
//! revoked, by any kind of revocation.

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};

use tollgate_core::{RevocationId, RevocationKind, RevokedBefore};

use crate::database::Tx;
use crate::database::values::{fixed_bytes, from_sql, revocation_kind, to_sql};
use crate::error::StoreError;
use crate::store::Store;

/// Token records read per statement.
const TOKENS_PER_READ: u64 = 8192;

/// The numbers of revoked tokens, read in one transaction.
#[derive(Debug)]
pub struct RevokedNumbers {
    /// Sequence of the last delta.
    pub sequence: u64,
    /// Ascending.
    pub numbers: Vec<u64>,
}

/// The fields of a token by which a group revocation may apply to it.
#[derive(sqlx_macros::FromRow)]
struct TokenTargets {
    number: i64,
    id: Vec<u8>,
    client_id: String,
    subject: String,
    session: Option<String>,
    key_id: String,
    issued_at: i64,
}

impl Store {
    /// The indexes of the status lists, of `size` tokens each, that contain recorded tokens; an
    /// empty range if there are none.
    pub async fn get_status_list_range(&self, size: u64) -> Result<RangeInclusive<u64>, StoreError> {
        let (first, last) = with_connection!(&mut self.reader().await?, connection => {
            sqlx::query_as::<_, (Option<i64>, Option<i64>)>("SELECT min(number), max(number) FROM tokens")
                .fetch_one(connection)
                .await?
        });
        Ok(match (first, last) {
            (Some(first), Some(last)) => from_sql(first) / size..=from_sql(last) / size,
            #[expect(clippy::reversed_empty_ranges, reason = "there is no list")]
            _ => 1..=0,
        })
    }

    /// The numbers in this range whose tokens are revoked.
    ///
    /// # Errors
    /// When the database fails, or has no issuer yet.
    pub async fn list_revoked_numbers(&self, issuer: &str, numbers: Range<u64>) -> Result<RevokedNumbers, StoreError> {
        let mut tx = self.begin_read().await?;
        tx.allow_long_statements().await?;
        let sequence = tx.head_sequence().await?;
        let mut revoked = tx.individually_revoked(&numbers).await?;
        let groups = tx.groups(issuer).await?;
        if !groups.marks.is_empty() {
            revoked.extend(tx.revoked_in_groups(groups, numbers).await?);
            revoked.sort_unstable();
            revoked.dedup();
        }
        Ok(RevokedNumbers { sequence, numbers: revoked })
    }
}

impl Tx {
    async fn head_sequence(&mut self) -> Result<u64, StoreError> {
        let sequence: Option<i64> = with_connection!(&mut *self, connection => {
            sqlx::query_scalar("SELECT sequence FROM feed").fetch_optional(connection).await?
        });
        sequence.map(from_sql).ok_or(StoreError::NoIssuer)
    }

    async fn individually_revoked(&mut self, numbers: &Range<u64>) -> Result<Vec<u64>, StoreError> {
        // The first two of the 18 bytes of a jti are not part of the revocation's id: see
        // `EpochTokenId::revocation_id`.
        let revoked: Vec<i64> = with_connection!(&mut *self, connection => {
            sqlx::query_scalar(
                "SELECT number FROM tokens WHERE number >= $1 AND number < $2
                 AND EXISTS (SELECT 1 FROM marks WHERE kind = $3 AND marks.id = substr(tokens.id, 3) AND mark > 0)
                 ORDER BY number",
            )
            .bind(to_sql(numbers.start))
            .bind(to_sql(numbers.end))
            .bind(i64::from(RevocationKind::Token.to_byte()))
            .fetch_all(connection)
            .await?
        });
        Ok(revoked.into_iter().map(from_sql).collect())
    }

    /// The revocations that apply to more than one token.
    async fn groups<'a>(&mut self, issuer: &'a str) -> Result<Groups<'a>, StoreError> {
        let rows: Vec<(i64, Vec<u8>, i64)> = with_connection!(&mut *self, connection => {
            sqlx::query_as("SELECT kind, id, mark FROM marks WHERE kind <> $1 AND mark > 0")
                .bind(i64::from(RevocationKind::Token.to_byte()))
                .fetch_all(connection)
                .await?
        });
        let mut marks = HashMap::with_capacity(rows.len());
        for (kind, id, mark) in rows {
            let kind = revocation_kind(kind, "marks")?;
            marks.insert((kind, RevocationId::from_bytes(fixed_bytes(&id, "marks")?)), RevokedBefore(from_sql(mark)));
        }
        Ok(Groups { issuer, marks, names: HashMap::new() })
    }

    async fn revoked_in_groups(&mut self, mut groups: Groups<'_>, numbers: Range<u64>) -> Result<Vec<u64>, StoreError> {
        let (mut revoked, mut from) = (Vec::new(), numbers.start);
        loop {
            let page: Vec<TokenTargets> = with_connection!(&mut *self, connection => {
                sqlx::query_as(
                    "SELECT number, id, client_id, subject, session, key_id, issued_at FROM tokens
                     WHERE number >= $1 AND number < $2 ORDER BY number LIMIT $3",
                )
                .bind(to_sql(from))
                .bind(to_sql(numbers.end))
                .bind(to_sql(TOKENS_PER_READ))
                .fetch_all(connection)
                .await?
            });
            let Some(last) = page.last() else {
                return Ok(revoked);
            };
            from = from_sql(last.number).saturating_add(1);
            revoked.extend(page.iter().filter(|token| groups.apply_to(token)).map(|token| from_sql(token.number)));
        }
    }
}

struct Groups<'a> {
    issuer: &'a str,
    marks: HashMap<(RevocationKind, RevocationId), RevokedBefore>,
    /// Marks of the names looked up so far: tokens share most names, and the id of a name is a
    /// hash.
    names: HashMap<(RevocationKind, String), RevokedBefore>,
}

impl Groups<'_> {
    fn apply_to(&mut self, token: &TokenTargets) -> bool {
        let epoch = token.id.first_chunk().map_or(0, |epoch| u64::from(u32::from_be_bytes(*epoch)));
        let everything = self
            .marks
            .get(&(RevocationKind::Everything, RevocationId::EVERYTHING))
            .copied()
            .unwrap_or(RevokedBefore::NOT_REVOKED);
        everything.applies_to(from_sql(token.issued_at))
            || token
                .session
                .as_deref()
                .is_some_and(|session| self.mark(RevocationKind::Session, session).applies_to(epoch))
            || self.mark(RevocationKind::Subject, &token.subject).applies_to(epoch)
            || self.mark(RevocationKind::Client, &token.client_id).applies_to(epoch)
            || self.mark(RevocationKind::Key, &token.key_id).applies_to(epoch)
    }

    fn mark(&mut self, kind: RevocationKind, name: &str) -> RevokedBefore {
        let key = (kind, name.to_owned());
        *self.names.entry(key).or_insert_with(|| {
            let id = RevocationId::new(kind, self.issuer, name);
            self.marks.get(&(kind, id)).copied().unwrap_or(RevokedBefore::NOT_REVOKED)
        })
    }
}
