//! Encoded slashes in paths, where a route allows them.

use super::{Case, Section, Setup, Table, anonymous, bearer, get, insufficient, refused};

pub(super) const SECTION: Section = Section {
    name: "encoded slashes",
    setup: Setup::Plain,
    routes: &[
        r#"{"path":"/npm/*","encoded_slash":"allow"}"#,
        r#"{"path":"/npm/@secret/*","scope":["admin"]}"#,
        r#"{"path":"/projects/{id}/issues","scope":["reports:read"],"encoded_slash":"allow"}"#,
        r#"{"path":"/npm-open/*","public":true,"encoded_slash":"allow"}"#,
        r#"{"path":"/npm-scoped/*","scope":["admin"],"encoded_slash":"allow"}"#,
    ],
    cases: |table| table.encoded_slashes(),
};

impl Table<'_> {
    fn encoded_slashes(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let reader = bearer(&draft);
        let named = |target: &str, expected| get(&format!("path {target}"), target, &[&reader], expected);
        let passed = [
            "/npm/@types%2Fnode",
            "/npm/@types%2fnode/-/node-1.0.0.tgz",
            "/npm/a%2Fb%2Fc",
            "/npm/a%2F",
            "/projects/group%2Fproject/issues",
        ]
        .map(|target| named(target, self.identity(&draft)));
        let differ = ["/npm/@secret%2Fx", "/npm/%40secret%2Fx"].map(|target| {
            named(target, refused(400, "invalid_request", "the path's route depends on its encoded slashes"))
        });
        let ambiguous = |what: &str| {
            refused(400, "invalid_request", &format!("the path can be read in more than one way: it has {what}"))
        };
        let refused = [
            named("/npm/@secret/x", insufficient("admin")),
            named("/npm-scoped/a%2Fb", insufficient("admin")),
            named("/npm/..%2Fadmin", ambiguous("a dot segment")),
            named("/npm/a%2F%2Fb", ambiguous("an empty segment")),
            named("/npm/%2Fa", ambiguous("an empty segment")),
            named("/npm%2Fa", ambiguous("an encoded slash")),
            named("/npm/a%5Cb", ambiguous("a backslash")),
        ];
        let public = get("an encoded slash on a public route", "/npm-open/a%2Fb", &[], anonymous());
        passed.into_iter().chain(differ).chain(refused).chain([public]).collect()
    }
}
