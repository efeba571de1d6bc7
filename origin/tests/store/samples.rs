//! Clients, tokens and revocations to tell stories with.

use tollgate::domain::{AccessToken, Client, ClientSecret, ClientStatus, Revocation, Scope, TokenAlg, TokenId};
use tollgate::store::Store;
use tollgate_core::{Chain, Delta};

pub(crate) const ISSUER: &str = "https://auth.example";
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn client(id: &str) -> (Client, ClientSecret) {
    let secret = ClientSecret::from_random(&tollgate::ambient::random().expect("randomness"));
    let client = Client {
        id: id.parse().expect("a client id"),
        name: "Reports, nightly".to_owned(),
        secret: secret.hash(),
        scope: Scope::parse("reports:read reports:write").expect("a scope"),
        audiences: ["https://api.example", "other"].map(|audience| audience.parse().expect("an audience")).into(),
        alg: TokenAlg::Es256,
        status: ClientStatus::Active,
        created_at: NOW,
    };
    (client, secret)
}

pub(crate) fn token_id(number: u32) -> TokenId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    TokenId::from_random(&bytes)
}

pub(crate) fn token(number: u32, expires_at: u64) -> AccessToken {
    AccessToken {
        id: token_id(number),
        client: "reports".parse().expect("a client id"),
        subject: "reports".to_owned(),
        scope: Scope::parse("reports:read").expect("a scope"),
        audience: "https://api.example".parse().expect("an audience"),
        issued_at: NOW,
        expires_at,
    }
}

pub(crate) fn revocation(number: u32) -> Revocation {
    Revocation::of(&token(number, NOW + 3600), ISSUER, NOW).expect("the token lives")
}

pub(crate) async fn with_tokens(store: &Store, tokens: &[AccessToken]) {
    store.insert_client(&client("reports").0).await.expect("registered");
    for token in tokens {
        store.record_token(token).await.expect("recorded");
    }
}

/// Follows the whole history from its beginning, as an edge does, checking every link.
pub(crate) async fn followed(store: &Store) -> Vec<Delta> {
    let mut chain = Chain::genesis(ISSUER);
    let mut all: Vec<Delta> = Vec::new();
    loop {
        let page = store.feed_page(all.len() as u64).await.expect("a page");
        assert_eq!(page.chain, Some(chain), "the chain joins on");
        for delta in &page.deltas {
            assert_eq!(delta.sequence, all.len() as u64 + 1, "no gap");
            chain = chain.next(delta);
            all.push(*delta);
        }
        if page.deltas.is_empty() {
            assert_eq!(page.head.sequence, all.len() as u64);
            return all;
        }
    }
}
