//! Rate limits, by address, by client and by account.
//!
//! Each limit is a [`Rule`] under a name. Names are hashes under a key of the issuer, so neither
//! the memory nor Redis reveals who signs in from where. With Redis, all origins share their
//! limits, and each decision is one script; while Redis is down, each origin uses local limits, and
//! the log says when that begins and ends. All state expires and is bounded: a flood of made-up
//! names evicts only entries of its own.
//!
//! # What is limited, and why
//!
//! - **Requests of an address**, and separately those that create rows in the database
//!   ([`Limit::AuthorizationRequests`], [`Limit::Registrations`]). An address may be one computer
//!   or an office behind one NAT, so the default limits are far above what people need; they keep
//!   one sender from using up all capacity. An IPv6 /64 counts as one address, because each
//!   customer has at least that many.
//! - **Requests of an authenticated client.** Without authentication anyone could name a client and
//!   lock it out.
//! - **Wrong client secrets**, by address, and by address and client. Generated secrets cannot be
//!   guessed, so a correct one is always accepted. A secret that a person chose is refused while
//!   the limit is exceeded, unless it was verified during the last minutes.
//! - **Sign-ins**, see below.
//!
//! # Password guessing
//!
//! With a limit by account only, anyone could lock out its owner. With a limit by address only, an
//! attacker with a thousand addresses could guess. So there are three limits:
//!
//! 1. *An address and an account* have five attempts. After each further wrong one the delay
//!    doubles, up to five minutes; an hour without an attempt or the correct password resets it. An
//!    attacker locks out only their own address. The account need not exist: the response is the
//!    same.
//! 2. *An address* has a number of wrong passwords for any accounts ([`Limit::WrongPasswords`]),
//!    against one password that is tried on many accounts (password spraying), and a number of
//!    sign-ins ([`Limit::SignIns`]), because each costs a hash.
//! 3. *An account* has a number of wrong passwords from strangers ([`Limit::Account`]), against
//!    attackers with many addresses. A stranger is a browser without a *device cookie*, which a
//!    browser gets when its user signs in, at an address from which the user did not sign in during
//!    the last thirty days. Known devices and addresses are never refused for what strangers do. A
//!    device counts by itself in 1, so it is not refused for what others do at the same address
//!    either. An attacker with many addresses can only keep the owner from signing in with a new
//!    device at a new address while the attack lasts.
//!
//! An attempt is counted before the password is checked, and refunded if it was correct or was not
//! made. So a thousand concurrent attempts are not a thousand free ones.
//!
//! Never: the refusal of a valid session or token because of a sign-in limit; a forwarded address
//! from a proxy that the settings do not name.
//!
//! [`Rule`]: tollgate_model::rate_limit::Rule
//! [`Limit::AuthorizationRequests`]: tollgate_model::rate_limit::Limit::AuthorizationRequests
//! [`Limit::Registrations`]: tollgate_model::rate_limit::Limit::Registrations
//! [`Limit::WrongPasswords`]: tollgate_model::rate_limit::Limit::WrongPasswords
//! [`Limit::SignIns`]: tollgate_model::rate_limit::Limit::SignIns
//! [`Limit::Account`]: tollgate_model::rate_limit::Limit::Account

mod check;
mod client_secret;
mod limiter;
mod memory;
mod redis;
mod sign_in;
mod store;

pub use check::{AcceptedLimits, LimitCheck, LimitExceeded};
pub use client_secret::SecretAttempt;
pub use limiter::{RateLimiter, network};
pub use redis::ping_redis;
pub use sign_in::SignInAttempt;
pub use store::LimitStore;
