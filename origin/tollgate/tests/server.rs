//! Revocations by the admin API of a running origin, its snapshots, and its bound on header fields.

use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tollgate_core::{EpochTokenId, RevocationId, RevocationKind, Snapshot};
use tollgate_model::{AccessToken, Actor, NewRevocation, OnStale, Route, Scope, TokenAlg, TokenDetails, TokenDraft};
use tollgate_services::revocation_feed::MIN_CASCADE_TOKENS;
use tollgate_storage::{Batch, Store};
use tollgate_system::{Clock, rng};
use tollgate_test_kit::admin_client::AdminClient;
use tollgate_test_kit::client::TestClient;
use tollgate_test_kit::origin::TestOrigin;

/// Registers a client with this scope, and gets its token for the origin itself.
async fn token(origin: &TestOrigin, id: &str, scope: &str, alg: TokenAlg) -> String {
    let metadata = json!({
        "grant_types": ["client_credentials"],
        "scope": scope,
        "audiences": [origin.server.issuer()],
        "access_token_signed_response_alg": alg.as_str(),
    });
    let client = TestClient::register(origin, id, metadata).await.expect("registered");
    let answer = client.request_tokens(&[("grant_type", "client_credentials")]).await.expect("answered");
    answer.text("access_token").expect("a token")
}

/// Sends a request to the admin API for revocations.
async fn send(origin: &TestOrigin, method: Method, path: &str, token: &str, body: Value) -> (u16, Value) {
    let admin = AdminClient::with_token(origin, token.to_owned());
    let request = admin.request(method, &format!("/revocations{path}"));
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.expect("answered");
    if !answer.status().is_success() {
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn fetch_snapshot(origin: &TestOrigin) -> Snapshot {
    let keys = origin.open_keys().await.expect("keys");
    let answer = origin.http.get(origin.url("/edge/v1/snapshot")).send().await.expect("answered");
    let bytes = answer.bytes().await.expect("a body").to_vec();
    Snapshot::decode(bytes, &[keys.snapshot_signer().public_key()]).expect("a valid snapshot")
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_api_revokes_and_reinstates() {
    let origin = TestOrigin::start().await.expect("started");
    let admin = token(&origin, "admin", "tollgate:admin", TokenAlg::EdDsa).await;
    let other = token(&origin, "other", "reports:read", TokenAlg::EdDsa).await;
    let forged = token(&origin, "hs256", "tollgate:admin", TokenAlg::Hs256).await;

    let refused = send(&origin, Method::GET, "", &other, Value::Null).await.0;
    assert_eq!(refused, 403);
    for token in ["", "x.y.z", &forged] {
        assert_eq!(send(&origin, Method::GET, "", token, Value::Null).await.0, 401, "{token}");
    }

    let (status, made) = send(&origin, Method::POST, "", &admin, json!({ "token": other, "reason": "stolen" })).await;
    assert_eq!((status, &made["revoked_by"]), (201, &json!("client:admin")), "{made}");
    let (status, again) =
        send(&origin, Method::POST, "", &admin, json!({ "kind": "token", "name": made["name"] })).await;
    assert_eq!((status, &again["id"]), (200, &made["id"]));
    for (body, status) in [
        (json!({}), 400),
        (json!({ "kind": "planet", "name": "x" }), 400),
        (json!({ "kind": "token", "name": "x" }), 404),
        (json!({ "kind": "subject", "name": "" }), 400),
        (json!({ "kind": "subject", "name": "x", "before": 1 }), 400),
        (json!({ "before": u64::MAX }), 400),
        (json!({ "token": "x" }), 400),
        (json!({ "kind": "subject", "name": "x", "resaon": "slip" }), 400),
        (json!({ "kind": "subject", "name": "x", "reason": "a\nb" }), 400),
    ] {
        assert_eq!(send(&origin, Method::POST, "", &admin, body.clone()).await.0, status, "{body}");
    }
    for (kind, name) in [("session", "s"), ("subject", "s"), ("key", "k")] {
        let body = json!({ "kind": kind, "name": name });
        assert_eq!(send(&origin, Method::POST, "", &admin, body).await.0, 201, "{kind}");
    }
    let (_, page) = send(&origin, Method::GET, "?limit=3", &admin, Value::Null).await;
    assert_eq!(page["revocations"].as_array().map(Vec::len), Some(3));
    let (_, rest) = send(&origin, Method::GET, &format!("?limit=3&below={}", page["next"]), &admin, Value::Null).await;
    assert_eq!((&rest["revocations"][0]["id"], &rest["next"]), (&made["id"], &Value::Null));
    let (_, of_kind) = send(&origin, Method::GET, "?kind=subject", &admin, Value::Null).await;
    assert_eq!(of_kind["revocations"].as_array().map(Vec::len), Some(1));

    let path = format!("/{}", made["id"]);
    let (status, lifted) = send(&origin, Method::DELETE, &path, &admin, Value::Null).await;
    assert_eq!((status, &lifted["in_force"], &lifted["lifted_by"]), (200, &json!(false), &json!("client:admin")));
    assert_eq!(send(&origin, Method::GET, &path, &admin, Value::Null).await.1, lifted);
    for path in ["/999", "/x"] {
        assert_eq!(send(&origin, Method::DELETE, path, &admin, Value::Null).await.0, 404);
    }
    // Administrators can revoke their own token.
    let (status, _) = send(&origin, Method::POST, "", &admin, json!({ "token": admin })).await;
    assert_eq!(status, 201);
    assert_eq!(send(&origin, Method::GET, "", &admin, Value::Null).await.0, 401);
    origin.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn token_expires_by_the_clock_that_the_server_is_given() {
    let (clock, time) = Clock::manual(Clock::system().now_ms());
    let lifetime = [("TOLLGATE_TOKEN_LIFETIME", "600")];
    let origin = TestOrigin::start_with_clock(&lifetime, clock).await.expect("started");
    let metadata = json!({ "grant_types": ["client_credentials"], "scope": "reports:read" });
    let client = TestClient::register(&origin, "reports", metadata).await.expect("registered");
    let answer = client.request_tokens(&[("grant_type", "client_credentials")]).await.expect("answered");
    let token = answer.text("access_token").expect("a token");

    time.advance(Duration::from_secs(599));
    assert!(client.is_active(&token).await.expect("answered"));
    time.advance(Duration::from_secs(1));
    assert!(!client.is_active(&token).await.expect("answered"));
    origin.server.shutdown().await;
}

/// The HTTP library sets this bound.
#[tokio::test]
async fn request_may_have_a_hundred_header_fields() {
    let origin = TestOrigin::start().await.expect("started");
    let ask = async |fields: usize| {
        let fields = (0..fields).map(|nth| (format!("x-field-{nth}").parse().expect("a name"), HeaderValue::from(nth)));
        // The HTTP client adds three: host, accept and accept-encoding.
        let request = origin.http.get(origin.url("/health/live")).headers(fields.collect());
        request.send().await.expect("answered").status()
    };
    assert_eq!(ask(97).await, StatusCode::OK);
    assert_eq!(ask(98).await, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    origin.server.shutdown().await;
}

/// Issues tokens in one transaction.
async fn issue(store: &Store, count: usize) -> Vec<AccessToken> {
    let now = Clock::system().now();
    let draft = || TokenDraft {
        unique: rng::random().expect("randomness"),
        client: "reports".parse().expect("an id"),
        subject: "someone".to_owned(),
        session: None,
        key_id: "a-key".to_owned(),
        scope: Scope::default(),
        audience: "an-api".parse().expect("an audience"),
        details: TokenDetails::default(),
        opaque: None,
        issued_at: now,
        expires_at: now + 3600,
    };
    let issuances = (0..count).map(|_| draft().into()).collect();
    let issued = store.apply(Batch { issuances, ..Batch::default() }).await.expect("written").issued;
    issued.into_iter().map(|token| *token.expect("issued")).collect()
}

/// Revokes tokens in one transaction.
async fn revoke(store: &Store, tokens: &[AccessToken]) {
    let by = || Actor::command_line(None);
    let revocations =
        tokens.iter().map(|token| NewRevocation::token(token, by(), None, Clock::system().now()).expect("it lives"));
    store.apply(Batch { revocations: revocations.collect(), ..Batch::default() }).await.expect("revoked");
}

fn is_revoked_by(snapshot: &Snapshot, token: &AccessToken) -> bool {
    let id = token.id.to_string();
    let epoch = EpochTokenId::parse(&id).map(|id| id.epoch());
    snapshot.is_token_revoked(RevocationId::for_token(snapshot.issuer(), &id), epoch)
}

/// Waits for a snapshot whose cascade covers tokens of a later epoch.
async fn snapshot_after(origin: &TestOrigin, epoch: u32) -> Snapshot {
    let started = Instant::now();
    loop {
        let snapshot = fetch_snapshot(origin).await;
        if snapshot.epoch() > epoch {
            return snapshot;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "no such snapshot was built in the background");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_of_many_revocations_is_exact() {
    let origin = TestOrigin::start().await.expect("started");
    token(&origin, "reports", "", TokenAlg::EdDsa).await;
    assert_eq!(fetch_snapshot(&origin).await.epoch(), 0, "a few revocations need no cascade");
    let store = origin.server.store();
    let tokens = issue(store, 20_000).await;
    let (revoked, active) = tokens.split_at(2 * MIN_CASCADE_TOKENS);
    revoke(store, revoked).await;
    let snapshot = snapshot_after(&origin, 0).await;
    assert_eq!((snapshot.covered_revocation_count(), snapshot.count(RevocationKind::Token)), (revoked.len(), 0));
    assert!(revoked.iter().all(|token| is_revoked_by(&snapshot, token)));
    assert!(!active.iter().any(|token| is_revoked_by(&snapshot, token)));

    // A change of the configuration keeps the cascade, and tokens issued since are listed.
    let later = issue(store, 2).await;
    assert!(later[0].id.epoch() > snapshot.epoch());
    revoke(store, &later[..1]).await;
    let route = |path| Route::new(path, &[], Scope::default(), true, OnStale::Deny).expect("a route");
    store.create_route(&route("/a")).await.expect("added");
    let changed = fetch_snapshot(&origin).await;
    assert_eq!((changed.config().routes().len(), changed.epoch()), (1, snapshot.epoch()));
    assert_eq!((changed.sequence(), changed.count(RevocationKind::Token)), (snapshot.sequence() + 1, 1));
    assert!(is_revoked_by(&changed, &later[0]) && !is_revoked_by(&changed, &later[1]));

    // A change of a covered token is listed with the old cascade at first, then a new cascade
    // follows.
    revoke(store, &active[..1]).await;
    store.create_route(&route("/b")).await.expect("added");
    let newest = snapshot_after(&origin, changed.epoch()).await;
    assert!(is_revoked_by(&newest, &active[0]) && is_revoked_by(&newest, &later[0]));
    assert_eq!((newest.config().routes().len(), newest.sequence()), (2, changed.sequence() + 1));
    // Every origin on the database serves the stored snapshot.
    let published = store.find_published_snapshot().await.expect("read").expect("there");
    assert_eq!(fetch_snapshot(&origin).await.as_bytes(), published.message);
    origin.server.shutdown().await;
}
