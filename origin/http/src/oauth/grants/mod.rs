//! The grant types of the token endpoint. Each decides what the client may have, and records it in
//! one transaction with the credential that it consumes.

pub(super) mod authorization_code;
pub(super) mod client_credentials;
pub(super) mod device_code;
pub(super) mod jwt_bearer;
pub(super) mod password;
mod redeem;
pub(super) mod refresh_token;
pub(super) mod token_exchange;
