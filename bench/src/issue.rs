//! Makes tokens on demand as the origin does for a client: a line `issue/ALGORITHM COUNT` comes in, a line with the
//! nanoseconds they took goes out. Run it by `cargo xtask bench`.

use std::hint::black_box;
use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;

use anyhow::{Context as _, Result};
use tollgate::ambient;
use tollgate::domain::{ClientId, Grant, Scope, TokenAlg, TokenDraft};
use tollgate::keys::{KeyRing, MasterKey};
use tollgate_bench::tokens::{AUDIENCE, ISSUER};

/// Seconds that the tokens are good for.
const LIFETIME: u64 = 3600;

fn main() -> Result<()> {
    let master = MasterKey::from_random([1; 32]);
    let keys = KeyRing::open(&master, &KeyRing::generate(&master, ambient::now())?)?;
    let client: ClientId = "reporting-service-eu-west-1".parse()?;
    let scope = Scope::parse("reports:read reports:write orders:read orders:write users:write")?;
    let grant = Grant { scope, audience: AUDIENCE.parse()? };
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (name, count) = line.split_once(' ').context("a line is CHECK COUNT")?;
        let algorithm: TokenAlg = name.strip_prefix("issue/").context("tokens are issued here")?.parse()?;
        // A grant is a request's own; deciding it is no part of making the token.
        let grants = vec![grant.clone(); count.parse()?];
        let started = Instant::now();
        for grant in grants {
            black_box(issue(&keys, &client, grant, algorithm)?);
        }
        println!("{}", started.elapsed().as_nanos());
        io::stdout().flush()?;
    }
    Ok(())
}

/// What the token endpoint does between the decision and the answer, but for the commit: the key's name, a random id, the
/// clock, the token, its text.
fn issue(keys: &KeyRing, client: &ClientId, grant: Grant, algorithm: TokenAlg) -> Result<String> {
    let key_id = keys.key_id(algorithm, &grant.audience)?;
    let (random, now) = (ambient::random()?, ambient::now());
    let token = TokenDraft::for_client(random, client, grant, key_id, now, LIFETIME).issued(1, 1);
    Ok(keys.issue(&token, ISSUER, algorithm)?)
}
