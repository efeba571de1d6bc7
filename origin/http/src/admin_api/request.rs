//! What handlers of the admin API take from a request.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use serde::Deserialize;
use tollgate_model::{Actor, text};
use tollgate_services::admin::Administration;

use super::auth::{AdminApi, authenticate};
use crate::issuer::Issuer;
use crate::oauth::parameters::Parameters;
use crate::problem::Problem;

/// An authenticated administrator. It is the first argument of a handler, so that nothing else of
/// the request is judged before.
pub(crate) struct Administrator {
    pub(super) issuer: Arc<Issuer>,
    pub(super) commands: Arc<Administration>,
    /// The actor in the audit log.
    pub(super) by: Actor,
}

impl<S: Send + Sync> FromRequestParts<S> for Administrator
where
    Arc<AdminApi>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Administrator, Problem> {
        let api: Arc<AdminApi> = FromRef::from_ref(state);
        let by = authenticate(&api, &parts.headers).await?;
        Ok(Administrator { issuer: Arc::clone(&api.issuer), commands: Arc::clone(&api.commands), by })
    }
}

/// The parameters of the query.
pub(crate) struct AdminQuery(pub(super) Parameters);

impl<S: Send + Sync> FromRequestParts<S> for AdminQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<AdminQuery, Problem> {
        let query = Parameters::from_form(parts.uri.query().unwrap_or_default()).and_then(Parameters::storable);
        query.map(AdminQuery).map_err(|error| Problem::bad_request(&error.to_string()))
    }
}

impl AdminQuery {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// A parameter that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Problem> {
        self.get(name).ok_or_else(|| Problem::bad_request(&format!("{name} is missing")))
    }

    /// A parameter that is `true` or `false`; false if it is absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::bad_request(&format!("{name} must be true or false"))),
        }
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let number = self.get(name).map(str::parse).transpose();
        number.map_err(|_| Problem::bad_request(&format!("{name} must be a whole number")))
    }
}

/// Parses a JSON body that has to be this, such as `a rule`.
pub(super) fn parse_body<'a, T: Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, Problem> {
    text::json(body).map_err(|error| Problem::bad_request(&format!("the body is not {what}: {error}")))
}
