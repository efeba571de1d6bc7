//! Reading of request headers: client address, cookies, lists.

mod client_address;
pub(crate) mod cookies;
pub(crate) mod header_list;
pub(crate) mod proxies;
