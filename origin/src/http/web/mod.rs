//! The pages that people see: sign in, agree, connect a device, sign out. Plain HTML, without scripts, under a policy that allows
//! none; every form carries a token that only the browser's own session has.

pub(super) mod admin;
pub(super) mod backchannel;
pub(super) mod browser;
pub(super) mod consent;
pub(super) mod device;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod page;
pub(super) mod sessions;
pub(super) mod visit;
pub(super) mod when;
