//! The grants of the token endpoint, one file each. Every one decides what the client may have, and
//! has it recorded in one transaction with whatever it takes for it.

pub(super) mod authorization_code;
pub(super) mod client_credentials;
pub(super) mod device_code;
pub(super) mod jwt_bearer;
pub(super) mod refresh_token;
mod taken;
pub(super) mod token_exchange;
