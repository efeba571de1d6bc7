//! The issuing epoch, and the tokens that are issued in it.
//!
//! The invariant: once an epoch is closed, no token of it or of an older one is recorded any more. Issuing reads the epoch
//! under a shared lock and records its tokens in the same transaction (on SQLite: under the one write lock); closing takes the
//! lock exclusively, so it waits for every transaction that issues, and those after it read the new epoch.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};
use tollgate_core::{EpochTokenId, RevocationId, RevocationKind};
use tollgate_model::{AccessToken, Actor, AuditAction, AuditKind, NewAuditEntry, TokenDetails, TokenDraft, TokenId};

use crate::database::Tx;
use crate::database::bulk::{column, statement_chunks};
use crate::database::bulk_statement::{BulkStatement, PaddedValues};
use crate::database::values::{fixed_bytes, from_sql, to_json, to_sql};
use crate::error::StoreError;
use crate::store::Store;
use crate::writer::batch::IssueRequest;

impl Store {
    /// Ends the epoch in which tokens are issued, and gives it: it and all before it are closed from now on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close_epoch(&self) -> Result<u32, StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        tx.commit().await?;
        Ok(closed)
    }
}

impl Tx {
    /// Ends the epoch when this transaction commits; gives it.
    pub(crate) async fn close_epoch(&mut self) -> Result<u32, StoreError> {
        let epoch = with_connection!(&mut *self, connection => {
            sqlx::query_scalar::<_, i64>("UPDATE issuing SET epoch = epoch + 1 RETURNING epoch")
                .fetch_one(connection)
                .await?
        });
        // The last one may be begun, for tokens, but never closed.
        u32::try_from(epoch).map(|epoch| epoch - 1).map_err(|_| StoreError::EpochsExhausted)
    }

    /// The epoch as of this transaction.
    pub(crate) async fn epoch(&mut self) -> Result<u32, StoreError> {
        let epoch = with_connection!(&mut *self, connection => {
            sqlx::query_scalar::<_, i64>("SELECT epoch FROM issuing").fetch_one(connection).await?
        });
        u32::try_from(epoch).map_err(|_| StoreError::EpochsExhausted)
    }

    /// Records tokens, each in an epoch that this transaction holds or has just ended or begun, but those that something bars.
    pub(crate) async fn issue(
        &mut self,
        issues: &[(&IssueRequest, u32)],
        bars: &IssuancePreconditions,
    ) -> Result<Vec<Result<Place, StoreError>>, StoreError> {
        let good = issues.iter().filter(|(issue, _)| bars.check(issue).is_ok());
        let good: Vec<NewTokenRow> =
            good.map(|(issue, epoch)| NewTokenRow::new(&issue.draft, *epoch)).collect::<Result<_, _>>()?;
        let mut numbers = self.insert_tokens(&good).await?.into_iter();
        self.note(&good.iter().filter_map(NewTokenRow::exchanged).collect::<Vec<_>>()).await?;
        let answers = issues.iter().map(|(issue, epoch)| {
            bars.check(issue)?;
            let number = numbers.next().ok_or(StoreError::AlreadyExists("token"))?;
            Ok(Place { epoch: *epoch, number })
        });
        Ok(answers.collect())
    }

    /// Records tokens; their numbers, in their order.
    async fn insert_tokens(&mut self, rows: &[NewTokenRow<'_>]) -> Result<Vec<u64>, StoreError> {
        let mut numbers = Vec::with_capacity(rows.len());
        for rows in statement_chunks(rows) {
            numbers.extend(with_connection!(&mut *self, connection => connection.record_tokens(rows, None).await?));
        }
        Ok(numbers)
    }

    /// The epoch and what bars tokens from being issued, as of this transaction, which holds the epoch.
    pub(crate) async fn bars<'a>(
        &mut self,
        drafts: impl Iterator<Item = &'a TokenDraft> + Clone,
    ) -> Result<IssuancePreconditions, StoreError> {
        if drafts.clone().next().is_none() {
            return Ok(IssuancePreconditions::default());
        }
        let revoked_sources = self.drafts_of_revoked_tokens(drafts.clone()).await?;
        let rows: Vec<(i64, i64, Option<Vec<u8>>)> = with_connection!(&mut *self, connection => {
            sqlx::query_as(
                "SELECT issuing.epoch, registrations.version, marks.id
                 FROM issuing CROSS JOIN registrations LEFT JOIN marks ON marks.kind = $1",
            )
            .bind(i64::from(RevocationKind::Key.to_byte()))
            .fetch_all(connection)
            .await?
        });
        let (epoch, registrations, _) = rows.first().ok_or(StoreError::NoIssuer)?;
        let epoch = u32::try_from(*epoch).map_err(|_| StoreError::EpochsExhausted)?;
        let registrations = from_sql(*registrations);
        let marks = rows.iter().filter_map(|(_, _, mark)| mark.as_ref());
        let marks = marks.map(|id| Ok(RevocationId::from_bytes(fixed_bytes(id, "marks")?)));
        let marks = marks.collect::<Result<HashSet<RevocationId>, StoreError>>()?;
        if marks.is_empty() {
            return Ok(IssuancePreconditions {
                epoch,
                registrations,
                revoked_sources,
                ..IssuancePreconditions::default()
            });
        }
        let issuer = self.feed().await?.issuer;
        let revoked =
            drafts.filter(|draft| marks.contains(&RevocationId::new(RevocationKind::Key, &issuer, &draft.key_id)));
        let revoked_keys = revoked.map(|draft| draft.key_id.clone()).collect();
        let has_revoked_keys = true;
        Ok(IssuancePreconditions {
            epoch,
            revoked_keys,
            revoked_sources,
            registrations,
            has_revoked_keys,
            ..IssuancePreconditions::default()
        })
    }

    /// Those of the users whom tokens are about that are not active, or not there. The others stay active until this transaction ends.
    pub(crate) async fn inactive_users(&mut self, issues: &[IssueRequest]) -> Result<HashSet<String>, StoreError> {
        let users: HashSet<&str> = issues.iter().filter_map(|issue| Some(issue.user.as_ref()?.as_str())).collect();
        let users: Vec<&str> = users.into_iter().collect();
        let active = self.hold_active_users(&users).await?;
        Ok(users.into_iter().filter(|user| !active.contains(*user)).map(str::to_owned).collect())
    }

    /// Those of the drafts that were exchanged from a token that is struck, as of this transaction.
    async fn drafts_of_revoked_tokens<'a>(
        &mut self,
        drafts: impl Iterator<Item = &'a TokenDraft>,
    ) -> Result<HashSet<Unique>, StoreError> {
        let mut revoked = HashSet::new();
        for draft in drafts.filter(|draft| !draft.details.exchanged_from.is_empty()) {
            if self.is_any_token_revoked(&draft.details.exchanged_from).await? {
                revoked.insert(draft.unique);
            }
        }
        Ok(revoked)
    }
}

/// What tells a draft from others.
type Unique = [u8; EpochTokenId::UNIQUE_BYTES];

/// What a token is given in issuing, see [`TokenDraft::issued`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) epoch: u32,
    pub(crate) number: u64,
}

impl Place {
    /// The token as it was issued.
    pub(crate) fn of(self, draft: TokenDraft) -> Box<AccessToken> {
        Box::new(draft.issued(self.epoch, self.number))
    }
}

/// What is recorded of [`TokenDetails`]: what the token says, and what it does not.
#[derive(Serialize)]
struct StoredDetails<'a> {
    #[serde(flatten)]
    said: &'a TokenDetails,
    #[serde(skip_serializing_if = "<[TokenId]>::is_empty")]
    exchanged_from: &'a [TokenId],
}

impl StoredDetails<'_> {
    fn of(details: &TokenDetails) -> StoredDetails<'_> {
        StoredDetails { said: details, exchanged_from: &details.exchanged_from }
    }
}

/// A token that is about to be recorded.
pub(crate) struct NewTokenRow<'a> {
    draft: &'a TokenDraft,
    id: TokenId,
    /// What it says beside what every one does; hardly any says such a thing.
    details: Option<String>,
}

impl NewTokenRow<'_> {
    pub(crate) fn new(draft: &TokenDraft, epoch: u32) -> Result<NewTokenRow<'_>, StoreError> {
        let says_more = draft.details != TokenDetails::default();
        let details = if says_more { Some(to_json(&StoredDetails::of(&draft.details))?) } else { None };
        Ok(NewTokenRow { draft, id: TokenId::new(epoch, draft.unique), details })
    }

    /// The line that tells of a token that was handed on: who acts, and for whom, is to be known when the token's record is gone.
    fn exchanged(&self) -> Option<NewAuditEntry> {
        let acting = self.draft.details.act.as_ref()?;
        let (by, id) = (Actor::client(&self.draft.client), self.id.to_string());
        let note = NewAuditEntry::new(self.draft.issued_at, by, AuditAction::Exchange, AuditKind::TOKEN, &id);
        Some(note.with_detail(&format!("{} acts for {}", acting.sub, self.draft.subject)))
    }
}

/// What may bar a token from being issued.
#[derive(Default)]
pub(crate) struct IssuancePreconditions {
    /// The epoch in which tokens are issued.
    pub(crate) epoch: u32,
    /// Those of the keys that are to sign which are revoked; hardly ever is any.
    revoked_keys: HashSet<String>,
    /// The drafts that were exchanged from a token that is revoked.
    revoked_sources: HashSet<Unique>,
    /// Whether there are revoked keys, whoever signs with them.
    has_revoked_keys: bool,
    /// The state of clients and resource servers.
    registrations: u64,
    /// Those of the users whom the tokens are about that are not active.
    inactive_users: HashSet<String>,
}

impl IssuancePreconditions {
    /// The same, with these users whom no token may be about.
    pub(crate) fn with_users(self, inactive_users: HashSet<String>) -> IssuancePreconditions {
        IssuancePreconditions { inactive_users, ..self }
    }

    /// The epoch in which tokens may be issued next, unless something changes until then. None if that takes a look at their keys.
    pub(crate) fn open_epoch(&self) -> Option<u32> {
        (!self.has_revoked_keys).then_some(self.epoch)
    }

    /// Whether this may be issued.
    pub(crate) fn check(&self, issue: &IssueRequest) -> Result<(), StoreError> {
        if issue.registrations_version.is_some_and(|registrations_version| registrations_version != self.registrations)
        {
            return Err(StoreError::ConcurrentModification);
        }
        if issue.user.as_ref().is_some_and(|user| self.inactive_users.contains(user.as_str())) {
            return Err(StoreError::UserDisabled);
        }
        if self.revoked_keys.contains(&issue.draft.key_id) {
            return Err(StoreError::KeyRevoked(issue.draft.key_id.clone()));
        }
        if self.revoked_sources.contains(&issue.draft.unique) {
            return Err(StoreError::SubjectTokenRevoked);
        }
        Ok(())
    }
}

/// What was seen a moment ago of what bars tokens: that no key was revoked, and this.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObservedPreconditions {
    /// The epoch in which tokens are issued.
    pub(crate) epoch: u32,
    /// The state of clients and resource servers, where something was decided by it.
    pub(crate) registrations: Option<u64>,
}

/// Records tokens and learns the numbers that they were given, in the order of the rows.
pub(crate) trait RecordTokens {
    /// Records them: all, or none if what was `seen` is so no more. In a transaction that looked for itself nothing need be seen.
    async fn record_tokens(
        &mut self,
        rows: &[NewTokenRow<'_>],
        seen: Option<ObservedPreconditions>,
    ) -> Result<Vec<u64>, StoreError>;
}

macro_rules! token_columns {
    () => {
        "id, client_id, subject, session, key_id, scope, audience, details, opaque, issued_at, expires_at"
    };
}

impl RecordTokens for SqliteConnection {
    /// The rows are written in their order, nobody else writes meanwhile, and AUTOINCREMENT gives each the number after the highest ever
    /// given: those of one statement follow each other, and to hear of the last one is enough.
    async fn record_tokens(
        &mut self,
        rows: &[NewTokenRow<'_>],
        seen: Option<ObservedPreconditions>,
    ) -> Result<Vec<u64>, StoreError> {
        static INSERT: BulkStatement = BulkStatement::new(
            concat!(
                "INSERT INTO tokens (",
                token_columns!(),
                ") SELECT given.* FROM (SELECT ? AS epoch, ? AS registrations, ? AS key) AS seen,"
            ),
            11,
            "AS given WHERE column1 IS NOT NULL AND (seen.epoch IS NULL
                OR seen.epoch = (SELECT epoch FROM issuing) AND NOT EXISTS (SELECT 1 FROM marks WHERE kind = seen.key)
                AND (seen.registrations IS NULL OR seen.registrations = (SELECT version FROM registrations)))",
        );
        let mut given = PaddedValues::new();
        given.bind(seen.map(|seen| i64::from(seen.epoch)));
        given.bind(seen.and_then(|seen| seen.registrations).map(to_sql)).bind(i64::from(RevocationKind::Key.to_byte()));
        for NewTokenRow { draft, id, details } in rows {
            given.row();
            given.bind(id.to_bytes()).text(draft.client.as_str()).text(&draft.subject).bind(draft.session.as_deref());
            given.text(&draft.key_id).text(draft.scope.as_str()).text(&draft.audience.to_string());
            given.bind(details.as_deref()).bind(opaque(draft));
            given.bind(to_sql(draft.issued_at)).bind(to_sql(draft.expires_at));
        }
        let written = INSERT.query(rows.len(), given)?.execute(self).await?;
        let (last, count) = (from_sql(written.last_insert_rowid()), written.rows_affected());
        Ok((1..=count).map(|nth| (last + nth).saturating_sub(count)).collect())
    }
}

/// A column is an array: to plan for thousands of values takes PostgreSQL longer than to write them.
macro_rules! token_arrays {
    () => {
        "UNNEST($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[],
                $10::bigint[], $11::bigint[]) AS given"
    };
}

impl RecordTokens for PgConnection {
    /// PostgreSQL does not promise to give numbers in the order of the rows.
    async fn record_tokens(
        &mut self,
        rows: &[NewTokenRow<'_>],
        seen: Option<ObservedPreconditions>,
    ) -> Result<Vec<u64>, StoreError> {
        const INSERT: &str = concat!(
            "INSERT INTO tokens (",
            token_columns!(),
            ") SELECT given.* FROM ",
            token_arrays!(),
            " RETURNING id, number"
        );
        // Whoever ends the epoch waits for this, or this for them, and then it sees the next one.
        const INSERT_AS_SEEN: &str = concat!(
            "WITH held AS MATERIALIZED (SELECT epoch FROM issuing FOR SHARE) INSERT INTO tokens (",
            token_columns!(),
            ") SELECT given.* FROM held, ",
            token_arrays!(),
            " WHERE held.epoch = $12 AND NOT EXISTS (SELECT 1 FROM marks WHERE kind = $13)
              AND ($14::bigint IS NULL OR $14 = (SELECT version FROM registrations)) RETURNING id, number"
        );
        let mut insertion = sqlx::query_as(if seen.is_some() { INSERT_AS_SEEN } else { INSERT })
            .bind(column(rows, |row| row.id.to_bytes()))
            .bind(column(rows, |row| row.draft.client.as_str()))
            .bind(column(rows, |row| row.draft.subject.as_str()))
            .bind(column(rows, |row| row.draft.session.as_deref()))
            .bind(column(rows, |row| row.draft.key_id.as_str()))
            .bind(column(rows, |row| row.draft.scope.as_str()))
            .bind(column(rows, |row| row.draft.audience.to_string()))
            .bind(column(rows, |row| row.details.as_deref()))
            .bind(column(rows, |row| opaque(row.draft)))
            .bind(column(rows, |row| to_sql(row.draft.issued_at)))
            .bind(column(rows, |row| to_sql(row.draft.expires_at)));
        if let Some(seen) = seen {
            insertion = insertion.bind(i64::from(seen.epoch)).bind(i64::from(RevocationKind::Key.to_byte()));
            insertion = insertion.bind(seen.registrations.map(to_sql));
        }
        let given: Vec<(Vec<u8>, i64)> = insertion.fetch_all(self).await?;
        if given.is_empty() {
            return Ok(Vec::new());
        }
        let numbers: HashMap<Vec<u8>, i64> = given.into_iter().collect();
        let number = |row: &NewTokenRow<'_>| numbers.get(&row.id.to_bytes()).copied().map(from_sql);
        rows.iter().map(|row| number(row).ok_or(StoreError::AlreadyExists("token"))).collect()
    }
}

fn opaque(draft: &TokenDraft) -> Option<Vec<u8>> {
    draft.opaque.map(|hash| hash.as_bytes().to_vec())
}
