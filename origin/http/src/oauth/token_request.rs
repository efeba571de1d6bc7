//! Request that the token endpoint passes to a grant type.

use super::client_auth::AuthenticatedClient;
use super::parameters::Parameters;
use crate::App;

/// A token request of an authenticated client.
#[derive(Clone)]
pub(super) struct TokenRequest<'a> {
    pub(super) app: &'a App,
    pub(super) caller: &'a AuthenticatedClient,
    pub(super) form: &'a Parameters,
    /// Thumbprint of the DPoP key (RFC 9449).
    pub(super) jkt: Option<String>,
}
