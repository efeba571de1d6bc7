//! The integration suite. Run it by `cargo xtask test`, which builds and starts what it needs.

mod bad_input;
mod cases;
mod chromium;
mod command_line;
mod conformance;
mod delivery;
mod endings;
mod families;
mod flood;
mod house;
mod kill;
mod kinds;
mod limits;
mod musts;
mod oauth;
mod openapi;
mod public_clients;
mod races;
mod road;
mod running;
mod signals;
mod slow_clients;
mod vectors;
