//! The pages that people see: sign in, agree, connect a device, sign out. Plain HTML, without scripts, under a policy that allows
//! none; every form carries a token that only the browser's own session has.

pub(super) mod backchannel;
pub(super) mod browser;
pub(super) mod consent;
pub(super) mod device;
mod known_device;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod page;
pub(super) mod password;
pub(super) mod register;
pub(super) mod sessions;
mod sign_in;
mod tries;
pub(super) mod visit;
pub(super) mod when;
