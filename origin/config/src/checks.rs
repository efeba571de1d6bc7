//! Parsers of values that several groups of settings share.

use std::net::SocketAddr;

pub(super) fn checked_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address and a port, e.g. 127.0.0.1:8080")
}

pub(super) fn checked_flag(text: &str) -> Result<bool, &'static str> {
    text.parse().map_err(|_| "must be true or false")
}
