//! Request that the token endpoint passes to a grant type, and what all grant types work with.

use std::ops::Deref;
use std::sync::Arc;

use tollgate_model::RefreshTokenPolicy;
use tollgate_services::client_jwks::ClientKeyCache;
use tollgate_services::telemetry::Metrics;

use super::bearer::BearerAuthenticator;
use super::caller::Caller;
use super::client_auth::{AuthenticatedClient, ClientAuthenticator};
use super::dpop::ProofVerifier;
use super::issue::TokenIssuer;
use super::parameters::Parameters;
use crate::pages::state::PageState;

/// State of the token endpoint.
pub(crate) struct TokenEndpoint {
    /// Issues the tokens, with the services that grant types work with as well.
    pub(crate) tokens: TokenIssuer,
    pub(crate) refresh: RefreshTokenPolicy,
    pub(crate) clients: Arc<ClientAuthenticator>,
    pub(crate) client_keys: Arc<ClientKeyCache>,
    pub(crate) bearers: Arc<BearerAuthenticator>,
    pub(crate) proofs: Arc<ProofVerifier>,
    pub(crate) metrics: Arc<Metrics>,
    /// Signs users in for the password grant; none where the server does not offer it.
    pub(crate) password_grant: Option<Arc<PageState>>,
}

impl Deref for TokenEndpoint {
    type Target = TokenIssuer;

    fn deref(&self) -> &TokenIssuer {
        &self.tokens
    }
}

/// A token request of an authenticated client.
#[derive(Clone)]
pub(super) struct TokenRequest<'a> {
    pub(super) endpoint: &'a TokenEndpoint,
    pub(super) caller: &'a AuthenticatedClient,
    pub(super) sent_by: &'a Caller,
    pub(super) form: &'a Parameters,
    /// Thumbprint of the DPoP key (RFC 9449).
    pub(super) jkt: Option<String>,
}
