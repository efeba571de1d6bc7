//! `/admin`: the console, in which administrators see how the origin does and run it. Its pages are another face of what the admin
//! API does: they call the same [acts](crate::http::admin::acts), so that both leave the same state.
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

pub(in crate::http) mod audit;
pub(in crate::http) mod clients;
pub(in crate::http) mod edges;
pub(in crate::http) mod keys;
pub(in crate::http) mod overview;
pub(in crate::http) mod resources;
pub(in crate::http) mod revocations;
pub(in crate::http) mod routes;
pub(in crate::http) mod users;

use axum::http::StatusCode;

use super::page::{WebError, sentence};
use crate::http::problem::Problem;

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
