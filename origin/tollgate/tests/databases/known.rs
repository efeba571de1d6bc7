//! What an origin keeps in memory, it never answers from when another process has changed it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::StatusCode;
use tokio::task::JoinSet;
use tollgate_model::{
    ClientId, Grant, OnStale, Resource, Route, Scope, Secret, SecretKind, StoredSecret, Target, TokenAlg, TokenDraft,
    TokenId,
};
use tollgate_storage::{Batch, Claim, Issue, NewRefresh, Redeem, Redeemed, StoreError};
use tollgate_system::{clock, rng};

use crate::database::Database;
use crate::grant_samples::{given, is_ended, redeem, refresh, with_numbered};
use crate::samples::{NOW, client, draft, ending, reinstate, revoke_any};
use crate::served::{Asker, origin, ring};

on_both_databases!(
    another_process_is_obeyed_at_the_next_request,
    no_request_is_answered_from_before_it_came,
    what_strangers_ask_for_is_not_kept,
    a_rule_that_another_process_changes_holds_at_the_next_request,
    a_token_is_given_by_what_holds_now,
    a_refresh_is_given_by_what_holds_now,
    nothing_is_issued_by_what_has_changed,
    nothing_is_taken_by_what_has_changed,
    a_connection_that_lay_idle_is_not_relied_on,
);

/// What revokes a token, by its `jti`.
fn target(token: &str) -> Target {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).expect("claims");
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    Target::Token(claims["jti"].as_str().expect("a jti").to_owned())
}

async fn another_process_is_obeyed_at_the_next_request(database: &Database) {
    let server = origin(database).await;
    let url = server.url();
    let elsewhere = database.again().await;
    let service = Asker::register(&database.store, "service", "read", TokenAlg::EdDsa).await;
    let api = Asker::register(&database.store, "api", "read", TokenAlg::Hs256).await;
    let token = service.token(&url).await;
    for _ in 0..10 {
        assert!(service.is_active(&url, &token).await && service.is_active(&url, &token).await);
        elsewhere.revoke(revoke_any(target(&token), clock::now())).await.expect("revoked");
        assert!(!service.is_active(&url, &token).await);
        elsewhere.reinstate(reinstate(target(&token), clock::now())).await.expect("lifted");
    }

    assert!(!api.is_active(&url, &token).await, "it is none of its business");
    let audience = database.store.issuer().await.expect("an issuer").parse().expect("an audience");
    let introspected_by = Some("api".parse().expect("an id"));
    let resource = Resource { audience, name: "The API".to_owned(), scopes: Default::default(), introspected_by };
    elsewhere.put_resource(&resource).await.expect("registered");
    assert!(api.is_active(&url, &token).await, "now it is");
    elsewhere.delete_resource(&resource.audience).await.expect("removed");
    assert!(!api.is_active(&url, &token).await);

    let (id, now) = ("service".parse().expect("an id"), clock::now());
    let other = Secret::new(SecretKind::Client, &rng::random().expect("randomness"));
    elsewhere.rotate_secret(&id, &StoredSecret::made(&other, now), 0).await.expect("rotated");
    let introspection = format!("{url}/oauth/introspect");
    let status = async |asker: &Asker| asker.post(&introspection, &[("token", &token)]).await.0;
    assert_eq!(status(&service).await, StatusCode::UNAUTHORIZED, "its secret has ended");
    let service = service.with_secret(&other);
    assert_eq!(status(&service).await, StatusCode::OK);
    elsewhere.disable_client(&id, &ending(now)).await.expect("disabled");
    assert_eq!(status(&service).await, StatusCode::UNAUTHORIZED);
    elsewhere.close().await;
    server.shutdown().await;
}

/// Many ask without pause, so that they share questions to the database; whoever asks after a revocation was committed hears of it.
async fn no_request_is_answered_from_before_it_came(database: &Database) {
    let server = origin(database).await;
    let url = server.url();
    let elsewhere = database.again().await;
    let service = Asker::register(&database.store, "service", "read", TokenAlg::EdDsa).await;
    let token = service.token(&url).await;
    // Set once the revocation is committed.
    let revoked = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..32 {
        let (service, url, token, revoked) = (service.clone(), url.clone(), token.clone(), Arc::clone(&revoked));
        callers.spawn(async move {
            let (mut asked, mut after) = (0, 0);
            while asked < 60 || after < 5 {
                let known_revoked = revoked.load(Ordering::SeqCst);
                let is_active = service.is_active(&url, &token).await;
                asked += 1;
                assert!(!(known_revoked && is_active), "it was revoked before the request was sent");
                after += usize::from(known_revoked);
            }
            asked
        });
    }
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    elsewhere.revoke(revoke_any(target(&token), clock::now())).await.expect("revoked");
    revoked.store(true, Ordering::SeqCst);
    let asked: usize = callers.join_all().await.into_iter().sum();
    println!("{asked} answers");
    elsewhere.close().await;
    server.shutdown().await;
}

async fn what_strangers_ask_for_is_not_kept(database: &Database) {
    let server = origin(database).await;
    let url = server.url();
    let elsewhere = database.again().await;
    let stranger = reqwest::Client::new().post(format!("{url}/oauth/introspect")).basic_auth("late", Some("x"));
    let refused = stranger.form(&[("token", "x")]).send().await.expect("answered");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "there is none yet");
    let late = Asker::register(&elsewhere, "late", "read", TokenAlg::EdDsa).await;
    assert!(!late.is_active(&url, "x").await, "it is known from its first request on");
    elsewhere.close().await;
    server.shutdown().await;
}

async fn a_rule_that_another_process_changes_holds_at_the_next_request(database: &Database) {
    let server = origin(database).await;
    let url = server.url();
    let elsewhere = database.again().await;
    let service = Asker::register(&database.store, "service", "read", TokenAlg::EdDsa).await;
    let token = service.token(&url).await;
    let http = reqwest::Client::new();
    let validate = async |token: Option<&str>| {
        let request = http.post(format!("{url}/validate")).header("x-original-uri", "/reports/1");
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        request.send().await.expect("answered").status()
    };
    let rule = |path: &str, scope: &str, public| {
        let scope = Scope::parse(scope).expect("a scope");
        Route::new(path, &[], scope, public, OnStale::Deny).expect("a rule")
    };
    let (open, narrow, narrower) =
        (rule("/reports/*", "", true), rule("/reports/1", "read", false), rule("/reports/1", "write", false));
    for _ in 0..5 {
        assert_eq!(validate(None).await, StatusCode::UNAUTHORIZED);
        elsewhere.insert_route(&open).await.expect("added");
        assert_eq!((validate(None).await, validate(None).await), (StatusCode::OK, StatusCode::OK));
        elsewhere.insert_route(&narrow).await.expect("added");
        assert_eq!((validate(None).await, validate(Some(&token)).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
        elsewhere.delete_route(&narrow).await.expect("removed");
        elsewhere.insert_route(&narrower).await.expect("added");
        assert_eq!(validate(Some(&token)).await, StatusCode::FORBIDDEN);
        elsewhere.delete_route(&narrower).await.expect("removed");
        assert_eq!(validate(None).await, StatusCode::OK);
        elsewhere.delete_route(&open).await.expect("removed");
    }
    elsewhere.close().await;
    server.shutdown().await;
}

/// Where the answer is a token, the client is taken from memory before anything is asked.
async fn a_token_is_given_by_what_holds_now(database: &Database) {
    let server = origin(database).await;
    let url = format!("{}/oauth/token", server.url());
    let elsewhere = database.again().await;
    let mut service = Asker::register(&database.store, "service", "read", TokenAlg::Hs256).await;
    let id: ClientId = "service".parse().expect("an id");
    let ask = async |asker: &Asker, scope: &str| {
        asker.post(&url, &[("grant_type", "client_credentials"), ("scope", scope)]).await.0
    };
    for _ in 0..5 {
        assert_eq!(
            (ask(&service, "read").await, ask(&service, "write").await),
            (StatusCode::OK, StatusCode::BAD_REQUEST)
        );
        let mut metadata = elsewhere.client(&id).await.expect("read").expect("a client").metadata;
        metadata.scope = Scope::parse("read write").expect("a scope");
        elsewhere.update_client(&id, &metadata).await.expect("changed");
        assert_eq!(ask(&service, "write").await, StatusCode::OK, "it may have that now");
        metadata.scope = Scope::parse("read").expect("a scope");
        elsewhere.update_client(&id, &metadata).await.expect("changed");
        assert_eq!(ask(&service, "write").await, StatusCode::BAD_REQUEST, "it may not any more");

        assert_eq!(ask(&service, "read").await, StatusCode::OK);
        let other = Secret::new(SecretKind::Client, &rng::random().expect("randomness"));
        elsewhere.rotate_secret(&id, &StoredSecret::made(&other, clock::now()), 0).await.expect("rotated");
        assert_eq!(ask(&service, "read").await, StatusCode::UNAUTHORIZED, "its secret has ended");
        service = service.with_secret(&other);
    }
    assert_eq!(ask(&service, "read").await, StatusCode::OK);
    elsewhere.disable_client(&id, &ending(clock::now())).await.expect("disabled");
    assert_eq!(ask(&service, "read").await, StatusCode::UNAUTHORIZED, "it is disabled");
    elsewhere.close().await;
    server.shutdown().await;
}

/// There the grant is in memory, too: all of it but whether it still stands.
async fn a_refresh_is_given_by_what_holds_now(database: &Database) {
    let server = origin(database).await;
    let url = format!("{}/oauth/token", server.url());
    let elsewhere = database.again().await;
    let mut service = Asker::register(&database.store, "reports", "reports:read", TokenAlg::EdDsa).await;
    let id: ClientId = "reports".parse().expect("an id");
    // It may have what its users give it.
    assert!(database.store.update_client(&id, &client("reports").0.metadata).await.expect("changed"));
    let refresh = async |asker: &Asker, token: &str| {
        asker.post(&url, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    };
    let refreshed = async |asker: &Asker, token: &str| {
        let (status, answer) = refresh(asker, token).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["refresh_token"].as_str().expect("the next").to_owned()
    };
    let (grant, mut token) = with_refresh_token(database).await;
    for _ in 0..5 {
        let older = token.clone();
        token = refreshed(&service, &refreshed(&service, &token).await).await;
        let other = Secret::new(SecretKind::Client, &rng::random().expect("randomness"));
        elsewhere.rotate_secret(&id, &StoredSecret::made(&other, clock::now()), 0).await.expect("rotated");
        assert_eq!(refresh(&service, &token).await.0, StatusCode::UNAUTHORIZED, "its secret has ended");
        assert_eq!(refresh(&service, &older).await.0, StatusCode::UNAUTHORIZED, "whoever shows what was used");
        service = service.with_secret(&other);
        token = refreshed(&service, &token).await;
    }
    let target = Target::Session(grant.id.to_string());
    elsewhere.revoke(revoke_any(target, clock::now())).await.expect("revoked");
    assert_eq!(refresh(&service, &token).await.0, StatusCode::BAD_REQUEST, "the grant is revoked");

    let (_, token) = with_refresh_token(database).await;
    let token = refreshed(&service, &refreshed(&service, &token).await).await;
    elsewhere.disable_client(&id, &ending(clock::now())).await.expect("disabled");
    assert_eq!(refresh(&service, &token).await.0, StatusCode::UNAUTHORIZED, "the client is disabled");
    elsewhere.close().await;
    server.shutdown().await;
}

/// A grant to the client `reports`, and its first refresh token.
async fn with_refresh_token(database: &Database) -> (Grant, String) {
    let code = given(&database.store).await;
    let random = rng::random().expect("randomness");
    let token = ring(&database.store).await.refresh_keys().first(&code.grant.id, &random).expect("an id of ours");
    let first = NewRefresh { hash: token.hash(), expires_at: code.grant.ends_at, jkt: None };
    let claim = Claim::Code { hash: code.hash, refresh: Some(first) };
    let unique = TokenId::unique(clock::now_ms(), rng::random_id().expect("randomness"));
    let redeem = redeem(&code.grant, claim, 0, clock::now());
    let issue = TokenDraft { unique, ..redeem.issue.draft.clone() }.into();
    let redeemed = database.store.redeem(Redeem { issue, ..redeem }).await.expect("redeemed");
    assert!(matches!(redeemed, Redeemed::Issued(_)));
    (code.grant, token.reveal().to_owned())
}

async fn nothing_is_issued_by_what_has_changed(database: &Database) {
    let store = &database.store;
    store.insert_client(&client("reports").0).await.expect("registered");
    let now = store.versions().await.expect("read").registrations;
    let issue = |number, as_of| Issue { as_of, ..draft(number, clock::now() + 600).into() };
    store.issue(issue(1, Some(now))).await.expect("it holds");
    store.insert_client(&client("another").0).await.expect("registered");
    let later = store.versions().await.expect("read").registrations;
    let issues = vec![issue(2, Some(now)), issue(3, Some(later)), issue(4, None)];
    let issued = store.apply(Batch { issues, ..Batch::default() }).await.expect("written").issued;
    assert!(matches!(issued.as_slice(), [Err(StoreError::OutOfDate), Ok(_), Ok(_)]), "{issued:?}");
}

async fn nothing_is_taken_by_what_has_changed(database: &Database) {
    let store = &database.store;
    let grant = with_numbered(database, "r0", 1).await;
    let then = store.versions().await.expect("read").registrations;
    let as_of = |redeem: Redeem, as_of| Redeem { issue: Issue { as_of, ..redeem.issue.clone() }, ..redeem };
    for (from, to, number) in [("r0", "r1", 2), ("r1", "r2", 3)] {
        let next = as_of(refresh(&grant, from, to, number, NOW + 5), Some(then));
        assert!(matches!(store.redeem(next).await.expect("it holds"), Redeemed::Issued(_)));
    }
    store.insert_client(&client("another").0).await.expect("registered");
    for (from, to) in [("r2", "r3"), ("r0", "r1")] {
        let refused = store.redeem(as_of(refresh(&grant, from, to, 4, NOW + 6), Some(then))).await;
        assert!(matches!(refused, Err(StoreError::OutOfDate)), "{refused:?}");
    }
    assert!(!is_ended(database, &grant).await, "it is not known who showed the old one");
    let now = store.versions().await.expect("read").registrations;
    let next = as_of(refresh(&grant, "r2", "r3", 5, NOW + 6), Some(now));
    assert!(matches!(store.redeem(next).await.expect("it holds"), Redeemed::Issued(_)));
}

async fn a_connection_that_lay_idle_is_not_relied_on(database: &Database) {
    let mut reader = database.store.version_reader();
    let versions = reader.read().await.expect("read");
    if database.url().starts_with("postgres") {
        let all_others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";
        database.execute(all_others).await.expect("ended");
    }
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(reader.read().await.expect("by another connection"), versions);
}
