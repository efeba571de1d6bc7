//! `/admin`: the administrators' console. Its pages and the admin API are two interfaces to the
//! same [commands](tollgate_services::admin), so that both leave the same state.
//!
//! Every page checks first that an administrator is signed in. Every form carries the CSRF token of
//! its browser. A dangerous action is confirmed on a page of its own. An action ends with a
//! redirect to a page that shows its outcome once.

pub(crate) mod admin_session;
mod chart;
mod client_form;
mod confirm;
mod flash;
mod search;

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

use crate::pages::error::{WebError, sentence};
use tollgate_services::admin::AdminError;

use crate::problem::Problem;

/// The status and the error with which a form is shown again. A failure of this server is an error
/// page instead.
fn form_error(error: AdminError) -> Result<(StatusCode, String), WebError> {
    let problem = Problem::from(error);
    match problem.status().is_client_error() {
        true => Ok((problem.status(), sentence(problem.detail()))),
        false => Err(problem.into()),
    }
}

/// A name as one segment of a path.
fn in_path(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}
