//! Route rules by path, method and scope.

use super::{Answer, Case, Section, Setup, Table, anonymous, bearer, get, insufficient, refused};

pub(super) const SECTION: Section = Section {
    name: "routes",
    setup: Setup::Plain,
    routes: &[
        r#"{"path":"/reports/*","scope":["reports:read"]}"#,
        r#"{"path":"/reports/*","methods":["POST","DELETE"],"scope":["reports:read","reports:write"]}"#,
        r#"{"path":"/admin","scope":["admin"]}"#,
        r#"{"path":"/open/*","public":true}"#,
    ],
    cases: |table| table.route_rules(),
};

impl Table<'_> {
    fn route_rules(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let writer = self.eddsa().claim("scope", "x reports:write reports:read");
        let none = self.eddsa().claim("scope", ());
        let reader = bearer(&draft);
        let ambiguous = |what: &str| {
            refused(400, "invalid_request", &format!("the path can be read in more than one way: it has {what}"))
        };
        let capitals = || {
            let why = "the path's route depends on capital letters, or on spaces or dots at the end of a segment";
            refused(400, "invalid_request", why)
        };
        let not_found = Answer { status: 404, error: Some("not_found".into()), ..Answer::default() };
        vec![
            get("a route's scope", "/reports/7?page=2", &[&reader], self.identity(&draft)),
            get("a route's scope is missing", "/admin", &[&reader], insufficient("admin")),
            get("a route's scope, percent-encoded path", "/%61dmin", &[&reader], insufficient("admin")),
            get("no scope at all", "/reports/7", &[&bearer(&none)], insufficient("reports:read")),
            get("a method's scope", "/reports/7", &[&bearer(&writer)], self.identity(&writer)).with_method("POST"),
            get("a method's scope is missing", "/reports/7", &[&reader], insufficient("reports:read reports:write"))
                .with_method("DELETE"),
            get("a public route", "/open/door", &[], anonymous()),
            get("a public route with a token", "/open/door", &[&reader], self.identity(&draft)),
            get("a public route with a bad token", "/open/door", &["Bearer abc"], anonymous()),
            get("identity headers of the client's own", "/", &[&reader], self.identity(&draft)).with_forged_identity(),
            get("identity headers of a client without a token", "/open/door", &[], anonymous()).with_forged_identity(),
            get("an encoded slash", "/open/..%2fadmin", &[&reader], ambiguous("a dot segment")),
            get("a segment with a parameter", "/admin;x", &[&reader], ambiguous("a semicolon")),
            get(
                "an encoded question mark",
                "/admin%3Fx",
                &[&reader],
                ambiguous("an encoded question mark or a number sign"),
            ),
            get(
                "an encoded number sign",
                "/admin%23x",
                &[&reader],
                ambiguous("an encoded question mark or a number sign"),
            ),
            get("a rule passed by capitals", "/ADMIN", &[&reader], capitals()),
            get("a rule passed by a space at the end", "/admin%20", &[&reader], capitals()),
            get("a rule passed by a dot at the end", "/admin.", &[&reader], capitals()),
            get("a dot and a space that pass no rule", "/st.%20john.", &[&reader], self.identity(&draft)),
            get("a rule passed by a slash at the end", "/admin/", &[&reader], insufficient("admin")),
            get("an empty segment", "/open//admin", &[&reader], ambiguous("an empty segment")),
            get("the gate's own pages stay its own", "/_tollgate/secret", &[&reader], not_found),
        ]
    }
}
