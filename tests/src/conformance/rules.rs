//! Route rules by host, by path pattern, and by what the token says.

use serde_json::{Value, json};

use super::{Answer, Case, Section, Setup, Table, bearer, get, insufficient, refused};
use crate::token_builder::TokenBuilder;

pub(super) const SECTION: Section = Section {
    name: "rules",
    setup: Setup::Plain,
    routes: &[
        r#"{"path":"/rules/hosts/*","scope":["any"]}"#,
        r#"{"path":"/rules/hosts/*","hosts":["api.example"],"scope":["api"]}"#,
        r#"{"path":"/rules/hosts/*","hosts":["*.example"],"scope":["below"]}"#,
        r#"{"path":"/rules/hosts/*","hosts":["*.b.example"],"methods":["GET"],"scope":["below-b"]}"#,
        r#"{"path":"/rules/patterns/*","scope":["all"]}"#,
        r#"{"path":"/rules/patterns/{id}","scope":["one"]}"#,
        r#"{"path":"/rules/patterns/{id}/items/*","scope":["items"]}"#,
        r#"{"path":"/rules/patterns/new","scope":["new"]}"#,
        r#"{"path":"/rules/slash","scope":["bare"]}"#,
        r#"{"path":"/rules/slash/","scope":["slash"]}"#,
        r#"{"path":"/rules/claims/*","claims":[{"name":"tenant","one_of":["a","b"]},{"name":"roles","contains":"writer"},{"name":"level","equals":7}]}"#,
        r#"{"path":"/rules/clients/*","clients":["other","b-client"]}"#,
        r#"{"path":"/rules/any/*","scope_any":["write","list"]}"#,
        r#"{"path":"/rules/audience/*","audience":"https://other.example"}"#,
        r#"{"path":"/rules/step-up/*","acr":["gold","silver"],"max_age":300}"#,
    ],
    cases: |table| [table.rules_by_host(), table.rules_by_pattern(), table.rules_by_token()].concat(),
};

impl Table<'_> {
    fn rules_by_host(&self) -> Vec<Case> {
        let reader = bearer(&self.eddsa());
        let no_host = || refused(400, "invalid_request", "the route depends on the host, and the request names none");
        let on = |host: &str, scope: &str| {
            get(&format!("a rule for {host}"), "/rules/hosts/x", &[&reader], insufficient(scope)).with("Host", host)
        };
        let asked = |name: &str, expected: Answer| {
            get(name, "/_tollgate/validate", &[&reader], expected)
                .with("X-Original-URI", "/rules/hosts/x")
                .with("X-Original-Method", "GET")
        };
        let mut cases = vec![
            on("api.example", "api"),
            on("API.Example", "api"),
            on("api.example:8443", "api"),
            on("a.example", "below"),
            on("c.b.example", "below-b"),
            on("c.b.example", "below").with_method("PUT"),
            on("example", "any"),
            on("api.example.test", "any"),
            on("other.test", "any").with("X-Forwarded-Host", "api.example"),
            asked("a proxy that names the host", insufficient("api")).with("X-Original-Host", "api.example"),
            asked("a proxy that does not name the host", no_host()),
            asked("a host of another family of headers", no_host()).with("X-Forwarded-Host", "api.example"),
        ];
        let mut without = get("a request without a host", "/rules/hosts/x", &[&reader], no_host());
        without.fits_http = false;
        let mut dotted = on("api.example.", "any");
        (dotted.expected, dotted.fits_http) = (no_host(), false);
        cases.extend([without, dotted]);
        cases
    }

    fn rules_by_pattern(&self) -> Vec<Case> {
        let reader = bearer(&self.eddsa());
        let case =
            |path: &str, scope: &str| get(&format!("the rule for {path}"), path, &[&reader], insufficient(scope));
        let ambiguous = |path: &str| {
            let why = "the path's route depends on capital letters, or on spaces or dots at the end of a segment";
            get(&format!("a path read in two ways: {path}"), path, &[&reader], refused(400, "invalid_request", why))
        };
        vec![
            case("/rules/patterns/7", "one"),
            case("/rules/patterns/7/", "one"),
            case("/rules/patterns/%37", "one"),
            case("/rules/patterns/A%20B", "one"),
            case("/rules/patterns/7/items", "items"),
            case("/rules/patterns/7/items/", "items"),
            case("/rules/patterns/7/items/8/9", "items"),
            case("/rules/patterns/7/item", "all"),
            case("/rules/patterns", "all"),
            case("/rules/patterns/", "all"),
            case("/rules/patterns/new", "new"),
            case("/rules/patterns/new/items/1", "items"),
            case("/rules/slash", "bare"),
            case("/rules/slash/", "slash"),
            ambiguous("/rules/patterns/New"),
            ambiguous("/rules/patterns/new."),
            ambiguous("/rules/patterns/7/Items/8"),
        ]
    }

    fn rules_by_token(&self) -> Vec<Case> {
        let now = self.now;
        let one = |name: &str, path: &str, draft: TokenBuilder<'_>, refusal: Option<Answer>| {
            let expected = refusal.unwrap_or_else(|| self.identity(&draft));
            get(name, format!("/rules/{path}/x"), &[&bearer(&draft)], expected)
        };
        let claims = |tenant: Value, roles: Value, level: Value| {
            self.eddsa().claim("tenant", tenant).claim("roles", roles).claim("level", level)
        };
        let wrong_claim = || {
            Some(refused(403, "insufficient_scope", "a claim of the token does not meet the condition of the route"))
        };
        let wrong_client = || Some(refused(403, "insufficient_scope", "the route is for other clients"));
        let step_up = || {
            let why = "the route needs a more recent or a stronger authentication of the user";
            let mut answer = refused(401, "insufficient_user_authentication", why);
            answer.challenge =
                answer.challenge.map(|challenge| format!("{challenge}, acr_values=\"gold silver\", max_age=\"300\""));
            Some(answer)
        };
        let signed_in = |acr: &str, auth_time: u64| self.eddsa().claim("acr", acr).claim("auth_time", auth_time);
        vec![
            one("claims meet the rule", "claims", claims(json!("b"), json!(["reader", "writer"]), json!(7)), None),
            one("a claim of words", "claims", claims(json!("a"), json!("reader writer"), json!(7)), None),
            one("a claim of another value", "claims", claims(json!("c"), json!(["writer"]), json!(7)), wrong_claim()),
            one("a claim without the value", "claims", claims(json!("a"), json!(["write"]), json!(7)), wrong_claim()),
            one("a claim of another type", "claims", claims(json!("a"), json!(["writer"]), json!("7")), wrong_claim()),
            one("a claim that nests it", "claims", claims(json!(["a"]), json!("writer"), json!(7)), wrong_claim()),
            one("no claims", "claims", self.eddsa(), wrong_claim()),
            one("a client of the rule", "clients", self.eddsa().claim("client_id", "other"), None),
            one("another client", "clients", self.eddsa(), wrong_client()),
            one("a client with more letters", "clients", self.eddsa().claim("client_id", "others"), wrong_client()),
            one("one of the scope values", "any", self.eddsa().claim("scope", "x list"), None),
            one("none of the scope values", "any", self.eddsa(), Some(insufficient("list"))),
            one("the audience of the rule", "audience", self.eddsa().claim("aud", "https://other.example"), None),
            one(
                "the audience of the edge on a route with its own",
                "audience",
                self.eddsa(),
                Some(refused(401, "invalid_token", "the token is for another audience")),
            ),
            one("a strong and recent authentication", "step-up", signed_in("silver", now - 100), None),
            one("a weak authentication", "step-up", signed_in("bronze", now - 100), step_up()),
            one("an authentication long ago", "step-up", signed_in("gold", now - 400), step_up()),
            one("an authentication in the future", "step-up", signed_in("gold", now + 400), step_up()),
            one("no authentication time", "step-up", self.eddsa().claim("acr", "gold"), step_up()),
        ]
    }
}
