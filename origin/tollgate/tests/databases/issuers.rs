//! Several issuers in one origin, isolated from each other.

use reqwest::StatusCode;
use tollgate::Server;
use tollgate_core::{Deltas, Replica, ReplicaError, Snapshot};
use tollgate_model::{Issuer, TokenAlg};
use tollgate_storage::Store;
use tollgate_system::Clock;
use tollgate_test_kit::wait::wait_until;

use crate::database::Database;
use crate::fixture::{IssuerClient, key_ring, kid, start_origin};
use crate::samples::ISSUER;

on_both_databases!(
    issuers_do_not_see_each_others_clients_tokens_and_keys,
    issuers_are_added_and_removed_while_the_origin_runs,
    edge_refuses_messages_of_another_issuer,
);

const ONE: &str = "https://auth.example/one";

fn issuer(name: &str, url: &str) -> Issuer {
    let (name, url) = (name.parse().expect("a name"), url.parse().expect("a URL"));
    Issuer { name, url, sealed_database: None, created_at: Clock::system().now() }
}

/// Default database URL of another issuer.
fn database_url_of(database: &Database, name: &str) -> String {
    match database.url().strip_suffix(".db") {
        Some(stem) => format!("{stem}.{name}.db"),
        None if database.url().contains('?') => format!("{}&options[search_path]=tollgate_{name}", database.url()),
        None => format!("{}?options[search_path]=tollgate_{name}", database.url()),
    }
}

/// Deletes a SQLite database. A PostgreSQL schema is deleted with its database.
fn delete_database(url: &str) {
    if let Some(path) = url.strip_prefix("sqlite://") {
        for suffix in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(format!("{path}{suffix}")));
        }
    }
}

/// An origin with the further issuer `one`, that issuer's database and its URL.
async fn start_with_issuer_one(database: &Database) -> (Server, Store, String) {
    let server = start_origin(database).await;
    database.store.create_issuer(&issuer("one", ONE)).await.expect("registered");
    let url = format!("{}/one", server.url());
    wait_until("the issuer is served", async || {
        reqwest::get(format!("{url}/health")).await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    let store = Store::open(&database_url_of(database, "one")).await.expect("the issuer's database");
    assert_eq!(store.get_issuer().await.expect("an issuer"), ONE);
    (server, store, url)
}

async fn issuers_do_not_see_each_others_clients_tokens_and_keys(database: &Database) {
    let (server, store, one) = start_with_issuer_one(database).await;
    let home = server.url();
    for alg in [TokenAlg::EdDsa, TokenAlg::Hs256] {
        // Both issuers have a client of this id.
        let id = format!("client-{}", alg.as_str().to_lowercase());
        let here = IssuerClient::register(&database.store, &id, "tollgate:admin", alg).await;
        let there = IssuerClient::register(&store, &id, "tollgate:admin", alg).await;
        for (caller, url, other) in [(&here, &home, &one), (&there, &one, &home)] {
            let (status, answer) =
                caller.post(&format!("{other}/oauth/token"), &[("grant_type", "client_credentials")]).await;
            assert_eq!((status, &answer["error"]), (StatusCode::UNAUTHORIZED, &"invalid_client".into()), "{url}");
        }
        let (mine, theirs) = (here.token(&home).await, there.token(&one).await);
        assert!(here.is_active(&home, &mine).await && there.is_active(&one, &theirs).await);
        assert!(
            !here.is_active(&home, &theirs).await && !there.is_active(&one, &mine).await,
            "each knows only its own token"
        );
        // Revoking an unknown token succeeds and changes nothing.
        for (caller, url, token) in [(&there, &one, &mine), (&here, &home, &theirs)] {
            assert_eq!(caller.post(&format!("{url}/oauth/revoke"), &[("token", token)]).await.0, StatusCode::OK);
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
    let (here, there) = (key_ring(&database.store).await, key_ring(&store).await);
    let audience = "https://api.example".parse().expect("an audience");
    let secret =
        |keys: &tollgate_keys::KeyRing| serde_json::json!(keys.audience_key(&audience).expect("a key").to_secret_jwk());
    assert_ne!(secret(&here)["k"], secret(&there)["k"]);
    assert!(here.listing().iter().all(|key| there.listing().iter().all(|other| key.kid != other.kid)));
    assert_eq!(store.list_issuers().await.expect("read"), []);
    store.close().await;
    server.shutdown().await;
    delete_database(&database_url_of(database, "one"));
}

async fn issuers_are_added_and_removed_while_the_origin_runs(database: &Database) {
    let (server, store, one) = start_with_issuer_one(database).await;
    let caller = IssuerClient::register(&store, "client", "", TokenAlg::EdDsa).await;
    let issuer_of = async |url: String| caller.get(&url, None).await.1["issuer"].as_str().map(str::to_owned);
    for url in [
        format!("{}/.well-known/oauth-authorization-server/one", server.url()),
        format!("{one}/.well-known/oauth-authorization-server"),
    ] {
        assert_eq!(issuer_of(url.clone()).await.as_deref(), Some(ONE), "{url}");
    }
    let at_home = format!("{}/.well-known/oauth-authorization-server", server.url());
    assert_eq!(issuer_of(at_home.clone()).await.as_deref(), Some(ISSUER));

    // An issuer at another host.
    database.store.create_issuer(&issuer("two", "https://two.example")).await.expect("registered");
    let at_two = caller.clone().at_host("two.example");
    wait_until("the issuer is served", async || at_two.get(&at_home, None).await.1["issuer"] == "https://two.example")
        .await;
    assert_eq!(issuer_of(at_home.clone()).await.as_deref(), Some(ISSUER));

    // An issuer whose database cannot be opened does not disturb the others.
    let nowhere = "sqlite:///nowhere/at/all.db";
    let bad = issuer("bad", "https://auth.example/bad");
    let sealed =
        key_ring(&database.store).await.seal_secret(nowhere, &Issuer::secret_context(&bad.name)).expect("sealed");
    database.store.create_issuer(&Issuer { sealed_database: Some(sealed), ..bad }).await.expect("registered");
    let bad = format!("{}/bad/health", server.url());
    wait_until("the issuer answers 503", async || caller.get(&bad, None).await.0 == StatusCode::SERVICE_UNAVAILABLE)
        .await;
    let token = caller.token(&one).await;

    assert!(database.store.delete_issuer(&"one".parse().expect("a name")).await.expect("removed"));
    wait_until("the issuer is removed", async || {
        caller.get(&format!("{one}/health"), None).await.0 == StatusCode::NOT_FOUND
    })
    .await;
    assert_eq!(issuer_of(at_home).await.as_deref(), Some(ISSUER));
    // The issuer's data is there when it is registered again.
    database.store.create_issuer(&issuer("one", ONE)).await.expect("registered");
    wait_until("the issuer is served", async || caller.get(&format!("{one}/health"), None).await.0 == StatusCode::OK)
        .await;
    assert!(caller.is_active(&one, &token).await);
    let twice = database.store.create_issuer(&issuer("three", ONE)).await;
    assert!(twice.is_err(), "two issuers with one URL");
    store.close().await;
    server.shutdown().await;
    for name in ["one", "two"] {
        delete_database(&database_url_of(database, name));
    }
}

async fn edge_refuses_messages_of_another_issuer(database: &Database) {
    let (server, store, one) = start_with_issuer_one(database).await;
    let (here, there) = (key_ring(&database.store).await, key_ring(&store).await);
    let fetched =
        async |url: String| reqwest::get(url).await.expect("answered").bytes().await.expect("a body").to_vec();
    let theirs = fetched(format!("{one}/edge/v1/snapshot")).await;
    assert!(Snapshot::decode(theirs.clone(), here.snapshot_pins()).is_err(), "signed by another key");
    let snapshot = Snapshot::decode(theirs, there.snapshot_pins()).expect("its own");
    assert_eq!(snapshot.issuer(), ONE);
    // Even if the other issuer's key is pinned by mistake.
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
    delete_database(&database_url_of(database, "one"));
}
