//! Several issuers in one process: nothing of one is visible to another.

use reqwest::StatusCode;
use tollgate::Server;
use tollgate_core::{Deltas, Replica, ReplicaError, Snapshot};
use tollgate_model::{Issuer, TokenAlg};
use tollgate_storage::Store;
use tollgate_system::clock;

use crate::database::Database;
use crate::samples::ISSUER;
use crate::served::{Asker, kid, origin, ring, until};

on_both_databases!(
    nothing_of_one_issuer_is_visible_to_another,
    issuers_come_and_go_while_it_runs,
    an_edge_takes_no_other_issuers_snapshot,
);

const ONE: &str = "https://auth.example/one";

fn issuer(name: &str, url: &str) -> Issuer {
    let (name, url) = (name.parse().expect("a name"), url.parse().expect("a URL"));
    Issuer { name, url, sealed_database: None, created_at: clock::now() }
}

/// Where the database of a registered issuer is by default.
fn beside(database: &Database, name: &str) -> String {
    match database.url().strip_suffix(".db") {
        Some(stem) => format!("{stem}.{name}.db"),
        None if database.url().contains('?') => format!("{}&options[search_path]=tollgate_{name}", database.url()),
        None => format!("{}?options[search_path]=tollgate_{name}", database.url()),
    }
}

/// Removes a SQLite file; a PostgreSQL schema goes with its database.
fn remove(url: &str) {
    if let Some(path) = url.strip_prefix("sqlite://") {
        for suffix in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(format!("{path}{suffix}")));
        }
    }
}

/// An origin with one more issuer, that issuer's database and its address.
async fn with_one(database: &Database) -> (Server, Store, String) {
    let server = origin(database).await;
    database.store.insert_issuer(&issuer("one", ONE)).await.expect("registered");
    let url = format!("{}/one", server.url());
    until("it is served", async || {
        reqwest::get(format!("{url}/health")).await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    let store = Store::open(&beside(database, "one")).await.expect("its database is where it should be");
    assert_eq!(store.issuer().await.expect("it has one"), ONE);
    (server, store, url)
}

async fn nothing_of_one_issuer_is_visible_to_another(database: &Database) {
    let (server, store, one) = with_one(database).await;
    let home = server.url();
    for alg in [TokenAlg::EdDsa, TokenAlg::Hs256] {
        // The same name at both: two clients that know nothing of each other.
        let id = format!("client-{}", alg.as_str().to_lowercase());
        let here = Asker::register(&database.store, &id, "tollgate:admin", alg).await;
        let there = Asker::register(&store, &id, "tollgate:admin", alg).await;
        for (asker, url, other) in [(&here, &home, &one), (&there, &one, &home)] {
            let (status, answer) =
                asker.post(&format!("{other}/oauth/token"), &[("grant_type", "client_credentials")]).await;
            assert_eq!((status, &answer["error"]), (StatusCode::UNAUTHORIZED, &"invalid_client".into()), "{url}");
        }
        let (mine, theirs) = (here.token(&home).await, there.token(&one).await);
        assert!(here.is_active(&home, &mine).await && there.is_active(&one, &theirs).await);
        assert!(!here.is_active(&home, &theirs).await && !there.is_active(&one, &mine).await, "unknown to the other");
        // Revoking what one does not know is well, and nothing.
        for (asker, url, token) in [(&there, &one, &mine), (&here, &home, &theirs)] {
            assert_eq!(asker.post(&format!("{url}/oauth/revoke"), &[("token", token)]).await.0, StatusCode::OK);
        }
        assert!(here.is_active(&home, &mine).await && there.is_active(&one, &theirs).await);
        assert_ne!(kid(&mine), kid(&theirs));
        let admin =
            async |url: &str, token: &str| here.get(&format!("{url}/admin/api/revocations"), Some(token)).await.0;
        let good = if alg == TokenAlg::Hs256 { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        assert_eq!((admin(&home, &mine).await, admin(&one, &theirs).await), (good, good));
        assert_eq!(admin(&home, &theirs).await, StatusCode::UNAUTHORIZED);
        assert_eq!(admin(&one, &mine).await, StatusCode::UNAUTHORIZED);
    }
    let (here, there) = (ring(&database.store).await, ring(&store).await);
    let audience = "https://api.example".parse().expect("an audience");
    let secret =
        |keys: &tollgate_keys::KeyRing| serde_json::json!(keys.audience_key(&audience).expect("a key").to_secret_jwk());
    assert_ne!(secret(&here)["k"], secret(&there)["k"]);
    assert!(here.listing().iter().all(|key| there.listing().iter().all(|other| key.kid != other.kid)));
    assert_eq!(store.issuers().await.expect("read"), []);
    store.close().await;
    server.shutdown().await;
    remove(&beside(database, "one"));
}

async fn issuers_come_and_go_while_it_runs(database: &Database) {
    let (server, store, one) = with_one(database).await;
    let asker = Asker::register(&store, "client", "", TokenAlg::EdDsa).await;
    let issuer_of = async |url: String| asker.get(&url, None).await.1["issuer"].as_str().map(str::to_owned);
    for url in [
        format!("{}/.well-known/oauth-authorization-server/one", server.url()),
        format!("{one}/.well-known/oauth-authorization-server"),
    ] {
        assert_eq!(issuer_of(url.clone()).await.as_deref(), Some(ONE), "{url}");
    }
    let at_home = format!("{}/.well-known/oauth-authorization-server", server.url());
    assert_eq!(issuer_of(at_home.clone()).await.as_deref(), Some(ISSUER));

    // By host.
    database.store.insert_issuer(&issuer("two", "https://two.example")).await.expect("registered");
    let at_two = asker.clone().at_host("two.example");
    until("it is served", async || at_two.get(&at_home, None).await.1["issuer"] == "https://two.example").await;
    assert_eq!(issuer_of(at_home.clone()).await.as_deref(), Some(ISSUER));

    // One that cannot be served holds up nobody.
    let nowhere = "sqlite:///nowhere/at/all.db";
    let bad = issuer("bad", "https://auth.example/bad");
    let sealed = ring(&database.store).await.seal_secret(nowhere, &Issuer::secret_context(&bad.name)).expect("sealed");
    database.store.insert_issuer(&Issuer { sealed_database: Some(sealed), ..bad }).await.expect("registered");
    let bad = format!("{}/bad/health", server.url());
    until("it is known", async || asker.get(&bad, None).await.0 == StatusCode::SERVICE_UNAVAILABLE).await;
    let token = asker.token(&one).await;

    assert!(database.store.delete_issuer(&"one".parse().expect("a name")).await.expect("removed"));
    until("it is gone", async || asker.get(&format!("{one}/health"), None).await.0 == StatusCode::NOT_FOUND).await;
    assert_eq!(issuer_of(at_home).await.as_deref(), Some(ISSUER));
    // What it had is there when it comes back.
    database.store.insert_issuer(&issuer("one", ONE)).await.expect("registered");
    until("it is served", async || asker.get(&format!("{one}/health"), None).await.0 == StatusCode::OK).await;
    assert!(asker.is_active(&one, &token).await);
    let twice = database.store.insert_issuer(&issuer("three", ONE)).await;
    assert!(twice.is_err(), "a URL has one issuer");
    store.close().await;
    server.shutdown().await;
    for name in ["one", "two"] {
        remove(&beside(database, name));
    }
}

async fn an_edge_takes_no_other_issuers_snapshot(database: &Database) {
    let (server, store, one) = with_one(database).await;
    let (here, there) = (ring(&database.store).await, ring(&store).await);
    let fetched =
        async |url: String| reqwest::get(url).await.expect("answered").bytes().await.expect("a body").to_vec();
    let theirs = fetched(format!("{one}/edge/v1/snapshot")).await;
    assert!(Snapshot::decode(theirs.clone(), here.snapshot_pins()).is_err(), "another key");
    let snapshot = Snapshot::decode(theirs, there.snapshot_pins()).expect("its own");
    assert_eq!(snapshot.issuer(), ONE);
    // Even with the other's key pinned by mistake, the issuer is another.
    assert!(matches!(Replica::new(snapshot.clone(), ISSUER), Err(ReplicaError::WrongIssuer)));
    let mine = fetched(format!("{}/edge/v1/snapshot", server.url())).await;
    let mine = Snapshot::decode(mine, here.snapshot_pins()).expect("its own");
    let mut edge = Replica::new(mine, ISSUER).expect("its issuer's");
    assert_eq!(edge.install(snapshot), Err(ReplicaError::WrongIssuer));
    let deltas = fetched(format!("{one}/edge/v1/deltas?after=0")).await;
    let deltas = Deltas::decode(&deltas, there.snapshot_pins()).expect("its own");
    assert_eq!(edge.apply(&deltas), Err(ReplicaError::WrongIssuer));
    store.close().await;
    server.shutdown().await;
    remove(&beside(database, "one"));
}
