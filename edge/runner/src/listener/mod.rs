//! Client connections: accepting, limiting and serving them.

mod connections;
mod server;

pub(crate) use server::{Gate, serve};
