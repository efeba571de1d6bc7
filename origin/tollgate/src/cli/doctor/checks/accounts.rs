//! Whether someone can use the console.

use tollgate_model::error_chain::with_causes;

use super::{Deployment, Finding};

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let Some(store) = &deployment.store else {
        return vec![Finding::skipped("the database cannot be read: see above")];
    };
    vec![match store.has_active_admin().await {
        Ok(true) => Finding::ok("an administrator can sign in"),
        Ok(false) => Finding::fault(
            "no administrator can sign in",
            "The console cannot be used; the command line works without an administrator.",
            "Run `tollgate user create NAME --admin`, or `tollgate user make-admin NAME` for a user with a password.",
        ),
        Err(error) => {
            Finding::fault(with_causes(&error), "The users cannot be read.", "Look at the log of the database.")
        }
    }]
}
