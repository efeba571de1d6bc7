//! Request that the token endpoint passes to a grant type, and what all grant types work with.

use std::sync::Arc;

use tollgate_model::RefreshTokenPolicy;
use tollgate_services::cache::RegistrationCache;
use tollgate_services::client_jwks::ClientKeyCache;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_services::telemetry::Metrics;
use tollgate_storage::{Store, Writer};
use tollgate_system::Clock;

use super::bearer::BearerAuthenticator;
use super::caller::Caller;
use super::client_auth::{AuthenticatedClient, ClientAuthenticator};
use super::dpop::ProofVerifier;
use super::issue::TokenIssuer;
use super::parameters::Parameters;
use crate::issuer::Issuer;
use crate::pages::state::PageState;

/// State of the token endpoint.
pub(crate) struct TokenEndpoint {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) writer: Writer,
    pub(crate) cache: RegistrationCache,
    pub(crate) keys: SigningKeys,
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
