//! Reading of request headers: client address, cookies, lists.

pub(crate) mod client_address;
pub(crate) mod cookies;
pub(crate) mod header_list;
