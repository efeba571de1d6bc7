//! Endpoints of receivers of security events (OpenID Shared Signals Framework).

pub(crate) mod bearer;
pub(crate) mod configuration;
pub(crate) mod poll;
pub(crate) mod receivers;
pub(crate) mod streams;
