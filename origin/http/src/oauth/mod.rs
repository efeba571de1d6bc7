//! OAuth 2.0 endpoints, one file each; `grants` has one file for each grant type.

pub(super) mod assertion;
pub(super) mod authorization;
pub(super) mod authorization_response;
pub(super) mod authorize;
pub(super) mod bearer;
pub(super) mod caller;
pub(super) mod certificate;
pub(super) mod client_auth;
pub(super) mod device;
pub(super) mod dpop;
pub(super) mod error;
pub(super) mod form_encoding;
mod front_channel;
pub(super) mod grants;
pub(super) mod id_token;
pub(super) mod id_token_hint;
pub(super) mod introspect;
pub(super) mod issue;
pub(super) mod par;
pub(super) mod parameters;
pub(super) mod register;
mod registered_client;
pub(super) mod revoke;
pub(super) mod token;
pub(super) mod token_request;
