//! The conformance table: what every edge answers to which token in which request. The same table
//! runs against the gate called natively, the WIT component, the Spin component under wasmtime, and
//! the Worker under workerd.
//!
//! A file of this folder is a [`Section`] of the table: its cases, the routes that they need, and
//! the setup of the edge. To add a section, write its file and list it in [`SECTIONS`].

mod case;
mod cors;
mod encoded_slash;
mod error_form;
mod external_authorization;
mod identity;
mod paths;
mod profile;
mod proxy_headers;
mod resource_metadata;
mod routes;
mod rules;
mod tokens;

use tollgate_model::TokenAlg;

pub use case::{Answer, Case, Exchange};
use case::{Scheme, anonymous, bearer, challenged, get, insufficient, refused, refused_by};

use crate::token_builder::TokenBuilder;
use crate::token_factory::TokenFactory;

/// All sections, in the order in which they run.
pub const SECTIONS: &[Section] = &[
    tokens::SECTION,
    routes::SECTION,
    rules::SECTION,
    external_authorization::SECTION,
    paths::SECTION,
    encoded_slash::SECTION,
    error_form::SECTION,
    cors::SECTION,
    resource_metadata::UNKNOWN,
    proxy_headers::SECTION,
    proxy_headers::TRUSTED,
    identity::SECTION,
    resource_metadata::SECTION,
    profile::SECTION,
];

/// A part of the table.
pub struct Section {
    /// Name for the printed counts.
    pub name: &'static str,
    /// The edge that gets the cases.
    pub setup: Setup,
    /// Route documents in JSON. The origin gets those of all sections, so their paths begin with a
    /// segment that no other section uses.
    pub routes: &'static [&'static str],
    /// Builds the cases. They run in this order.
    pub cases: fn(&Table<'_>) -> Vec<Case>,
}

/// The settings of an edge that gets cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Only the required settings.
    Plain,
    /// The optional settings that change responses or what the upstream receives.
    Gateway,
}

impl Setup {
    /// All setups; a host starts an edge for each.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Gateway];

    /// Settings in addition to the required ones.
    pub fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Plain => &[],
            Self::Gateway => &[
                // Every host of the tests has its clients on this machine.
                ("TOLLGATE_EDGE_TRUSTED_PROXIES", "127.0.0.0/8, ::1"),
                ("TOLLGATE_EDGE_PUBLIC_URL", "https://edge.example"),
                ("TOLLGATE_EDGE_IDENTITY_PREFIX", "X-Auth-"),
                ("TOLLGATE_EDGE_IDENTITY_KEY", IDENTITY_KEY),
                ("TOLLGATE_EDGE_IDENTITY_AUDIENCE", "https://upstream.example"),
            ],
        }
    }
}

/// The key of identity tokens: that of RFC 8037 appendix A.1.
const IDENTITY_KEY: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
/// The `jti` that the origin must revoke before the table runs.
pub const REVOKED: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// What cases are built from.
pub struct Table<'a> {
    /// Signs tokens with the origin's keys.
    pub factory: &'a TokenFactory,
    /// Unix seconds.
    pub now: u64,
}

impl<'a> Table<'a> {
    /// The cases for an audience whose resource server has tokens of type `JWT`.
    pub fn plain_jwt_cases(&self) -> Vec<Case> {
        self.plain_jwts()
    }

    fn good(&self, alg: TokenAlg) -> TokenBuilder<'a> {
        self.factory.token(alg, self.now)
    }

    fn eddsa(&self) -> TokenBuilder<'a> {
        self.good(TokenAlg::EdDsa)
    }

    fn passes(&self, name: &str, draft: &TokenBuilder<'_>) -> Case {
        get(name, "/anything", &[&bearer(draft)], self.identity(draft))
    }

    fn fails(&self, name: &str, token: &str, why: &str) -> Case {
        get(name, "/anything", &[&format!("Bearer {token}")], refused(401, "invalid_token", why))
    }

    /// `validate` returns empty identity headers, so that the proxy overwrites those that its
    /// client forged.
    fn empty_identity(&self) -> Answer {
        let mut answer = self.identity(&self.eddsa());
        answer.identity.iter_mut().flat_map(|identity| identity.values_mut()).for_each(String::clear);
        answer
    }

    /// The upstream receives the identity of the token.
    fn identity(&self, draft: &TokenBuilder<'_>) -> Answer {
        let identity = [
            ("issuer", self.factory.issuer.clone()),
            ("subject", draft.text("sub").replace('%', "%25").replace('é', "%C3%A9")),
            ("client-id", draft.text("client_id")),
            ("scope", draft.text("scope")),
            ("token-id", draft.text("jti")),
            ("expires-at", draft.text("exp")),
        ]
        .map(|(name, value)| (format!("x-tollgate-{name}"), value));
        Answer { status: 200, identity: Some(identity.into()), ..Answer::default() }
    }
}
