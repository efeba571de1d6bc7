//! `/admin`: the console, in which administrators see how the origin does and run it. Its pages are another face of what the admin
//! API does: they call the same [acts](crate::admin_api::acts), so that both leave the same state.
//!
//! Every page asks who is there first, every form carries the token of its browser, what is dangerous is asked once more on a page
//! of its own, and an act is followed by a redirect to a page that tells of it once.

mod chart;
mod client_form;
mod confirm;
mod moment;
mod operator;
mod search;
mod told;

pub(crate) mod audit;
pub(crate) mod clients;
pub(crate) mod edges;
pub(crate) mod keys;
pub(crate) mod overview;
pub(crate) mod resources;
pub(crate) mod revocations;
pub(crate) mod routes;
pub(crate) mod users;

use axum::http::StatusCode;

use crate::pages::page::{WebError, sentence};
use crate::problem::Problem;

/// Why a form is shown again, with the status of the answer; trouble of our own is an error page.
fn refused(problem: Problem) -> Result<(StatusCode, String), WebError> {
    match problem.status().is_client_error() {
        true => Ok((problem.status(), sentence(problem.detail()))),
        false => Err(problem.into()),
    }
}

/// A name as one segment of a path.
fn in_path(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}
