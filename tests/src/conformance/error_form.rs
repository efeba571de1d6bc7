//! The form of errors: JSON, or problem details (RFC 9457) where the client prefers them.

use serde_json::json;

use super::{Answer, Case, Section, Setup, Table, challenged, get, insufficient, refused};

pub(super) const SECTION: Section = Section {
    name: "form of errors",
    setup: Setup::Plain,
    routes: &[r#"{"path":"/errors/admin","scope":["admin"]}"#],
    cases: |table| table.error_forms(),
};

const PROBLEM: &str = "application/problem+json";

/// Values of `Accept` for which an error has problem details.
const PREFERS_PROBLEM_DETAILS: &[&str] = &[
    PROBLEM,
    "Application/Problem+JSON",
    "application/problem+json, application/json",
    "application/json, application/problem+json",
    "application/problem+json;q=0.5",
    "application/problem+json; q=0.001, text/html",
    "*/*;q=0.1, application/problem+json;q=0.2",
    "application/json;q=0.8, application/problem+json;q=0.9",
    "application/json;q=0.8, application/*;q=1, application/problem+json;q=0.9",
    "text/html;level=\"a, application/json\", application/problem+json;q=0.1",
];

/// Values for which it is JSON.
const PREFERS_JSON: &[&str] = &[
    "*/*",
    "application/json",
    "application/*",
    "text/html",
    "application/problem+xml",
    "application/problem+json;q=0",
    "application/problem+json;q=0.5, application/json",
    "application/problem+json;q=0.5, */*",
    "application/problem+json;q=1.5",
    "text/html;a=\"application/problem+json\"",
];

impl Table<'_> {
    fn error_forms(&self) -> Vec<Case> {
        let reader = super::bearer(&self.eddsa());
        let expired = || refused(401, "invalid_token", "the token has expired");
        let old = super::bearer(&self.eddsa().shifted(-7200));
        let problems = PREFERS_PROBLEM_DETAILS.iter().map(|accept| {
            get(&format!("problem details for {accept}"), "/errors/x", &[&old], expired())
                .with("Accept", accept)
                .response_has("content-type", PROBLEM)
                .body_has(json!({ "title": "Unauthorized", "status": 401, "detail": "the token has expired" }))
        });
        let others = PREFERS_JSON.iter().map(|accept| {
            get(&format!("JSON for {accept}"), "/errors/x", &[&old], expired())
                .with("Accept", accept)
                .response_has("content-type", "application/json")
                .body_has(json!({ "error_description": "the token has expired" }))
        });
        let not_found = Answer { status: 404, error: Some("not_found".into()), ..Answer::default() };
        let missing = "the proxied request's URI is missing: set X-Original-URI";
        let by_status = [
            get("problem details of a missing scope", "/errors/admin", &[&reader], insufficient("admin"))
                .body_has(json!({ "title": "Forbidden", "status": 403, "detail": "the scope admin is needed" })),
            get("problem details of a missing token", "/errors/x", &[], challenged())
                .body_has(json!({ "title": "Unauthorized", "detail": "the request has no access token" })),
            get("problem details of a missing page", "/_tollgate/x", &[], not_found)
                .body_has(json!({ "title": "Not Found", "status": 404, "detail": "the gate has no such page" })),
            get("problem details to a proxy", "/_tollgate/validate", &[], refused(400, "invalid_request", missing))
                .body_has(json!({ "title": "Bad Request", "status": 400, "detail": missing })),
        ];
        let by_status = by_status.map(|case| case.with("Accept", PROBLEM).response_has("content-type", PROBLEM));
        let without_body = get("no token, JSON", "/errors/x", &[], challenged()).response_lacks("content-type");
        problems.chain(others).chain(by_status).chain([without_body]).collect()
    }
}
