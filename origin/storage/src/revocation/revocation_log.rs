//! Writes the revocation log: revocations as records; for each target a mark, the revoked-before
//! value that its revocations amount to; and each change of a mark as a delta. All is one
//! transaction, together with the audit log.
//!
//! A log is open only while its transaction holds the one row of the feed. So the next one waits,
//! sequences have no gaps, a rolled back sequence was never used, and the marks read here are the
//! newest.

use std::collections::HashMap;

use tollgate_core::{Delta, HashChain, RevocationId, RevokedBefore};
use tollgate_model::{
    Actor, AuditAction, AuditKind, NewAuditEntry, NewReinstatement, NewRevocation, Revocation, RevocationSelector,
    Target,
};

use crate::database::Tx;
use crate::database::bulk::{padded_with_last, statement_chunks};
use crate::database::values::{fixed_bytes, from_sql, mark_from_sql, revocation_kind, to_sql};
use crate::error::StoreError;
use crate::revocation::revocations::{ReinstateOutcome, RevocationRow, RevokeOutcome, TargetId};
use crate::revocation::security_events::Signal;

/// The mark of a target while it is being changed.
#[derive(Clone, Copy)]
struct Mark {
    revoked_before: RevokedBefore,
    void_after: u64,
    epoch: Option<u32>,
}

struct Entry {
    delta: Delta,
    epoch: Option<u32>,
    chain: HashChain,
}

/// Kind, id, mark, end and epoch.
type MarkRow = (i64, Vec<u8>, i64, i64, Option<i64>);

/// The revocation log, locked for writing.
pub(crate) struct RevocationLog {
    issuer: String,
    sequence: u64,
    chain: HashChain,
    /// Number of the newest record.
    number: u64,
    marks: HashMap<TargetId, Mark>,
    /// Targets whose marks must be written.
    changed: Vec<TargetId>,
    entries: Vec<Entry>,
    /// The deltas as receivers of security events get them.
    signals: Vec<Signal>,
    audit_entries: Vec<NewAuditEntry>,
}

impl RevocationLog {
    /// Locks the row of the feed until the commit.
    pub(crate) async fn open(tx: &mut Tx) -> Result<RevocationLog, StoreError> {
        let row = with_connection!(&mut *tx, connection => {
            sqlx::query_as::<_, (String, i64, Vec<u8>, i64)>(
                "UPDATE feed SET sequence = sequence RETURNING issuer, sequence, chain, revocation",
            )
            .fetch_optional(connection)
            .await?
        });
        let (issuer, sequence, chain, number) = row.ok_or(StoreError::NoIssuer)?;
        Ok(RevocationLog {
            issuer,
            sequence: from_sql(sequence),
            chain: HashChain::from_bytes(fixed_bytes(&chain, "feed")?),
            number: from_sql(number),
            marks: HashMap::new(),
            changed: Vec::new(),
            entries: Vec::new(),
            signals: Vec::new(),
            audit_entries: Vec::new(),
        })
    }

    /// Makes revocations. `closed` is the epoch that this transaction has closed.
    pub(crate) async fn revoke(
        &mut self,
        tx: &mut Tx,
        revocations: &[NewRevocation],
        closed: u32,
    ) -> Result<Vec<RevokeOutcome>, StoreError> {
        let targets: Vec<TargetId> =
            revocations.iter().map(|revoke| (revoke.target.kind(), revoke.target.id(&self.issuer))).collect();
        self.load_marks(tx, &targets).await?;
        let mut records: Vec<Revocation> = Vec::new();
        let mut revoked = Vec::with_capacity(revocations.len());
        for (revoke, target) in revocations.iter().zip(targets) {
            let revoked_before = revoke.target.revoked_before(closed);
            // An expired mark may be missing in every snapshot: it does not count.
            let is_marked = self
                .marks
                .get(&target)
                .is_some_and(|current| current.void_after >= revoke.at && current.revoked_before >= revoked_before);
            if is_marked && let Some(revocation) = find_same_revocation(tx, &records, revoke, revoked_before).await? {
                revoked.push(RevokeOutcome { revocation, is_new_to_edges: false });
                continue;
            }
            let revocation = self.record(revoke, revoked_before);
            self.raise_mark(target, &revocation, !is_marked);
            records.push(revocation.clone());
            revoked.push(RevokeOutcome { revocation, is_new_to_edges: !is_marked });
        }
        insert_records(tx, &records).await?;
        Ok(revoked)
    }

    fn record(&mut self, revoke: &NewRevocation, revoked_before: RevokedBefore) -> Revocation {
        self.number += 1;
        let NewRevocation { target, by, reason, at, void_after } = revoke.clone();
        let reason = reason.map(|reason| reason.as_str().to_owned());
        self.add_audit_entry(AuditAction::Revoke, &by, &target, reason.clone(), at);
        Revocation { number: self.number, target, revoked_before, by, reason, at, void_after, reinstated: None }
    }

    /// Raises the mark of a target to that of a new revocation.
    fn raise_mark(&mut self, target: TargetId, revocation: &Revocation, is_new_to_edges: bool) {
        let epoch = revocation.target.epoch();
        let unmarked = Mark { revoked_before: RevokedBefore::NOT_REVOKED, void_after: 0, epoch };
        let current = self.marks.entry(target).or_insert(unmarked);
        *current = Mark {
            revoked_before: current.revoked_before.max(revocation.revoked_before),
            void_after: current.void_after.max(revocation.void_after),
            epoch,
        };
        let (revoked_before, void_after) = (current.revoked_before, current.void_after);
        self.changed.push(target);
        if is_new_to_edges {
            self.append_delta(target, revoked_before, void_after, epoch);
        }
    }

    /// Lifts revocations in force, and lowers the mark of their target to what its other
    /// revocations require.
    pub(crate) async fn reinstate(
        &mut self,
        tx: &mut Tx,
        reinstate: &NewReinstatement,
    ) -> Result<ReinstateOutcome, StoreError> {
        let mut lifted = lift_records(tx, reinstate).await?;
        lifted.sort_by_key(|revocation| revocation.number);
        let Some(target) = lifted.first().map(|revocation| revocation.target.clone()) else {
            return Ok(ReinstateOutcome { lifted, is_new_to_edges: false });
        };
        let reason = reinstate.reason.as_ref().map(|reason| reason.as_str().to_owned());
        self.add_audit_entry(AuditAction::Reinstate, &reinstate.by, &target, reason, reinstate.at);

        let target_id = (target.kind(), target.id(&self.issuer));
        self.load_marks(tx, &[target_id]).await?;
        let epoch = target.epoch();
        let current = self.marks.get(&target_id).copied().unwrap_or(Mark {
            revoked_before: RevokedBefore::NOT_REVOKED,
            void_after: 0,
            epoch,
        });
        let (revoked_before, void_after) = combined_mark(tx, &target, reinstate.at).await?;
        self.marks.insert(target_id, Mark { revoked_before, void_after, epoch });
        self.changed.push(target_id);
        let is_new_to_edges = revoked_before != current.revoked_before;
        if is_new_to_edges {
            self.append_delta(target_id, revoked_before, current.void_after.max(void_after), epoch);
        }
        Ok(ReinstateOutcome { lifted, is_new_to_edges })
    }

    /// Adds a delta, and its signal.
    fn append_delta(
        &mut self,
        (kind, id): TargetId,
        revoked_before: RevokedBefore,
        void_after: u64,
        epoch: Option<u32>,
    ) {
        self.sequence += 1;
        let delta = Delta { sequence: self.sequence, kind, id, revoked_before, expires_at: void_after };
        self.chain = self.chain.next(&delta);
        self.entries.push(Entry { delta, epoch, chain: self.chain });
        // The last audit entry describes the change that caused this delta.
        if let Some(NewAuditEntry { at, by, action, name, detail, .. }) = self.audit_entries.last() {
            let (name, by, reason) = (name.clone(), by.as_str().to_owned(), detail.clone());
            let is_reinstatement = *action == AuditAction::Reinstate;
            self.signals.push(Signal {
                sequence: self.sequence,
                kind,
                name,
                mark: revoked_before,
                is_reinstatement,
                at: *at,
                by,
                reason,
                void_after,
            });
        }
    }

    fn add_audit_entry(&mut self, action: AuditAction, by: &Actor, target: &Target, detail: Option<String>, at: u64) {
        let name = match target {
            Target::Before(time) => time.to_string(),
            _ => target.name().to_owned(),
        };
        let kind = AuditKind::Revocable(target.kind());
        self.audit_entries.push(NewAuditEntry { at, by: by.clone(), action, kind, name, detail });
    }

    /// Reads the marks of targets that have not been read.
    async fn load_marks(&mut self, tx: &mut Tx, targets: &[TargetId]) -> Result<(), StoreError> {
        let missing: Vec<_> = targets.iter().filter(|target| !self.marks.contains_key(*target)).copied().collect();
        for targets in statement_chunks(&missing) {
            let rows: Vec<MarkRow> = with_connection!(&mut *tx, connection => {
                let sql = "SELECT kind, id, mark, void_after, epoch FROM marks WHERE (kind, id) IN (";
                let mut query = sqlx::QueryBuilder::new(sql);
                query.push_values(padded_with_last(targets), |mut row, (kind, id)| {
                    row.push_bind(i64::from(kind.to_byte())).push_bind(id.as_bytes().as_slice());
                });
                query.push(")").build_query_as().fetch_all(connection).await?
            });
            for (kind, id, mark, void_after, epoch) in rows {
                let kind = revocation_kind(kind, "marks")?;
                let mark = Mark {
                    revoked_before: mark_from_sql(mark),
                    void_after: from_sql(void_after),
                    epoch: epoch.and_then(|epoch| u32::try_from(epoch).ok()),
                };
                self.marks.insert((kind, RevocationId::from_bytes(fixed_bytes(&id, "marks")?)), mark);
            }
        }
        Ok(())
    }

    /// Writes the marks, the deltas, the audit entries and the head.
    pub(crate) async fn close(mut self, tx: &mut Tx) -> Result<(), StoreError> {
        self.changed.sort_unstable();
        self.changed.dedup();
        let mark = |target| self.marks.get(target).map(|mark| (*target, *mark));
        let (lifted, marks): (Vec<_>, Vec<_>) = self
            .changed
            .iter()
            .filter_map(mark)
            .partition(|(_, mark)| mark.revoked_before == RevokedBefore::NOT_REVOKED);
        insert_rows!(
            tx,
            "INSERT INTO marks (kind, id, mark, void_after, epoch)",
            " ON CONFLICT (kind, id) DO UPDATE SET mark = excluded.mark, void_after = excluded.void_after",
            &marks,
            |row, ((kind, id), mark)| row
                .push_bind(i64::from(kind.to_byte()))
                .push_bind(id.as_bytes().as_slice())
                .push_bind(to_sql(mark.revoked_before.0))
                .push_bind(to_sql(mark.void_after))
                .push_bind(mark.epoch.map(i64::from))
        );
        for ((kind, id), _) in lifted {
            with_connection!(&mut *tx, connection => {
                sqlx::query("DELETE FROM marks WHERE kind = $1 AND id = $2")
                    .bind(i64::from(kind.to_byte()))
                    .bind(id.as_bytes().as_slice())
                    .execute(connection)
                    .await?;
            });
        }
        self.write_log(tx).await
    }

    async fn write_log(self, tx: &mut Tx) -> Result<(), StoreError> {
        insert_rows!(
            tx,
            "INSERT INTO deltas (sequence, kind, id, mark, void_after, epoch, chain)",
            "",
            &self.entries,
            |row, entry| row
                .push_bind(to_sql(entry.delta.sequence))
                .push_bind(i64::from(entry.delta.kind.to_byte()))
                .push_bind(entry.delta.id.as_bytes().as_slice())
                .push_bind(to_sql(entry.delta.revoked_before.0))
                .push_bind(to_sql(entry.delta.expires_at))
                .push_bind(entry.epoch.map(i64::from))
                .push_bind(entry.chain.as_bytes().as_slice())
        );
        tx.insert_signals(&self.signals).await?;
        tx.write_audit_entries(&self.audit_entries).await?;
        // A revoked key leaves the key sets, and a reinstated one returns: raises the version, so
        // that they are read again.
        let changes_keys = self.audit_entries.iter().any(|entry| entry.kind == AuditKind::KEY);
        with_connection!(&mut *tx, connection => {
            sqlx::query("UPDATE feed SET sequence = $1, chain = $2, revocation = $3, version = version + $4")
                .bind(to_sql(self.sequence))
                .bind(self.chain.as_bytes().as_slice())
                .bind(to_sql(self.number))
                .bind(i64::from(changes_keys))
                .execute(connection)
                .await?;
        });
        if self.entries.is_empty() { Ok(()) } else { tx.notify().await }
    }
}

/// A record in force of the same revocation by the same actor: repeating a revocation creates no
/// second record.
async fn find_same_revocation(
    tx: &mut Tx,
    new_records: &[Revocation],
    revoke: &NewRevocation,
    revoked_before: RevokedBefore,
) -> Result<Option<Revocation>, StoreError> {
    let same = |record: &&Revocation| record.target == revoke.target && record.by == revoke.by;
    if let Some(record) = new_records.iter().find(same) {
        return Ok(Some(record.clone()));
    }
    let row = with_connection!(&mut *tx, connection => {
        sqlx::query_as::<_, RevocationRow>(
            "SELECT * FROM revocations WHERE kind = $1 AND name = $2 AND mark = $3 AND revoked_by = $4
             AND lifted_at IS NULL AND void_after >= $5 ORDER BY number LIMIT 1",
        )
        .bind(i64::from(revoke.target.kind().to_byte()))
        .bind(revoke.target.name())
        .bind(to_sql(revoked_before.0))
        .bind(revoke.by.as_str())
        .bind(to_sql(revoke.at))
        .fetch_optional(connection)
        .await?
    });
    row.map(Revocation::try_from).transpose()
}

async fn insert_records(tx: &mut Tx, records: &[Revocation]) -> Result<(), StoreError> {
    insert_rows!(
        tx,
        "INSERT INTO revocations (number, kind, name, mark, reason, revoked_by, revoked_at, void_after)",
        "",
        records,
        |row, record| row
            .push_bind(to_sql(record.number))
            .push_bind(i64::from(record.target.kind().to_byte()))
            .push_bind(record.target.name())
            .push_bind(to_sql(record.revoked_before.0))
            .push_bind(record.reason.as_deref())
            .push_bind(record.by.as_str())
            .push_bind(to_sql(record.at))
            .push_bind(to_sql(record.void_after))
    );
    Ok(())
}

/// Marks the selected records in force as lifted, and returns them.
async fn lift_records(tx: &mut Tx, reinstate: &NewReinstatement) -> Result<Vec<Revocation>, StoreError> {
    // All conditions have the same parameters: in every record the mark is above 0, the kind is not
    // 0, and the name is not empty.
    let (condition, value, kind, name) = match &reinstate.selector {
        RevocationSelector::Number(number) => ("number = $4 AND kind <> $5 AND name <> $6", *number, 0, ""),
        RevocationSelector::Target(target) => match target {
            Target::Before(time) => {
                ("mark = $4 AND kind = $5 AND name = $6", *time, target.kind().to_byte(), target.name())
            }
            _ => ("mark > $4 AND kind = $5 AND name = $6", 0, target.kind().to_byte(), target.name()),
        },
    };
    let rows = with_connection!(&mut *tx, connection => {
        let sql = format!(
            "UPDATE revocations SET lifted_by = $1, lifted_at = $2
             WHERE lifted_at IS NULL AND void_after >= $3 AND {condition} RETURNING *",
        );
        sqlx::query_as::<_, RevocationRow>(sqlx::AssertSqlSafe(sql))
            .bind(reinstate.by.as_str())
            .bind(to_sql(reinstate.at))
            .bind(to_sql(reinstate.at))
            .bind(to_sql(value))
            .bind(i64::from(kind))
            .bind(name)
            .fetch_all(connection)
            .await?
    });
    rows.into_iter().map(Revocation::try_from).collect()
}

/// The combined mark of a target's revocations in force, and until when they matter.
async fn combined_mark(tx: &mut Tx, target: &Target, at: u64) -> Result<(RevokedBefore, u64), StoreError> {
    let (mark, void_after) = with_connection!(&mut *tx, connection => {
        sqlx::query_as::<_, (Option<i64>, Option<i64>)>(
            "SELECT max(mark), max(void_after) FROM revocations
             WHERE kind = $1 AND name = $2 AND lifted_at IS NULL AND void_after >= $3",
        )
        .bind(i64::from(target.kind().to_byte()))
        .bind(target.name())
        .bind(to_sql(at))
        .fetch_one(connection)
        .await?
    });
    Ok((mark.map_or(RevokedBefore::NOT_REVOKED, mark_from_sql), void_after.map_or(0, from_sql)))
}
