//! Clients, resource servers, and what clients hold of users.

pub(crate) mod authorization_requests;
pub(crate) mod clients;
pub(crate) mod consents;
pub(crate) mod device_codes;
pub(crate) mod grant_lists;
pub(crate) mod grants;
pub(crate) mod resources;
pub(crate) mod tokens;
