//! Users, their browser sessions, and how both end.

pub(crate) mod backchannel_logouts;
pub(crate) mod revoke_access;
pub(crate) mod sessions;
pub(crate) mod termination;
pub(crate) mod user_names;
pub(crate) mod users;
