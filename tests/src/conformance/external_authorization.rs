//! External authorization: a proxy asks whether its request may pass. By the routes of `routes`.

use super::{Case, Section, Setup, Table, bearer, challenged, get, insufficient, refused};

pub(super) const SECTION: Section = Section {
    name: "external authorization",
    setup: Setup::Plain,
    routes: &[],
    cases: |table| table.external_authorization(),
};

impl Table<'_> {
    fn external_authorization(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let reader = bearer(&draft);
        let missing = "the proxied request's URI is missing: set X-Original-URI";
        let no_method = "the proxied request's method is missing: set X-Original-Method";
        let two = "X-Original-* and X-Forwarded-Uri or -Method are both set";
        let ask = |name: &str, credentials: &[&str], expected| get(name, "/_tollgate/validate", credentials, expected);
        vec![
            ask("validate asked by nginx", &[&reader], self.identity(&draft))
                .with("X-Original-URI", "/reports/1")
                .with("X-Original-Method", "GET"),
            ask("validate asked by Traefik", &[&reader], insufficient("reports:read reports:write"))
                .with("X-Forwarded-Uri", "/reports/1")
                .with("X-Forwarded-Method", "POST"),
            get("validate asked by Envoy", "/_tollgate/validate/admin", &[&reader], insufficient("admin")),
            ask("validate asked without a token", &[], challenged())
                .with("X-Original-URI", "/reports/1")
                .with("X-Original-Method", "GET"),
            ask("validate asked about a public route", &[], self.empty_identity())
                .with("X-Original-URI", "/open/x")
                .with("X-Original-Method", "GET"),
            ask("validate asked about nothing", &[&reader], refused(400, "invalid_request", missing)),
            ask(
                "validate asked about a method that differs from a rule's by case",
                &[&reader],
                refused(400, "invalid_request", "the method's route depends on capital letters"),
            )
            .with("X-Original-URI", "/reports/1")
            .with("X-Original-Method", "delete"),
            ask("validate asked without the method", &[&reader], refused(400, "invalid_request", no_method))
                .with("X-Original-URI", "/reports/1"),
            ask(
                "validate asked by Traefik for a client that names another request",
                &[&reader],
                refused(400, "invalid_request", two),
            )
            .with("X-Forwarded-Uri", "/admin")
            .with("X-Forwarded-Method", "DELETE")
            .with("X-Original-URI", "/open/x"),
            get(
                "validate asked by Envoy for a client that names another request",
                "/_tollgate/validate/admin",
                &[&reader],
                insufficient("admin"),
            )
            .with("X-Original-URI", "/open/x")
            .with("X-Original-Method", "GET"),
        ]
    }
}
