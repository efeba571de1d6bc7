//! Builds and signs status lists on request, and caches them until a revocation or their `ttl`.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tollgate_keys::{IssueError, STATEMENT_ALG};
use tollgate_model::encoding::base64url;
use tollgate_model::status_list::{STATUS_LIST_LIFETIME, STATUS_LIST_PATH, TOKENS_PER_LIST, uri};
use tollgate_storage::{Store, StoreError};

use super::list::StatusList;
use super::token::{Claims, ListMembers, TOKEN_TYPE};
use crate::signing_keys::SigningKeys;

/// `ttl` in seconds: how long a verifier may use a copy, and so how late it may learn of a
/// revocation. Edges learn within a second; verifiers that need that should not use lists.
pub const STATUS_LIST_TTL: u64 = 30;
/// Signed lists in memory. A hundred million live tokens have 763 lists.
const MAX_CACHED_LISTS: usize = 1024;

/// A signed list.
#[derive(Debug)]
pub struct SignedList {
    /// Status list token (JWT).
    pub token: String,
    /// Strong entity tag, with quotes.
    pub etag: String,
    sequence: u64,
    issued_at: u64,
}

/// Why a list cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum StatusListBuildError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sign(#[from] IssueError),
    #[error("the list cannot be compressed: {0}")]
    Compress(#[from] std::io::Error),
    #[error("building the list was interrupted")]
    Interrupted,
}

/// The newest version of a list. Locked while it is built, so that concurrent requests share the
/// build.
type Slot = Arc<Mutex<Option<Arc<SignedList>>>>;

/// Status lists of one issuer.
pub struct StatusLists {
    store: Store,
    keys: SigningKeys,
    issuer: String,
    slots: Mutex<BTreeMap<u64, Slot>>,
}

impl StatusLists {
    #[must_use]
    pub fn new(store: Store, keys: SigningKeys, issuer: String) -> StatusLists {
        StatusLists { store, keys, issuer, slots: Mutex::default() }
    }

    /// The list as of `now`, or a cached one of the last [`STATUS_LIST_TTL`] seconds if nothing was
    /// revoked or reinstated since. None if no token on record belongs to it.
    ///
    /// # Errors
    /// When the database fails or the list cannot be signed.
    pub async fn get(&self, list: u64, now: u64) -> Result<Option<Arc<SignedList>>, StatusListBuildError> {
        if !self.store.get_status_list_range(TOKENS_PER_LIST).await?.contains(&list) {
            return Ok(None);
        }
        let slot = self.slot(list).await;
        let mut cached = slot.lock().await;
        if let Some(signed) = cached.as_ref()
            && signed.sequence == self.store.get_feed_head().await?.sequence
            && (signed.issued_at..signed.issued_at.saturating_add(STATUS_LIST_TTL)).contains(&now)
        {
            return Ok(Some(Arc::clone(signed)));
        }
        let signed = Arc::new(self.build(list, now).await?);
        *cached = Some(Arc::clone(&signed));
        Ok(Some(signed))
    }

    /// URIs of all lists to which tokens on record refer (TSL section 9.3).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_uris(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.store.get_status_list_range(TOKENS_PER_LIST).await?.map(|list| uri(&self.issuer, list)).collect())
    }

    async fn slot(&self, list: u64) -> Slot {
        let mut slots = self.slots.lock().await;
        if slots.len() >= MAX_CACHED_LISTS && !slots.contains_key(&list) {
            // The list of the oldest tokens, which expire first.
            slots.pop_first();
        }
        Arc::clone(slots.entry(list).or_default())
    }

    async fn build(&self, list: u64, now: u64) -> Result<SignedList, StatusListBuildError> {
        let first = list.saturating_mul(TOKENS_PER_LIST);
        let input = self.store.list_revoked_numbers(&self.issuer, first..first.saturating_add(TOKENS_PER_LIST)).await?;
        let (keys, issuer) = (self.keys.current(), self.issuer.clone());
        // The compression takes milliseconds, too long for an async thread.
        let built = tokio::task::spawn_blocking(move || {
            let mut statuses = StatusList::all_valid(TOKENS_PER_LIST);
            input.numbers.iter().for_each(|number| statuses.revoke(number - first));
            let claims = Claims {
                sub: uri(&issuer, list),
                iat: now,
                exp: Some(now.saturating_add(STATUS_LIST_LIFETIME)),
                ttl: Some(STATUS_LIST_TTL),
                status_list: ListMembers {
                    bits: statuses.bits(),
                    lst: statuses.to_lst()?,
                    aggregation_uri: Some(format!("{issuer}{STATUS_LIST_PATH}")),
                },
                iss: Some(issuer),
            };
            let token = keys.prepare_statement(STATEMENT_ALG, TOKEN_TYPE, &claims)?.sign()?;
            let etag = format!("\"{}\"", base64url(&Sha256::digest(&token)));
            Ok(SignedList { token, etag, sequence: input.sequence, issued_at: now })
        });
        built.await.map_err(|_| StatusListBuildError::Interrupted)?
    }
}
