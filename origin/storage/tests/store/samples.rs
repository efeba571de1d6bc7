//! Sample clients, tokens and revocations.

use tollgate_core::{Delta, HashChain};
use tollgate_model::{
    AccessToken, Actor, Client, ClientMetadata, GrantType, NewReinstatement, NewRevocation, RevocationSelector, Scope,
    Secret, SecretKind, Target, TokenAlg, TokenDetails, TokenDraft,
};
use tollgate_storage::{Store, Termination, Writer};

pub(crate) const ISSUER: &str = "https://auth.example";
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn secret(kind: SecretKind) -> Secret {
    Secret::new(kind, &tollgate_system::rng::random().expect("randomness"))
}

/// Waits until this many requests are queued at a writer whose task does not run yet.
pub(crate) async fn wait_until_queued(writer: &Writer, count: u64) {
    let queued = async {
        while writer.queued() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), queued).await.expect("they are queued");
}

pub(crate) fn client(id: &str) -> (Client, Secret) {
    let secret = secret(SecretKind::Client);
    let metadata = ClientMetadata {
        name: "Reports, nightly".to_owned(),
        grant_types: vec![GrantType::ClientCredentials, GrantType::RefreshToken],
        scope: Scope::parse("reports:read reports:write").expect("a scope"),
        audiences: ["https://api.example", "other"].map(|audience| audience.parse().expect("an audience")).into(),
        alg: TokenAlg::Es256,
        ..ClientMetadata::default()
    };
    (Client::new(id.parse().expect("a client id"), metadata, NOW).with_secret(&secret, NOW), secret)
}

/// The random part of a token id.
fn unique(number: u32) -> [u8; 14] {
    let mut bytes = [0; 14];
    bytes[10..].copy_from_slice(&number.to_be_bytes());
    // Its first half selects slots in filters.
    bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    bytes
}

pub(crate) fn draft(number: u32, expires_at: u64) -> TokenDraft {
    TokenDraft {
        unique: unique(number),
        client: "reports".parse().expect("a client id"),
        subject: format!("subject-{}", number % 3),
        session: (number % 2 == 1).then(|| format!("session-{}", number % 5)),
        key_id: "key-1".to_owned(),
        scope: Scope::parse("reports:read").expect("a scope"),
        audience: "https://api.example".parse().expect("an audience"),
        details: TokenDetails::default(),
        opaque: None,
        issued_at: NOW,
        expires_at,
    }
}

/// The token of this number, as if issued in the first epoch.
pub(crate) fn token(number: u32, expires_at: u64) -> AccessToken {
    draft(number, expires_at).issued(1, number.into())
}

pub(crate) fn by() -> Actor {
    Actor::command_line(Some("tester"))
}

/// A termination at this time.
pub(crate) fn termination(at: u64) -> Termination {
    Termination::new(&by(), "test", at)
}

pub(crate) fn revoke(number: u32) -> NewRevocation {
    NewRevocation::token(&token(number, NOW + 3600), by(), None, NOW).expect("the token lives")
}

pub(crate) fn revoke_any(target: Target, at: u64) -> NewRevocation {
    NewRevocation::any(target, by(), Some("test".parse().expect("a reason")), at).expect("not in the future")
}

pub(crate) fn reinstate(target: Target, at: u64) -> NewReinstatement {
    NewReinstatement { selector: RevocationSelector::Target(target), by: by(), reason: None, at }
}

pub(crate) async fn issue_tokens(store: &Store, drafts: &[TokenDraft]) -> Vec<AccessToken> {
    // The client may exist from an earlier call.
    let _ = store.create_client(&client("reports").0).await;
    let mut tokens = Vec::new();
    for draft in drafts {
        tokens.push(store.issue(draft.clone()).await.expect("issued"));
    }
    tokens
}

/// All deltas from the first, with every link of the hash chain checked, as an edge does.
pub(crate) async fn read_log(store: &Store) -> Vec<Delta> {
    let mut chain = HashChain::genesis(ISSUER);
    let mut all: Vec<Delta> = Vec::new();
    loop {
        let page = store.get_feed_page(all.len() as u64).await.expect("a page");
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
