//! Records of issued tokens. A token may be signed only after its record is committed.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::{PgConnection, SqliteConnection};
use tollgate_core::RevocationKind;
use tollgate_model::{AccessToken, Actor, AuditAction, AuditKind, NewAuditEntry, TokenDetails, TokenDraft, TokenId};

use crate::database::Tx;
use crate::database::bulk::{column, statement_chunks};
use crate::database::bulk_statement::{BulkStatement, PaddedValues};
use crate::database::values::{from_sql, to_json, to_sql};
use crate::error::StoreError;
use crate::writer::preconditions::{IssuancePreconditions, ObservedPreconditions};
use crate::writer::requests::IssueRequest;

impl Tx {
    /// Records the tokens that the preconditions allow. Each has an epoch that this transaction
    /// holds, has just closed, or has just opened.
    pub(crate) async fn issue_tokens(
        &mut self,
        issuances: &[(&IssueRequest, u32)],
        preconditions: &IssuancePreconditions,
    ) -> Result<Vec<Result<TokenNumber, StoreError>>, StoreError> {
        let allowed = issuances.iter().filter(|(issue, _)| preconditions.check(issue).is_ok());
        let rows = allowed.map(|(issue, epoch)| NewTokenRow::new(&issue.draft, *epoch));
        let rows: Vec<NewTokenRow> = rows.collect::<Result<_, _>>()?;
        let mut numbers = self.insert_tokens(&rows).await?.into_iter();
        self.write_audit_entries(&rows.iter().filter_map(NewTokenRow::exchange_entry).collect::<Vec<_>>()).await?;
        let outcomes = issuances.iter().map(|(issue, epoch)| {
            preconditions.check(issue)?;
            let no_number = || StoreError::invariant("each recorded token has a number");
            let number = numbers.next().ok_or_else(no_number)?;
            Ok(TokenNumber { epoch: *epoch, number })
        });
        Ok(outcomes.collect())
    }

    /// Records tokens and returns their numbers in the order of the rows.
    async fn insert_tokens(&mut self, rows: &[NewTokenRow<'_>]) -> Result<Vec<u64>, StoreError> {
        let mut numbers = Vec::with_capacity(rows.len());
        for rows in statement_chunks(rows) {
            numbers.extend(with_connection!(&mut *self, connection => connection.record_tokens(rows, None).await?));
        }
        Ok(numbers)
    }
}

/// What issuing adds to a draft, see [`TokenDraft::issued`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenNumber {
    pub(crate) epoch: u32,
    pub(crate) number: u64,
}

impl TokenNumber {
    /// The issued token.
    pub(crate) fn complete(self, draft: TokenDraft) -> Box<AccessToken> {
        Box::new(draft.issued(self.epoch, self.number))
    }
}

/// [`TokenDetails`] as recorded: the claims of the token, and the source tokens, which it does not
/// name.
#[derive(Serialize)]
struct StoredDetails<'a> {
    #[serde(flatten)]
    claims: &'a TokenDetails,
    #[serde(skip_serializing_if = "<[TokenId]>::is_empty")]
    exchanged_from: &'a [TokenId],
}

/// A token to be recorded.
pub(crate) struct NewTokenRow<'a> {
    draft: &'a TokenDraft,
    id: TokenId,
    /// Claims that few tokens have, as JSON.
    details: Option<String>,
}

impl NewTokenRow<'_> {
    pub(crate) fn new(draft: &TokenDraft, epoch: u32) -> Result<NewTokenRow<'_>, StoreError> {
        let stored = StoredDetails { claims: &draft.details, exchanged_from: &draft.details.exchanged_from };
        let has_details = draft.details != TokenDetails::default();
        let details = if has_details { Some(to_json(&stored)?) } else { None };
        Ok(NewTokenRow { draft, id: TokenId::new(epoch, draft.unique), details })
    }

    /// The audit entry of a token exchange: who acts for whom stays known after the token's record
    /// is deleted.
    fn exchange_entry(&self) -> Option<NewAuditEntry> {
        let actor = self.draft.details.act.as_ref()?;
        let (by, id) = (Actor::client(&self.draft.client), self.id.to_string());
        let entry = NewAuditEntry::new(self.draft.issued_at, by, AuditAction::Exchange, AuditKind::TOKEN, &id);
        Some(entry.with_detail(&format!("{} acts for {}", actor.sub, self.draft.subject)))
    }
}

/// Inserts token records and returns the numbers that the database assigned, in the order of the
/// rows.
pub(crate) trait RecordTokens {
    /// Inserts all rows; or none, if the observed preconditions no longer hold. A transaction that
    /// read the preconditions itself passes `None`.
    async fn record_tokens(
        &mut self,
        rows: &[NewTokenRow<'_>],
        observed: Option<ObservedPreconditions>,
    ) -> Result<Vec<u64>, StoreError>;
}

macro_rules! token_columns {
    () => {
        "id, client_id, subject, session, key_id, scope, audience, details, opaque, issued_at, expires_at"
    };
}

impl RecordTokens for SqliteConnection {
    /// SQLite inserts the rows in their order, no other connection writes meanwhile, and
    /// AUTOINCREMENT assigns the number after the highest ever used: so the numbers of one
    /// statement are consecutive, and the last one is enough.
    async fn record_tokens(
        &mut self,
        rows: &[NewTokenRow<'_>],
        observed: Option<ObservedPreconditions>,
    ) -> Result<Vec<u64>, StoreError> {
        static INSERT: BulkStatement = BulkStatement::new(
            concat!(
                "INSERT INTO tokens (",
                token_columns!(),
                ") SELECT new_rows.* FROM (SELECT ? AS epoch, ? AS registrations, ? AS key) AS observed,"
            ),
            11,
            "AS new_rows WHERE column1 IS NOT NULL AND (observed.epoch IS NULL
                OR observed.epoch = (SELECT epoch FROM issuing) AND NOT EXISTS (SELECT 1 FROM marks WHERE kind = observed.key)
                AND (observed.registrations IS NULL OR observed.registrations = (SELECT version FROM registrations)))",
        );
        let mut values = PaddedValues::new();
        values.bind(observed.map(|observed| i64::from(observed.epoch)));
        values.bind(observed.and_then(|observed| observed.registrations).map(to_sql));
        values.bind(i64::from(RevocationKind::Key.to_byte()));
        for NewTokenRow { draft, id, details } in rows {
            values.begin_row();
            values.bind(id.to_bytes()).bind_text(draft.client.as_str()).bind_text(&draft.subject);
            values.bind(draft.session.as_deref()).bind_text(&draft.key_id).bind_text(draft.scope.as_str());
            values.bind_text(&draft.audience.to_string()).bind(details.as_deref()).bind(opaque_hash(draft));
            values.bind(to_sql(draft.issued_at)).bind(to_sql(draft.expires_at));
        }
        let written = INSERT.query(rows.len(), values)?.execute(self).await?;
        let (last, count) = (from_sql(written.last_insert_rowid()), written.rows_affected());
        Ok((1..=count).map(|nth| (last + nth).saturating_sub(count)).collect())
    }
}

/// One array per column: PostgreSQL needs longer to plan thousands of parameters than to insert
/// them.
macro_rules! token_arrays {
    () => {
        "UNNEST($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[],
                $10::bigint[], $11::bigint[]) AS new_rows"
    };
}

impl RecordTokens for PgConnection {
    /// PostgreSQL does not promise to assign numbers in the order of the rows, so it returns the
    /// ids too.
    async fn record_tokens(
        &mut self,
        rows: &[NewTokenRow<'_>],
        observed: Option<ObservedPreconditions>,
    ) -> Result<Vec<u64>, StoreError> {
        const INSERT: &str = concat!(
            "INSERT INTO tokens (",
            token_columns!(),
            ") SELECT new_rows.* FROM ",
            token_arrays!(),
            " RETURNING id, number"
        );
        // The share lock and the exclusive lock of `close_epoch` wait for each other. A statement
        // that waited sees the new epoch and inserts nothing.
        const INSERT_IF_OBSERVED: &str = concat!(
            "WITH held AS MATERIALIZED (SELECT epoch FROM issuing FOR SHARE) INSERT INTO tokens (",
            token_columns!(),
            ") SELECT new_rows.* FROM held, ",
            token_arrays!(),
            " WHERE held.epoch = $12 AND NOT EXISTS (SELECT 1 FROM marks WHERE kind = $13)
              AND ($14::bigint IS NULL OR $14 = (SELECT version FROM registrations)) RETURNING id, number"
        );
        let mut insert = sqlx::query_as(if observed.is_some() { INSERT_IF_OBSERVED } else { INSERT })
            .bind(column(rows, |row| row.id.to_bytes()))
            .bind(column(rows, |row| row.draft.client.as_str()))
            .bind(column(rows, |row| row.draft.subject.as_str()))
            .bind(column(rows, |row| row.draft.session.as_deref()))
            .bind(column(rows, |row| row.draft.key_id.as_str()))
            .bind(column(rows, |row| row.draft.scope.as_str()))
            .bind(column(rows, |row| row.draft.audience.to_string()))
            .bind(column(rows, |row| row.details.as_deref()))
            .bind(column(rows, |row| opaque_hash(row.draft)))
            .bind(column(rows, |row| to_sql(row.draft.issued_at)))
            .bind(column(rows, |row| to_sql(row.draft.expires_at)));
        if let Some(observed) = observed {
            insert = insert.bind(i64::from(observed.epoch)).bind(i64::from(RevocationKind::Key.to_byte()));
            insert = insert.bind(observed.registrations.map(to_sql));
        }
        let assigned: Vec<(Vec<u8>, i64)> = insert.fetch_all(self).await?;
        if assigned.is_empty() {
            return Ok(Vec::new());
        }
        let numbers: HashMap<Vec<u8>, i64> = assigned.into_iter().collect();
        let number = |row: &NewTokenRow<'_>| numbers.get(&row.id.to_bytes()).copied().map(from_sql);
        let no_number = || StoreError::invariant("each inserted token is returned with its number");
        rows.iter().map(|row| number(row).ok_or_else(no_number)).collect()
    }
}

fn opaque_hash(draft: &TokenDraft) -> Option<Vec<u8>> {
    draft.opaque.map(|hash| hash.as_bytes().to_vec())
}
