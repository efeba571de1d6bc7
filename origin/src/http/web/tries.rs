//! How often somebody may be wrong: a bound on guessing what is short or known to few, kept in the database, so that several origins
//! count together.

use super::page::WebError;
use crate::ambient;
use crate::http::App;

/// Wrong answers in [`WINDOW`] seconds. Of user codes there are 20^8, and each is good for ten minutes: of a thousand that wait, a
/// guesser meets one in 2.5 million windows.
const MAX_WRONG: u64 = 10;
const WINDOW: u64 = 600;

/// Somebody's tries at something.
pub(super) struct Tries<'a> {
    app: &'a App,
    name: String,
    now: u64,
}

impl Tries<'_> {
    /// The tries at what is named, if another is allowed.
    pub(super) async fn of(app: &App, name: String) -> Result<Tries<'_>, WebError> {
        let now = ambient::now();
        match app.store.attempts(&name, WINDOW, now).await? < MAX_WRONG {
            true => Ok(Tries { app, name, now }),
            false => Err(WebError::too_often()),
        }
    }

    /// Counts a wrong one.
    pub(super) async fn failed(self) -> Result<(), WebError> {
        self.app.store.attempt(&self.name, WINDOW, self.now).await?;
        Ok(())
    }
}
