//! The pages that people see: sign in, make an account, agree, connect a device, look after one's sessions and password, sign out.
//! Plain HTML, without scripts, under a policy that allows none; every form carries a token that only the browser's own session has.
//! A page is a straight line: a [`visit`] or a form [`visit::Posted`] with its token checked, the store, an answer.

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
