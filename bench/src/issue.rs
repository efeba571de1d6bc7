//! Makes tokens on demand as the origin does for a client: a line `issue/ALGORITHM COUNT` comes in, a line with the
//! nanoseconds they took goes out. Run it by `cargo xtask bench`.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tollgate::ambient;
use tollgate::domain::{Access, Audience, AuthorizationDetails, ClientId, Scope, TokenAlg, TokenDraft, TokenId};
use tollgate::keys::{KeyRing, MasterKey};
use tollgate_bench::lanes;
use tollgate_bench::tokens::{AUDIENCE, ISSUER};

/// Seconds that the tokens are good for.
const LIFETIME: u64 = 3600;

fn main() -> Result<()> {
    let master = MasterKey::from_random([1; 32]);
    let now = ambient::now();
    let keys = KeyRing::open(&master, &KeyRing::generate(&master, now)?, BTreeSet::new(), now)?;
    let client: ClientId = "reporting-service-eu-west-1".parse()?;
    let scope = Scope::parse("reports:read reports:write orders:read orders:write users:write")?;
    let audience: Audience = AUDIENCE.parse()?;
    let access = Access { scope, audience: audience.into(), details: AuthorizationDetails::default() };
    lanes::serve(|name, count| {
        let algorithm: TokenAlg = name.strip_prefix("issue/").context("tokens are issued here")?.parse()?;
        // What is granted is a request's own; deciding it is no part of making the token.
        let all: Vec<Access> = (0..count).map(|_| access.clone()).collect();
        let started = Instant::now();
        for access in all {
            black_box(issue(&keys, &client, access, algorithm)?);
        }
        Ok(started.elapsed())
    })
}

/// What the token endpoint does between the decision and the answer, but for the commit: the key's name, a random id, the
/// clock, the token, its text.
fn issue(keys: &KeyRing, client: &ClientId, access: Access, algorithm: TokenAlg) -> Result<String> {
    let key_id = keys.key_id(algorithm, &access.audience)?;
    let now_ms = ambient::now_ms();
    let unique = TokenId::unique(now_ms, ambient::random_id()?);
    let token = TokenDraft::for_client(unique, client, access, key_id, now_ms / 1000, LIFETIME).issued(1, 1);
    Ok(keys.issue(&token, ISSUER)?)
}
