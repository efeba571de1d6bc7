//! Limits guesses at short codes and passwords. The count is in the database, so that several
//! origins share it.
//!
//! An attempt is counted before it is checked and given back if it was right, so that a thousand
//! concurrent requests are not a thousand guesses.

use super::error::WebError;
use crate::App;

/// Wrong attempts allowed in [`WINDOW_SECONDS`]. There are 20^8 user codes, each valid for ten
/// minutes: with a thousand pending, a guess succeeds once in 2.5 million windows.
const MAX_WRONG_ATTEMPTS: u64 = 10;
const WINDOW_SECONDS: u64 = 600;

/// A counted attempt. Dropped, it counts as wrong.
#[must_use = "an attempt ends as failed or given back"]
pub(super) struct CountedAttempt<'a> {
    app: &'a App,
    name: String,
}

impl CountedAttempt<'_> {
    /// Counts an attempt at what `name` identifies, if another is allowed.
    pub(super) async fn begin(app: &App, name: String) -> Result<CountedAttempt<'_>, WebError> {
        match app.store.count_attempt(&name, WINDOW_SECONDS, app.clock.now()).await? <= MAX_WRONG_ATTEMPTS {
            true => Ok(CountedAttempt { app, name }),
            false => Err(WebError::too_many_attempts()),
        }
    }

    /// Keeps the attempt counted: it was wrong.
    pub(super) fn failed(self) {}

    /// Takes the attempt back: it was right, or was not checked.
    pub(super) async fn give_back(self) -> Result<(), WebError> {
        self.app.store.refund_attempt(&self.name).await?;
        Ok(())
    }
}
