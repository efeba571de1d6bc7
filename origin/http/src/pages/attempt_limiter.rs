//! Limits guesses at short codes and passwords. The count is in the database, so that several
//! origins share it.
//!
//! An attempt is counted before it is checked and given back if it was right, so that a thousand
//! concurrent requests are not a thousand guesses.

use tollgate_storage::Store;

use super::error::WebError;

/// Wrong attempts allowed in [`WINDOW_SECONDS`]. There are 20^8 user codes, each valid for ten
/// minutes: with a thousand pending, a guess succeeds once in 2.5 million windows.
const MAX_WRONG_ATTEMPTS: u64 = 10;
const WINDOW_SECONDS: u64 = 600;

/// A counted attempt. Dropped, it counts as wrong.
#[must_use = "an attempt ends as failed or given back"]
pub(super) struct CountedAttempt<'a> {
    store: &'a Store,
    name: String,
}

impl CountedAttempt<'_> {
    /// Counts an attempt at what `name` identifies, if another is allowed.
    pub(super) async fn begin(store: &Store, name: String, now: u64) -> Result<CountedAttempt<'_>, WebError> {
        match store.count_attempt(&name, WINDOW_SECONDS, now).await? <= MAX_WRONG_ATTEMPTS {
            true => Ok(CountedAttempt { store, name }),
            false => Err(WebError::too_many_attempts()),
        }
    }

    /// Keeps the attempt counted: it was wrong.
    pub(super) fn failed(self) {}

    /// Takes the attempt back: it was right, or was not checked.
    pub(super) async fn give_back(self) -> Result<(), WebError> {
        self.store.refund_attempt(&self.name).await?;
        Ok(())
    }
}
