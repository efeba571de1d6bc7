//! HTTP endpoints and pages of a running origin, as clients and browsers use them.

mod admin;
mod assertions;
mod certificates;
mod code;
mod console;
mod console_lists;
mod cross_origin;
mod device;
mod exchange;
mod failed_authentication;
mod fixture;
mod guesses;
mod https;
mod languages;
mod openid;
mod pkce;
mod proofs;
mod refresh;
mod refusals;
mod registration;
mod response_modes;
mod sessions;
mod terminal;
mod token_profiles;
mod tokens;
mod users_api;
