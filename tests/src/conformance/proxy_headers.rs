//! Headers that say where a request came from, or that override it: only trusted proxies may send
//! them.

use super::{Case, Section, Setup, Table, anonymous, bearer, get};

pub(super) const SECTION: Section = Section {
    name: "headers of untrusted clients",
    setup: Setup::Plain,
    routes: &[],
    cases: |table| table.proxy_headers(),
};

/// The same headers from a trusted proxy.
pub(super) const TRUSTED: Section = Section {
    name: "headers of trusted proxies",
    setup: Setup::Gateway,
    routes: &[],
    cases: |table| table.trusted_proxy_headers(),
};

/// Headers of proxies that upstreams believe.
const OF_PROXIES: &[&str] = &[
    "forwarded",
    "x-real-ip",
    "x-real-port",
    "x-forwarded",
    "x-forwarded-user",
    "x-forwarded-prefix",
    "x-forwarded-port",
    "x-forwarded-client-cert",
    "x-client-ip",
    "x-client-cert",
    "x-cluster-client-ip",
    "x-originating-ip",
    "x-remote-ip",
    "x-remote-user",
    "x-original-host",
    "x-original-uri",
    "x-envoy-external-address",
    "x-azure-clientip",
    "x-ssl-client-verify",
    "x-auth-request-user",
    "ssl-client-cert",
    "client-cert",
    "client-cert-chain",
    "remote-user",
    "true-client-ip",
    "fastly-client-ip",
    "fly-client-ip",
];

/// Headers by which frameworks replace method or path.
const OVERRIDES: &[&str] = &["x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"];

impl Table<'_> {
    fn proxy_headers(&self) -> Vec<Case> {
        let draft = self.eddsa();
        let reader = bearer(&draft);
        let removed = OF_PROXIES.iter().chain(OVERRIDES).map(|name| {
            get(&format!("{name} of a client"), "/headers", &[&reader], self.identity(&draft))
                .with(name, "203.0.113.9")
                .upstream_lacks(name)
        });
        let spelled_with_underscores =
            get("a proxy's header with underscores", "/headers", &[&reader], self.identity(&draft))
                .with("x_forwarded_user", "root")
                .upstream_lacks("x_forwarded_user");
        let replaced = get("a client's own address", "/headers", &[&reader], self.identity(&draft))
            .with("x-forwarded-for", "203.0.113.9")
            .with("x-forwarded-proto", "gopher")
            .upstream_gets("x-forwarded-proto", "http");
        let kept = get("other headers pass", "/headers", &[&reader], self.identity(&draft))
            .with("x-request-id", "7")
            .with("accept-language", "ar")
            .upstream_gets("x-request-id", "7")
            .upstream_gets("accept-language", "ar");
        removed.chain([spelled_with_underscores, replaced, kept]).collect()
    }

    fn trusted_proxy_headers(&self) -> Vec<Case> {
        let reader = bearer(&self.eddsa());
        // At a Worker, this header names the peer: Cloudflare overwrites that of a client.
        let from_proxy =
            |name: &str| get(name, "/headers", &[&reader], anonymous()).with("cf-connecting-ip", "127.0.0.1");
        let kept = OF_PROXIES.iter().map(|name| {
            from_proxy(&format!("{name} of a proxy")).with(name, "203.0.113.9").upstream_gets(name, "203.0.113.9")
        });
        let overrides = OVERRIDES
            .iter()
            .map(|name| from_proxy(&format!("{name} of a proxy")).with(name, "DELETE").upstream_lacks(name));
        let with_underscores = from_proxy("a header with underscores from a proxy")
            .with("x_forwarded_user", "root")
            .upstream_lacks("x_forwarded_user");
        kept.chain(overrides).chain([with_underscores]).collect()
    }
}
