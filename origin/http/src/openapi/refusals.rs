//! What pages answer, and endpoints when they refuse, for their descriptions. Which of these an
//! endpoint can give stands beside its handler.

use std::collections::BTreeMap;

use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use crate::oauth::bearer::{BearerRefusal, Refused};
use crate::oauth::error::{self, OAuthError};
use crate::pages::error::WebError;
use crate::problem;
use crate::shared_signals::bearer::BearerError;

/// Answers by status.
type Answers = BTreeMap<String, RefOr<Response>>;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
const HTML: &str = "text/html; charset=utf-8";

const BAD_REQUEST: (u16, &str) = (400, "The request cannot be understood");
const UNAUTHORIZED: (u16, &str) = (401, "Who asks is not known; WWW-Authenticate says how to show it");
const FORBIDDEN: (u16, &str) = (403, "The token lacks the scope");
const NOT_FOUND: (u16, &str) = (404, "There is no such thing");
const CONFLICT: (u16, &str) = (409, "It contradicts what is there");
const TOO_LARGE: (u16, &str) = (413, "The body is too large");
const TOO_MANY: (u16, &str) = (429, "Too many requests; Retry-After says when to try again");
const UNAVAILABLE: (u16, &str) = (503, "Trouble of the server's own; Retry-After says when to try again");

/// Answers with a body of one schema.
fn answers<T: ToSchema>(media_type: &str, statuses: &[(u16, &str)]) -> Answers {
    let answer = |words: &str| {
        let content = match T::name().as_ref() {
            "String" => Content::new(Some(String::schema())),
            name => Content::new(Some(Ref::from_schema_name(name))),
        };
        RefOr::T(ResponseBuilder::new().description(words).content(media_type, content).build())
    };
    statuses.iter().map(|(status, words)| (status.to_string(), answer(words))).collect()
}

impl IntoResponses for OAuthError {
    fn responses() -> Answers {
        answers::<error::Body>(JSON, &[BAD_REQUEST, UNAUTHORIZED, TOO_MANY, UNAVAILABLE])
    }
}

impl IntoResponses for BearerRefusal {
    fn responses() -> Answers {
        let mut refused = answers::<Refused>(JSON, &[BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, UNAVAILABLE]);
        refused.extend(answers::<error::Body>(JSON, &[TOO_MANY]));
        refused
    }
}

impl IntoResponses for BearerError {
    fn responses() -> Answers {
        answers::<problem::Body>(PROBLEM, &[UNAUTHORIZED, FORBIDDEN, NOT_FOUND, UNAVAILABLE])
    }
}

impl IntoResponses for WebError {
    fn responses() -> Answers {
        answers::<String>(HTML, &[BAD_REQUEST, TOO_MANY, UNAVAILABLE])
    }
}

/// A page is shown.
pub(crate) struct Shown;

/// The browser is sent on.
pub(crate) struct SentOn;

impl IntoResponses for Shown {
    fn responses() -> Answers {
        answers::<String>(HTML, &[(200, "The page")])
    }
}

impl IntoResponses for SentOn {
    fn responses() -> Answers {
        let answer = ResponseBuilder::new().description("On to the next page, or back to the client").build();
        Answers::from([("303".to_owned(), RefOr::T(answer))])
    }
}

/// The console lets in administrators alone: it sends others to sign in, or away.
pub(crate) struct ConsolePage;

/// The form is shown again, and says what is wrong.
pub(crate) struct FormAgain;

/// What the page is about is not there.
pub(crate) struct Gone;

impl IntoResponses for ConsolePage {
    fn responses() -> Answers {
        let away = (403, "The user is not an administrator");
        let mut all = answers::<String>(HTML, &[BAD_REQUEST, away, UNAVAILABLE]);
        all.extend(SentOn::responses());
        all
    }
}

impl IntoResponses for FormAgain {
    fn responses() -> Answers {
        answers::<String>(HTML, &[(200, "It is asked once more"), (400, "The form again"), NOT_FOUND, CONFLICT])
    }
}

impl IntoResponses for Gone {
    fn responses() -> Answers {
        answers::<String>(HTML, &[NOT_FOUND])
    }
}

/// The audit log as a file.
pub(crate) struct AuditFile;

impl IntoResponses for AuditFile {
    fn responses() -> Answers {
        let text = || Content::new(Some(String::schema()));
        let response = ResponseBuilder::new().description("The lines, as a file");
        let response = response.content("application/jsonl", text()).content("text/csv; charset=utf-8", text());
        Answers::from([("200".to_owned(), RefOr::T(response.build()))])
    }
}

/// Defines a group of refusals as `application/problem+json`.
macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident: $($status:ident),+;)+) => { $(
        $(#[$doc])*
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> Answers {
                answers::<problem::Body>(PROBLEM, &[$($status),+])
            }
        }
    )+ };
}

problems! {
    /// A parameter cannot be read.
    BadRequest: BAD_REQUEST;
    /// A body cannot be read.
    BadBody: BAD_REQUEST, TOO_LARGE;
    /// A body is too large.
    TooLarge: TOO_LARGE;
    /// What the path names is not there.
    NotFound: NOT_FOUND;
    /// What is wanted cannot be beside what is there.
    Conflict: CONFLICT;
    /// Nobody is who may use the admin API, or the store does not answer.
    NotAdmin: UNAUTHORIZED, FORBIDDEN, TOO_MANY, UNAVAILABLE;
    /// The store does not answer.
    Unavailable: UNAVAILABLE;
}

/// The schemas that the refusals refer to.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(error::Body, Refused, problem::Body)))]
pub(crate) struct Schemas;
