//! Ending grants, browser sessions, users and clients. Each has one function, and everything that
//! ends it uses that function: a grant [`Store::end_grant`], [`Store::withdraw_consent`] or a
//! revocation in a [`Batch`](crate::Batch); a browser session [`Store::end_session`]; a user
//! [`Store::disable_user`]; a client [`Store::disable_client`].
//!
//! Each function is one transaction: what ended, the deltas for edges, the security events and the
//! back-channel logouts are committed together or not at all. Locks are taken in one order: issuing
//! epoch, clients and users, browser sessions, grants, feed. The epoch comes first, so that every
//! token and grant that is older than the termination is committed when the transaction looks for
//! them.

use std::collections::HashMap;

use tollgate_model::{
    Actor, AuditAction, AuditKind, BrowserSessionId, Client, ClientId, Grant, GrantId, NewRevocation, Target, UserId,
};

use crate::accounts::backchannel_logouts::EndedGrant;
use crate::accounts::sessions::SessionSelector;
use crate::accounts::termination::Termination;
use crate::database::Tx;
use crate::database::values::to_sql;
use crate::error::StoreError;
use crate::revocation::revocation_log::RevocationLog;
use crate::store::Store;

impl Store {
    /// Ends a browser session and the grants given in it, except those with `offline_access`.
    /// Returns false if the session had ended; grants left of it are ended anyway.
    pub async fn end_session(&self, id: &BrowserSessionId, termination: &Termination) -> Result<bool, StoreError> {
        Ok(self.end_sessions(SessionSelector::One(id), termination).await? > 0)
    }

    /// Ends all sessions of a user but `except`, and returns their number.
    pub async fn end_user_sessions(
        &self,
        user: &UserId,
        except: Option<&BrowserSessionId>,
        termination: &Termination,
    ) -> Result<u64, StoreError> {
        self.end_sessions(SessionSelector::AllBut(user, except), termination).await
    }

    async fn end_sessions(&self, which: SessionSelector<'_>, termination: &Termination) -> Result<u64, StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        let mut revocations = Vec::new();
        let ended = tx.end_sessions(which, termination, &mut revocations).await?;
        self.commit_termination(tx, closed, &revocations, termination).await?;
        Ok(ended)
    }

    /// Ends the sessions that have expired at the Unix second `now`, and returns their number.
    ///
    /// # Errors
    /// When the database fails; sessions that were ended before stay ended.
    pub async fn end_expired_sessions(&self, now: u64) -> Result<u64, StoreError> {
        let termination = Termination::new(&Actor::origin(), "the session expired", now);
        let mut all = 0;
        while self.has_expired_session(now).await? {
            match self.end_sessions(SessionSelector::Expired(now), &termination).await? {
                0 => break,
                ended => all += ended,
            }
        }
        Ok(all)
    }

    pub async fn end_grant(&self, id: &GrantId, termination: &Termination) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        let is_open = tx.has_open_grants("id", id.as_str()).await?;
        let revocations =
            if is_open { vec![termination.revocation(Target::Session(id.to_string()))?] } else { Vec::new() };
        self.commit_termination(tx, closed, &revocations, termination).await
    }

    /// Ends one grant of a user, or all, and deletes the consent behind it, so that the user is
    /// asked again.
    pub async fn withdraw_consent(
        &self,
        user: &UserId,
        grant: Option<(&GrantId, &ClientId)>,
        termination: &Termination,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        let revocations = match grant {
            Some((grant, _)) if tx.has_open_grants("id", grant.as_str()).await? => {
                vec![termination.revocation(Target::Session(grant.to_string()))?]
            }
            Some(_) => Vec::new(),
            None => tx.revocations_of_user(user, termination).await?,
        };
        tx.delete_consents(user, grant.map(|(_, client)| client)).await?;
        self.commit_termination(tx, closed, &revocations, termination).await
    }

    /// Sets a user's password and ends their sessions except `except`, in which they changed it.
    pub async fn update_password(
        &self,
        id: &UserId,
        hash: &str,
        except: Option<&BrowserSessionId>,
        termination: &Termination,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
                .bind(id.as_str())
                .bind(hash)
                .execute(connection)
                .await?;
        });
        let mut revocations = Vec::new();
        tx.end_sessions(SessionSelector::AllBut(id, except), termination, &mut revocations).await?;
        tx.write_audit_entries(&[termination.audit_entry(AuditAction::SetPassword, AuditKind::User, id.as_str())])
            .await?;
        self.commit_termination(tx, closed, &revocations, termination).await
    }

    /// Disables a user and ends their sessions, their grants, and every token about them.
    ///
    /// # Errors
    /// [`StoreError::NotAdministrator`] when the acting user is not an active administrator any
    /// more.
    pub async fn disable_user(&self, id: &UserId, termination: &Termination) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        tx.lock_users(id, Some(&termination.by)).await?;
        let disabled = with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE users SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL")
                .bind(id.as_str())
                .bind(to_sql(termination.at))
                .execute(connection)
                .await?
                .rows_affected()
        });
        let sessions = tx.delete_sessions(SessionSelector::AllBut(id, None)).await?;
        tx.write_sign_outs(&sessions, termination).await?;
        if disabled > 0 {
            tx.write_audit_entries(&[termination.audit_entry(AuditAction::Disable, AuditKind::User, id.as_str())])
                .await?;
        }
        // An older version may have disabled the user without ending their grants.
        let has_more = disabled > 0 || tx.has_open_grants("user_id", id.as_str()).await?;
        let revocations = if has_more { tx.revocations_of_user(id, termination).await? } else { Vec::new() };
        self.commit_termination(tx, closed, &revocations, termination).await
    }

    /// Disables a client, ends its grants, and returns it; `None` if it does not exist. A client
    /// that is disabled keeps its time.
    pub async fn disable_client(&self, id: &ClientId, termination: &Termination) -> Result<Option<Client>, StoreError> {
        let mut tx = self.begin_write().await?;
        let closed = tx.close_epoch().await?;
        let disabled = with_connection!(&mut tx, connection => {
            sqlx::query("UPDATE clients SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL")
                .bind(id.as_str())
                .bind(to_sql(termination.at))
                .execute(connection)
                .await?
                .rows_affected()
        });
        let mut revocations = Vec::new();
        if disabled > 0 {
            tx.write_audit_entries(&[termination.audit_entry(AuditAction::Disable, AuditKind::CLIENT, id.as_str())])
                .await?;
        }
        if disabled > 0 || tx.has_open_grants("client_id", id.as_str()).await? {
            revocations.push(termination.revocation(Target::Client(id.to_string()))?);
        }
        self.commit_termination(tx, closed, &revocations, termination).await?;
        self.find_client(id).await
    }

    /// Makes revocations in a transaction that has closed the epoch `closed`, ends the grants they
    /// apply to, and commits.
    pub(crate) async fn commit_termination(
        &self,
        mut tx: Tx,
        closed: u32,
        revocations: &[NewRevocation],
        termination: &Termination,
    ) -> Result<(), StoreError> {
        tx.end_grants(revocations, &termination.trace).await?;
        if !revocations.is_empty() {
            match RevocationLog::open(&mut tx).await {
                Ok(mut log) => {
                    log.revoke(&mut tx, revocations, closed).await?;
                    log.close(&mut tx).await?;
                }
                // `serve` never ran on this database, so no token exists.
                Err(StoreError::NoIssuer) => {}
                Err(error) => return Err(error),
            }
        }
        match revocations.is_empty() {
            true => tx.commit().await?,
            false => self.commit_and_notify(tx).await?,
        }
        self.logouts.notify_one();
        Ok(())
    }
}

impl Tx {
    /// Ends sessions, returns their number, and adds the revocations of their grants to
    /// `revocations`. Grants with `offline_access` continue; their clients get a logout token too
    /// (Back-Channel Logout §2.7).
    pub(crate) async fn end_sessions(
        &mut self,
        which: SessionSelector<'_>,
        termination: &Termination,
        revocations: &mut Vec<NewRevocation>,
    ) -> Result<u64, StoreError> {
        let deleted = self.delete_sessions(which).await?;
        // Grants may be left of a session that was deleted before.
        let mut session_ids = deleted.clone();
        if let SessionSelector::One(id) = which
            && session_ids.is_empty()
        {
            session_ids.push(id.to_string());
        }
        let grants = self.open_grants_of_sessions(&session_ids).await?;
        let (offline, ended): (Vec<&Grant>, Vec<&Grant>) =
            grants.iter().partition(|grant| grant.terms.access.scope.has("offline_access"));
        for grant in ended {
            revocations.push(termination.revocation(Target::Session(grant.id.to_string()))?);
        }
        let was_over = deleted.is_empty();
        let offline: Vec<EndedGrant> = offline.into_iter().filter(|_| !was_over).map(EndedGrant::from).collect();
        self.insert_logouts(&offline, &termination.trace, termination.at, &mut HashMap::new()).await?;
        self.write_sign_outs(&deleted, termination).await?;
        Ok(deleted.len() as u64)
    }

    async fn write_sign_outs(&mut self, sessions: &[String], termination: &Termination) -> Result<(), StoreError> {
        let note = |id: &String| {
            termination.audit_entry(AuditAction::SignOut, AuditKind::BrowserSession, id).with_detail(termination.reason)
        };
        self.write_audit_entries(&sessions.iter().map(note).collect::<Vec<_>>()).await
    }

    /// The revocations of everything about a user: one for each subject that clients know them by.
    async fn revocations_of_user(
        &mut self,
        id: &UserId,
        termination: &Termination,
    ) -> Result<Vec<NewRevocation>, StoreError> {
        let mut subjects: Vec<String> = with_connection!(&mut *self, connection => {
            sqlx::query_scalar(
                "SELECT subject FROM grants WHERE user_id = $1 UNION SELECT subject FROM pairwise_subjects WHERE user_id = $1",
            )
            .bind(id.as_str())
            .fetch_all(connection)
            .await?
        });
        subjects.push(id.to_string());
        subjects.sort_unstable();
        subjects.dedup();
        subjects.into_iter().map(|subject| termination.revocation(Target::Subject(subject))).collect()
    }
}
