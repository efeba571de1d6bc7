//! A lane that issues tokens as the origin does for a client: reads lines `issue/ALGORITHM COUNT`
//! and writes the nanoseconds that it took. `cargo xtask bench` runs it.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tollgate_bench::lanes;
use tollgate_bench::tokens::{AUDIENCE, ISSUER};
use tollgate_keys::{KeyRing, MasterKey};
use tollgate_model::{Access, Audience, AuthorizationDetails, ClientId, Scope, TokenAlg, TokenDraft, TokenId};
use tollgate_system::{Clock, rng};

/// Lifetime of the tokens in seconds.
const TOKEN_LIFETIME: u64 = 3600;

fn main() -> Result<()> {
    let master = MasterKey::from_random([1; 32]);
    let now = Clock::system().now();
    let keys = KeyRing::open(&master, &KeyRing::generate(&master, now)?, BTreeSet::new(), now)?;
    let client: ClientId = "reporting-service-eu-west-1".parse()?;
    let scope = Scope::parse("reports:read reports:write orders:read orders:write users:write")?;
    let audience: Audience = AUDIENCE.parse()?;
    let access = Access { scope, audience: audience.into(), details: AuthorizationDetails::default() };
    lanes::serve(|name, count| {
        let algorithm: TokenAlg = name.strip_prefix("issue/").context("not a check issue/ALGORITHM")?.parse()?;
        // The access is decided for each request before the token is issued, so the clones are not
        // measured.
        let all: Vec<Access> = (0..count).map(|_| access.clone()).collect();
        let started = Instant::now();
        for access in all {
            black_box(issue(&keys, &client, access, algorithm)?);
        }
        Ok(started.elapsed())
    })
}

/// The work of the token endpoint between the decision and the answer, without the commit: select
/// the key, draw a random id, read the clock, create and sign the token.
fn issue(keys: &KeyRing, client: &ClientId, access: Access, algorithm: TokenAlg) -> Result<String> {
    let key_id = keys.key_id(algorithm, &access.audience)?;
    let now_ms = Clock::system().now_ms();
    let unique = TokenId::unique(now_ms, rng::random_id()?);
    let token = TokenDraft::for_client(unique, client, access, key_id, now_ms / 1000, TOKEN_LIFETIME).issued(1, 1);
    Ok(keys.issue(&token, ISSUER)?)
}
