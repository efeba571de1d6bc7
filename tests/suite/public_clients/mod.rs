//! Third-party OAuth client libraries, unmodified, against a running origin: each uses every grant
//! that it supports, from discovery to logout. The test plays the user and requires every step.

mod fixture;
mod go;
mod java;
mod keycloak;
mod libraries;
mod mcp;
mod oauth2_proxy;
mod scripts;
mod single_page;
mod web_login;
