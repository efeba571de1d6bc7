//! How often somebody may be wrong: a bound on guessing what is short or known to few, kept in the database, so that several origins
//! count together.
//!
//! Each try is counted before it is checked, and given back if it was right or was never made: so a thousand at once are not a thousand
//! guesses.

use tollgate_system::ambient;

use super::page::WebError;
use crate::App;

/// Wrong answers in [`WINDOW`] seconds. Of user codes there are 20^8, and each is good for ten minutes: of a thousand that wait, a
/// guesser meets one in 2.5 million windows.
const MAX_WRONG: u64 = 10;
const WINDOW: u64 = 600;

/// One try at something, counted already. Dropped, it counts as a wrong one.
#[must_use = "a try ends with how it went"]
pub(super) struct Try<'a> {
    app: &'a App,
    name: String,
}

impl Try<'_> {
    /// Counts a try at what is named, if another is allowed.
    pub(super) async fn begin(app: &App, name: String) -> Result<Try<'_>, WebError> {
        match app.store.attempt(&name, WINDOW, ambient::now()).await? <= MAX_WRONG {
            true => Ok(Try { app, name }),
            false => Err(WebError::too_often()),
        }
    }

    /// It was wrong: it counts.
    pub(super) fn failed(self) {}

    /// It was right, or was never made: it does not count.
    pub(super) async fn give_back(self) -> Result<(), WebError> {
        self.app.store.give_back_attempt(&self.name).await?;
        Ok(())
    }
}
