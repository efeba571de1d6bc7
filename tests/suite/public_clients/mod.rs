//! Public OAuth clients, unmodified, against a running origin: each does every grant it knows, from discovery to logout. The
//! test plays the person, and demands every step of the list.

mod fixture;
mod libraries;
