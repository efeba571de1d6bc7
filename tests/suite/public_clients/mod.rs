//! Third-party OAuth client libraries, unmodified, against a running origin: each uses every grant
//! that it supports, from discovery to logout. The test plays the user and requires every step.

mod fixture;
mod go;
mod java;
mod keycloak;
mod libraries;
mod oauth2_proxy;
mod web_login;
