//! Client connections: accepting, limiting and serving them.

mod client_info;
mod connections;
mod guarded_body;
mod proxy_protocol;
mod request_head;
mod server;
mod unread_body;

pub(crate) use client_info::ClientInfo;
pub(crate) use server::{Listener, serve};
