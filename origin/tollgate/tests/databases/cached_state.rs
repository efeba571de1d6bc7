//! Cached state: an origin never answers from it after another process changed the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::StatusCode;
use tokio::task::JoinSet;
use tollgate_model::{
    ClientId, Grant, OnStale, Resource, Route, Scope, Secret, SecretKind, StoredSecret, Target, TokenAlg, TokenDraft,
    TokenId,
};
use tollgate_storage::{
    Batch, IssueRequest, NewRefreshToken, RedeemCredential, RedeemOutcome, RedeemRequest, StoreError,
};
use tollgate_system::{Clock, rng};
use tollgate_test_kit::jwt;
use tollgate_test_kit::wait::wait_until;

use crate::database::Database;
use crate::fixture::{IssuerClient, key_ring, start_origin};
use crate::grant_samples::{is_ended, numbered_grant_with_refresh_token, redeem, refresh, sample_code};
use crate::samples::{NOW, client, draft, reinstate, revoke_any, termination};

on_both_databases!(
    changes_by_another_process_apply_to_the_next_request,
    shared_query_never_started_before_the_request,
    unknown_client_is_not_cached,
    route_changes_by_another_process_apply_to_the_next_request,
    token_request_follows_the_current_registration,
    refresh_follows_the_current_registration_and_grant,
    issue_with_an_outdated_registration_is_refused,
    redemption_with_an_outdated_registration_is_refused,
    version_reader_replaces_a_dead_idle_connection,
);

/// Revocation target of a token.
fn target(token: &str) -> Target {
    Target::Token(jwt::claims(token).expect("a JWT")["jti"].as_str().expect("a jti").to_owned())
}

async fn changes_by_another_process_apply_to_the_next_request(database: &Database) {
    let server = start_origin(database).await;
    let url = server.url();
    let other_process = database.reopen().await;
    let service = IssuerClient::register(&database.store, "service", "read", TokenAlg::EdDsa).await;
    let api = IssuerClient::register(&database.store, "api", "read", TokenAlg::Hs256).await;
    let token = service.token(&url).await;
    for _ in 0..10 {
        assert!(service.is_active(&url, &token).await && service.is_active(&url, &token).await);
        other_process.revoke(revoke_any(target(&token), Clock::system().now())).await.expect("revoked");
        assert!(!service.is_active(&url, &token).await);
        other_process.reinstate(reinstate(target(&token), Clock::system().now())).await.expect("lifted");
    }

    assert!(!api.is_active(&url, &token).await, "the token is not for this API yet");
    let audience = database.store.get_issuer().await.expect("an issuer").parse().expect("an audience");
    let introspected_by = Some("api".parse().expect("an id"));
    let resource = Resource {
        audience,
        name: "The API".to_owned(),
        scopes: Default::default(),
        introspected_by,
        tokens: Default::default(),
    };
    other_process.save_resource(&resource).await.expect("registered");
    assert!(api.is_active(&url, &token).await, "the token is for this API");
    other_process.delete_resource(&resource.audience).await.expect("removed");
    assert!(!api.is_active(&url, &token).await);

    let (id, now) = ("service".parse().expect("an id"), Clock::system().now());
    let other = Secret::new(SecretKind::Client, &rng::random().expect("randomness"));
    other_process.rotate_secret(&id, &StoredSecret::generated(&other, now), 0).await.expect("rotated");
    let introspection = format!("{url}/oauth/introspect");
    let status = async |caller: &IssuerClient| caller.post(&introspection, &[("token", &token)]).await.0;
    assert_eq!(status(&service).await, StatusCode::UNAUTHORIZED, "the secret has expired");
    let service = service.with_secret(&other);
    assert_eq!(status(&service).await, StatusCode::OK);
    other_process.disable_client(&id, &termination(now)).await.expect("disabled");
    assert_eq!(status(&service).await, StatusCode::UNAUTHORIZED);
    other_process.close().await;
    server.shutdown().await;
}

/// Many concurrent requests share database queries. A request after a revocation was committed must
/// not share a query that started before.
async fn shared_query_never_started_before_the_request(database: &Database) {
    let server = start_origin(database).await;
    let url = server.url();
    let other_process = database.reopen().await;
    let service = IssuerClient::register(&database.store, "service", "read", TokenAlg::EdDsa).await;
    let token = service.token(&url).await;
    // Set once the revocation is committed.
    let revoked = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..32 {
        let (service, url, token, revoked) = (service.clone(), url.clone(), token.clone(), Arc::clone(&revoked));
        let answered = Arc::clone(&answered);
        callers.spawn(async move {
            let (mut sent, mut after) = (0, 0);
            while sent < 60 || after < 5 {
                let known_revoked = revoked.load(Ordering::SeqCst);
                let is_active = service.is_active(&url, &token).await;
                sent += 1;
                answered.fetch_add(1, Ordering::SeqCst);
                assert!(!(known_revoked && is_active), "it was revoked before the request was sent");
                after += usize::from(known_revoked);
            }
            sent
        });
    }
    wait_until("requests are answered", async || answered.load(Ordering::SeqCst) >= 32).await;
    other_process.revoke(revoke_any(target(&token), Clock::system().now())).await.expect("revoked");
    revoked.store(true, Ordering::SeqCst);
    let answers: usize = callers.join_all().await.into_iter().sum();
    println!("{answers} answers");
    other_process.close().await;
    server.shutdown().await;
}

async fn unknown_client_is_not_cached(database: &Database) {
    let server = start_origin(database).await;
    let url = server.url();
    let other_process = database.reopen().await;
    let request = reqwest::Client::new().post(format!("{url}/oauth/introspect")).basic_auth("late", Some("x"));
    let refused = request.form(&[("token", "x")]).send().await.expect("answered");
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "no such client yet");
    let late = IssuerClient::register(&other_process, "late", "read", TokenAlg::EdDsa).await;
    assert!(!late.is_active(&url, "x").await, "the new client is found at once");
    other_process.close().await;
    server.shutdown().await;
}

async fn route_changes_by_another_process_apply_to_the_next_request(database: &Database) {
    let server = start_origin(database).await;
    let url = server.url();
    let other_process = database.reopen().await;
    let service = IssuerClient::register(&database.store, "service", "read", TokenAlg::EdDsa).await;
    let token = service.token(&url).await;
    let http = reqwest::Client::new();
    let validate = async |token: Option<&str>| {
        let request = http.post(format!("{url}/validate")).header("x-original-uri", "/reports/1");
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        request.send().await.expect("answered").status()
    };
    let route = |path: &str, scope: &str, public| {
        let scope = Scope::parse(scope).expect("a scope");
        Route::new(path, &[], scope, public, OnStale::Deny).expect("a route")
    };
    let (open, narrow, narrower) =
        (route("/reports/*", "", true), route("/reports/1", "read", false), route("/reports/1", "write", false));
    for _ in 0..5 {
        assert_eq!(validate(None).await, StatusCode::UNAUTHORIZED);
        other_process.create_route(&open).await.expect("added");
        assert_eq!((validate(None).await, validate(None).await), (StatusCode::OK, StatusCode::OK));
        other_process.create_route(&narrow).await.expect("added");
        assert_eq!((validate(None).await, validate(Some(&token)).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
        other_process.delete_route(&narrow).await.expect("removed");
        other_process.create_route(&narrower).await.expect("added");
        assert_eq!(validate(Some(&token)).await, StatusCode::FORBIDDEN);
        other_process.delete_route(&narrower).await.expect("removed");
        assert_eq!(validate(None).await, StatusCode::OK);
        other_process.delete_route(&open).await.expect("removed");
    }
    other_process.close().await;
    server.shutdown().await;
}

/// The token endpoint authenticates the client from the cache before any query.
async fn token_request_follows_the_current_registration(database: &Database) {
    let server = start_origin(database).await;
    let url = format!("{}/oauth/token", server.url());
    let other_process = database.reopen().await;
    let mut service = IssuerClient::register(&database.store, "service", "read", TokenAlg::Hs256).await;
    let id: ClientId = "service".parse().expect("an id");
    let ask = async |caller: &IssuerClient, scope: &str| {
        caller.post(&url, &[("grant_type", "client_credentials"), ("scope", scope)]).await.0
    };
    for _ in 0..5 {
        assert_eq!(
            (ask(&service, "read").await, ask(&service, "write").await),
            (StatusCode::OK, StatusCode::BAD_REQUEST)
        );
        let mut metadata = other_process.find_client(&id).await.expect("read").expect("a client").metadata;
        metadata.scope = Scope::parse("read write").expect("a scope");
        other_process.update_client(&id, &metadata).await.expect("changed");
        assert_eq!(ask(&service, "write").await, StatusCode::OK, "the scope is registered now");
        metadata.scope = Scope::parse("read").expect("a scope");
        other_process.update_client(&id, &metadata).await.expect("changed");
        assert_eq!(ask(&service, "write").await, StatusCode::BAD_REQUEST, "the scope is not registered any more");

        assert_eq!(ask(&service, "read").await, StatusCode::OK);
        let other = Secret::new(SecretKind::Client, &rng::random().expect("randomness"));
        other_process
            .rotate_secret(&id, &StoredSecret::generated(&other, Clock::system().now()), 0)
            .await
            .expect("rotated");
        assert_eq!(ask(&service, "read").await, StatusCode::UNAUTHORIZED, "the secret has expired");
        service = service.with_secret(&other);
    }
    assert_eq!(ask(&service, "read").await, StatusCode::OK);
    other_process.disable_client(&id, &termination(Clock::system().now())).await.expect("disabled");
    assert_eq!(ask(&service, "read").await, StatusCode::UNAUTHORIZED, "the client is disabled");
    other_process.close().await;
    server.shutdown().await;
}

/// A refresh reads the grant from the cache, too, except whether it was revoked.
async fn refresh_follows_the_current_registration_and_grant(database: &Database) {
    let server = start_origin(database).await;
    let url = format!("{}/oauth/token", server.url());
    let other_process = database.reopen().await;
    let mut service = IssuerClient::register(&database.store, "reports", "reports:read", TokenAlg::EdDsa).await;
    let id: ClientId = "reports".parse().expect("an id");
    // Adds the grant types of a web application.
    assert!(database.store.update_client(&id, &client("reports").0.metadata).await.expect("changed"));
    let refresh = async |caller: &IssuerClient, token: &str| {
        caller.post(&url, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    };
    let refreshed = async |caller: &IssuerClient, token: &str| {
        let (status, answer) = refresh(caller, token).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["refresh_token"].as_str().expect("a refresh token").to_owned()
    };
    let (grant, mut token) = grant_with_refresh_token(database).await;
    for _ in 0..5 {
        let older = token.clone();
        token = refreshed(&service, &refreshed(&service, &token).await).await;
        let other = Secret::new(SecretKind::Client, &rng::random().expect("randomness"));
        other_process
            .rotate_secret(&id, &StoredSecret::generated(&other, Clock::system().now()), 0)
            .await
            .expect("rotated");
        assert_eq!(refresh(&service, &token).await.0, StatusCode::UNAUTHORIZED, "the secret has expired");
        assert_eq!(
            refresh(&service, &older).await.0,
            StatusCode::UNAUTHORIZED,
            "a used refresh token with an expired secret"
        );
        service = service.with_secret(&other);
        token = refreshed(&service, &token).await;
    }
    let target = Target::Session(grant.id.to_string());
    other_process.revoke(revoke_any(target, Clock::system().now())).await.expect("revoked");
    assert_eq!(refresh(&service, &token).await.0, StatusCode::BAD_REQUEST, "the grant is revoked");

    let (_, token) = grant_with_refresh_token(database).await;
    let token = refreshed(&service, &refreshed(&service, &token).await).await;
    other_process.disable_client(&id, &termination(Clock::system().now())).await.expect("disabled");
    assert_eq!(refresh(&service, &token).await.0, StatusCode::UNAUTHORIZED, "the client is disabled");
    other_process.close().await;
    server.shutdown().await;
}

/// A grant to the client `reports`, and its first refresh token.
async fn grant_with_refresh_token(database: &Database) -> (Grant, String) {
    let code = sample_code(&database.store).await;
    let random = rng::random().expect("randomness");
    let token = key_ring(&database.store).await.refresh_keys().first(&code.grant.id, &random).expect("a grant id");
    let first = NewRefreshToken { hash: token.hash(), expires_at: code.grant.ends_at, jkt: None };
    let credential = RedeemCredential::Code { hash: code.hash, refresh: Some(first) };
    let unique = TokenId::unique(Clock::system().now_ms(), rng::random_id().expect("randomness"));
    let redeem = redeem(&code.grant, credential, 0, Clock::system().now());
    let issue = TokenDraft { unique, ..redeem.issue.draft.clone() }.into();
    let redeemed = database.store.redeem(RedeemRequest { issue, ..redeem }).await.expect("redeemed");
    assert!(matches!(redeemed, RedeemOutcome::Issued(_)));
    (code.grant, token.reveal().to_owned())
}

async fn issue_with_an_outdated_registration_is_refused(database: &Database) {
    let store = &database.store;
    store.create_client(&client("reports").0).await.expect("registered");
    let now = store.get_versions().await.expect("read").registrations;
    let issue = |number, registrations_version| IssueRequest {
        registrations_version,
        ..draft(number, Clock::system().now() + 600).into()
    };
    store.issue(issue(1, Some(now))).await.expect("up to date");
    store.create_client(&client("another").0).await.expect("registered");
    let later = store.get_versions().await.expect("read").registrations;
    let issuances = vec![issue(2, Some(now)), issue(3, Some(later)), issue(4, None)];
    let issued = store.apply(Batch { issuances, ..Batch::default() }).await.expect("written").issued;
    assert!(matches!(issued.as_slice(), [Err(StoreError::ConcurrentModification), Ok(_), Ok(_)]), "{issued:?}");
}

async fn redemption_with_an_outdated_registration_is_refused(database: &Database) {
    let store = &database.store;
    let grant = numbered_grant_with_refresh_token(database, "r0", 1).await;
    let then = store.get_versions().await.expect("read").registrations;
    let registrations_version = |redeem: RedeemRequest, registrations_version| RedeemRequest {
        issue: IssueRequest { registrations_version, ..redeem.issue.clone() },
        ..redeem
    };
    for (from, to, number) in [("r0", "r1", 2), ("r1", "r2", 3)] {
        let next = registrations_version(refresh(&grant, from, to, number, NOW + 5), Some(then));
        assert!(matches!(store.redeem(next).await.expect("up to date"), RedeemOutcome::Issued(_)));
    }
    store.create_client(&client("another").0).await.expect("registered");
    for (from, to) in [("r2", "r3"), ("r0", "r1")] {
        let refused = store.redeem(registrations_version(refresh(&grant, from, to, 4, NOW + 6), Some(then))).await;
        assert!(matches!(refused, Err(StoreError::ConcurrentModification)), "{refused:?}");
    }
    assert!(!is_ended(database, &grant).await, "an outdated redemption is no reuse");
    let now = store.get_versions().await.expect("read").registrations;
    let next = registrations_version(refresh(&grant, "r2", "r3", 5, NOW + 6), Some(now));
    assert!(matches!(store.redeem(next).await.expect("up to date"), RedeemOutcome::Issued(_)));
}

async fn version_reader_replaces_a_dead_idle_connection(database: &Database) {
    let mut reader = database.store.version_reader();
    let versions = reader.read().await.expect("read");
    if database.url().starts_with("postgres") {
        let terminate_others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                          WHERE datname = current_database() AND pid <> pg_backend_pid()";
        database.execute(terminate_others).await.expect("ended");
    }
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(reader.read().await.expect("a new connection"), versions);
}
