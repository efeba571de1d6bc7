//! Responses of pages and error responses of endpoints, for the OpenAPI document. The annotation of
//! a handler names those that it can return.

use std::collections::BTreeMap;

use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::oauth::bearer::{BearerRefusal, Refused};
use crate::oauth::error::{self, OAuthError};
use crate::pages::error::WebError;
use crate::problem;
use crate::shared_signals::bearer::BearerError;

/// Responses by status.
type Responses = BTreeMap<String, RefOr<Response>>;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
const HTML: &str = "text/html; charset=utf-8";

const BAD_REQUEST: (u16, &str) = (400, "Malformed request");
const UNAUTHORIZED: (u16, &str) = (401, "Authentication is required; WWW-Authenticate has the scheme");
const FORBIDDEN: (u16, &str) = (403, "The token lacks the scope");
const NOT_FOUND: (u16, &str) = (404, "Not found");
const CONFLICT: (u16, &str) = (409, "Conflict with the current state");
const TOO_LARGE: (u16, &str) = (413, "The body is too large");
const TOO_MANY: (u16, &str) = (429, "Too many requests; retry after Retry-After");
const UNAVAILABLE: (u16, &str) = (503, "The server failed; retry after Retry-After");

/// Responses with the same media type and schema.
fn responses_of<T: ToSchema>(media_type: &str, statuses: &[(u16, &str)]) -> Responses {
    let response = |description: &str| {
        let content = match T::name().as_ref() {
            "String" => Content::new(Some(String::schema())),
            name => Content::new(Some(Ref::from_schema_name(name))),
        };
        RefOr::T(ResponseBuilder::new().description(description).content(media_type, content).build())
    };
    statuses.iter().map(|(status, description)| (status.to_string(), response(description))).collect()
}

impl IntoResponses for OAuthError {
    fn responses() -> Responses {
        responses_of::<error::Body>(JSON, &[BAD_REQUEST, UNAUTHORIZED, TOO_MANY, UNAVAILABLE])
    }
}

impl IntoResponses for BearerRefusal {
    fn responses() -> Responses {
        let mut refused = responses_of::<Refused>(JSON, &[BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, UNAVAILABLE]);
        refused.extend(responses_of::<error::Body>(JSON, &[TOO_MANY]));
        refused
    }
}

impl IntoResponses for BearerError {
    fn responses() -> Responses {
        responses_of::<problem::Body>(PROBLEM, &[UNAUTHORIZED, FORBIDDEN, NOT_FOUND, UNAVAILABLE])
    }
}

impl IntoResponses for WebError {
    fn responses() -> Responses {
        responses_of::<String>(HTML, &[BAD_REQUEST, TOO_MANY, UNAVAILABLE])
    }
}

/// A page.
pub(crate) struct HtmlPage;

/// A redirect.
pub(crate) struct SeeOther;

impl IntoResponses for HtmlPage {
    fn responses() -> Responses {
        responses_of::<String>(HTML, &[(200, "Page")])
    }
}

impl IntoResponses for SeeOther {
    fn responses() -> Responses {
        let response = ResponseBuilder::new().description("Redirect to the next page or to the client").build();
        Responses::from([("303".to_owned(), RefOr::T(response))])
    }
}

/// Responses of the console to those who are not administrators.
pub(crate) struct ConsolePage;

/// The form with an error message.
pub(crate) struct FormWithErrors;

/// Page of a missing object.
pub(crate) struct PageNotFound;

impl IntoResponses for ConsolePage {
    fn responses() -> Responses {
        let forbidden = (403, "The user is not an administrator");
        let mut all = responses_of::<String>(HTML, &[BAD_REQUEST, forbidden, UNAVAILABLE]);
        all.extend(SeeOther::responses());
        all
    }
}

impl IntoResponses for FormWithErrors {
    fn responses() -> Responses {
        responses_of::<String>(
            HTML,
            &[(200, "Confirmation page"), (400, "Form with an error message"), NOT_FOUND, CONFLICT],
        )
    }
}

impl IntoResponses for PageNotFound {
    fn responses() -> Responses {
        responses_of::<String>(HTML, &[NOT_FOUND])
    }
}

/// Download of the audit log.
pub(crate) struct AuditFile;

impl IntoResponses for AuditFile {
    fn responses() -> Responses {
        let text = || Content::new(Some(String::schema()));
        let response = ResponseBuilder::new().description("Entries, as a file");
        let response = response.content("application/jsonl", text()).content("text/csv; charset=utf-8", text());
        Responses::from([("200".to_owned(), RefOr::T(response.build()))])
    }
}

/// Defines types of error responses as `application/problem+json`.
macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident: $($status:ident),+;)+) => { $(
        $(#[$doc])*
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> Responses {
                responses_of::<problem::Body>(PROBLEM, &[$($status),+])
            }
        }
    )+ };
}

problems! {
    /// Invalid parameter.
    BadRequest: BAD_REQUEST;
    /// Invalid body.
    BadBody: BAD_REQUEST, TOO_LARGE;
    /// Body too large.
    TooLarge: TOO_LARGE;
    /// Missing object.
    NotFound: NOT_FOUND;
    /// Conflict with the current state.
    Conflict: CONFLICT;
    /// Authentication and availability errors of the admin API.
    AdminErrors: UNAUTHORIZED, FORBIDDEN, TOO_MANY, UNAVAILABLE;
    /// Store unavailable.
    Unavailable: UNAVAILABLE;
}

/// Schemas of error bodies.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(error::Body, Refused, problem::Body)))]
pub(crate) struct ErrorSchemas;
