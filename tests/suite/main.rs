//! The integration suite. Run it by `cargo xtask test`, which builds and starts what it needs.

mod backup;
mod browser_flows;
mod command_line;
mod concurrent_redemption;
mod conformance;
mod conventions;
mod crash_recovery;
mod end_to_end;
mod invalid_settings;
mod oauth;
mod openapi;
mod operations;
mod process;
mod public_clients;
mod rate_limits;
mod refresh_families;
mod regression_cases;
mod revocation_delivery;
mod revocation_effects;
mod revocation_kinds;
mod rfc_requirements;
mod security_events;
mod sign_in_flood;
mod slow_clients;
mod vectors;
