//! The running origin as administrators and edges meet it: revoking by the admin API, and snapshots that are exact.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use tollgate::Server;
use tollgate_config::Settings;
use tollgate_core::{EpochTokenId, RevocationId, RevocationKind, Snapshot};
use tollgate_model::{
    AccessToken, Actor, Client, ClientMetadata, GrantType, OnStale, Revoke, Route, Scope, Secret, SecretKind, TokenAlg,
    TokenDetails, TokenDraft,
};
use tollgate_services::revocation_feed::CASCADE_FROM;
use tollgate_storage::{Batch, Store};
use tollgate_system::ambient;

struct Origin {
    server: Server,
    settings: Settings,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Origin {
    async fn start() -> Origin {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let settings = Settings::from_pairs([
            ("TOLLGATE_LISTEN", format!("127.0.0.1:{port}")),
            ("TOLLGATE_PUBLIC_URL", format!("http://127.0.0.1:{port}")),
            ("TOLLGATE_DATABASE_URL", format!("sqlite://{}", file("origin.db"))),
            ("TOLLGATE_MASTER_KEY_FILE", file("origin.key")),
        ])
        .expect("good settings");
        let server = Server::start(settings.clone()).await.expect("started");
        Origin { server, settings, http: reqwest::Client::new(), _folder: folder }
    }

    /// Registers a client with this scope; its token, for the origin itself.
    async fn token(&self, id: &str, scope: &str, alg: TokenAlg) -> String {
        let secret = Secret::new(SecretKind::Client, &ambient::random().expect("randomness"));
        let metadata = ClientMetadata {
            name: id.to_owned(),
            grant_types: vec![GrantType::ClientCredentials],
            scope: Scope::parse(scope).expect("a scope"),
            audiences: vec![self.server.issuer().parse().expect("an audience")],
            alg,
            ..ClientMetadata::default()
        };
        let client = Client::new(id.parse().expect("an id"), metadata, 0).with_secret(&secret, 0);
        self.server.store().insert_client(&client).await.expect("registered");
        let form = [("grant_type", "client_credentials")];
        let request = self.http.post(format!("{}/oauth/token", self.server.url()));
        let answer = request.basic_auth(id, Some(secret.reveal())).form(&form).send().await.expect("answered");
        let answer: Value = answer.json().await.expect("JSON");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    async fn admin(&self, method: reqwest::Method, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/admin/api/revocations{path}", self.server.url());
        let request = self.http.request(method, url).bearer_auth(token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.expect("answered");
        let (status, media_type) = (answer.status(), answer.headers()["content-type"].clone());
        if !status.is_success() {
            assert_eq!(media_type, "application/problem+json");
        }
        (status, answer.json().await.expect("JSON"))
    }

    async fn snapshot(&self) -> Snapshot {
        let keys = tollgate::open_keys(self.server.store(), &self.settings).await.expect("keys");
        let answer = self.http.get(format!("{}/edge/v1/snapshot", self.server.url())).send().await.expect("answered");
        let bytes = answer.bytes().await.expect("a body").to_vec();
        Snapshot::decode(bytes, &[keys.snapshot_signer().public_key()]).expect("a good snapshot")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_revoke_and_reinstate() {
    use reqwest::Method;
    let origin = Origin::start().await;
    let admin = origin.token("admin", "tollgate:admin", TokenAlg::EdDsa).await;
    let other = origin.token("other", "reports:read", TokenAlg::EdDsa).await;
    let forged = origin.token("hs256", "tollgate:admin", TokenAlg::Hs256).await;

    let refused = origin.admin(Method::GET, "", &other, Value::Null).await.0;
    assert_eq!(refused, StatusCode::FORBIDDEN);
    for token in ["", "x.y.z", &forged] {
        assert_eq!(origin.admin(Method::GET, "", token, Value::Null).await.0, StatusCode::UNAUTHORIZED, "{token}");
    }

    let (status, made) = origin.admin(Method::POST, "", &admin, json!({ "token": other, "reason": "stolen" })).await;
    assert_eq!((status, &made["revoked_by"]), (StatusCode::CREATED, &json!("client:admin")), "{made}");
    let (status, again) =
        origin.admin(Method::POST, "", &admin, json!({ "kind": "token", "name": made["name"] })).await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &made["id"]));
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
        assert_eq!(origin.admin(Method::POST, "", &admin, body.clone()).await.0.as_u16(), status, "{body}");
    }
    for (kind, name) in [("session", "s"), ("subject", "s"), ("key", "k")] {
        let body = json!({ "kind": kind, "name": name });
        assert_eq!(origin.admin(Method::POST, "", &admin, body).await.0, StatusCode::CREATED, "{kind}");
    }
    let (_, page) = origin.admin(Method::GET, "?limit=3", &admin, Value::Null).await;
    assert_eq!(page["revocations"].as_array().map(Vec::len), Some(3));
    let (_, rest) = origin.admin(Method::GET, &format!("?limit=3&below={}", page["next"]), &admin, Value::Null).await;
    assert_eq!((&rest["revocations"][0]["id"], &rest["next"]), (&made["id"], &Value::Null));
    let (_, of_kind) = origin.admin(Method::GET, "?kind=subject", &admin, Value::Null).await;
    assert_eq!(of_kind["revocations"].as_array().map(Vec::len), Some(1));

    let path = format!("/{}", made["id"]);
    let (status, lifted) = origin.admin(Method::DELETE, &path, &admin, Value::Null).await;
    assert_eq!(
        (status, &lifted["in_force"], &lifted["lifted_by"]),
        (StatusCode::OK, &json!(false), &json!("client:admin"))
    );
    assert_eq!(origin.admin(Method::GET, &path, &admin, Value::Null).await.1, lifted);
    for path in ["/999", "/x"] {
        assert_eq!(origin.admin(Method::DELETE, path, &admin, Value::Null).await.0, StatusCode::NOT_FOUND);
    }
    // An administrator who revokes the token that he holds is out.
    let (status, _) = origin.admin(Method::POST, "", &admin, json!({ "token": admin })).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(origin.admin(Method::GET, "", &admin, Value::Null).await.0, StatusCode::UNAUTHORIZED);
    origin.server.shutdown().await;
}

/// The bound on header fields is the HTTP library's own: this holds it to that.
#[tokio::test]
async fn a_request_has_a_hundred_header_fields_at_most() {
    let origin = Origin::start().await;
    let ask = async |fields: usize| {
        let fields = (0..fields).map(|nth| (format!("x-field-{nth}").parse().expect("a name"), HeaderValue::from(nth)));
        // The client adds three of its own: host, accept and accept-encoding.
        let request = origin.http.get(format!("{}/health/live", origin.server.url())).headers(fields.collect());
        request.send().await.expect("answered").status()
    };
    assert_eq!(ask(97).await, StatusCode::OK);
    assert_eq!(ask(98).await, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    origin.server.shutdown().await;
}

/// Issues so many tokens in one transaction.
async fn issue(store: &Store, count: usize) -> Vec<AccessToken> {
    let now = ambient::now();
    let draft = || TokenDraft {
        unique: ambient::random().expect("randomness"),
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
    let issues = (0..count).map(|_| draft().into()).collect();
    let issued = store.apply(Batch { issues, ..Batch::default() }).await.expect("written").issued;
    issued.into_iter().map(|token| *token.expect("issued")).collect()
}

/// Revokes tokens in one transaction.
async fn revoke(store: &Store, tokens: &[AccessToken]) {
    let by = || Actor::command_line(None);
    let revokes = tokens.iter().map(|token| Revoke::token(token, by(), None, ambient::now()).expect("it lives"));
    store.apply(Batch { revokes: revokes.collect(), ..Batch::default() }).await.expect("revoked");
}

fn says_revoked(snapshot: &Snapshot, token: &AccessToken) -> bool {
    let id = token.id.to_string();
    let epoch = EpochTokenId::parse(&id).map(|id| id.epoch());
    snapshot.is_token_revoked(RevocationId::for_token(snapshot.issuer(), &id), epoch)
}

/// The first snapshot that covers tokens of later epochs than `epoch`.
async fn snapshot_beyond(origin: &Origin, epoch: u32) -> Snapshot {
    let begun = Instant::now();
    loop {
        let snapshot = origin.snapshot().await;
        if snapshot.epoch() > epoch {
            return snapshot;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it is built in the background");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_revocations_make_an_exact_snapshot() {
    let origin = Origin::start().await;
    origin.token("reports", "", TokenAlg::EdDsa).await;
    assert_eq!(origin.snapshot().await.epoch(), 0, "few are listed");
    let store = origin.server.store();
    let tokens = issue(store, 20_000).await;
    let (revoked, good) = tokens.split_at(2 * CASCADE_FROM);
    revoke(store, revoked).await;
    let snapshot = snapshot_beyond(&origin, 0).await;
    assert_eq!((snapshot.covered_revocation_count(), snapshot.count(RevocationKind::Token)), (revoked.len(), 0));
    assert!(revoked.iter().all(|token| says_revoked(&snapshot, token)));
    assert!(!good.iter().any(|token| says_revoked(&snapshot, token)));

    // A change of the configuration takes over the cascade, and what was issued since is listed.
    let young = issue(store, 2).await;
    assert!(young[0].id.epoch() > snapshot.epoch());
    revoke(store, &young[..1]).await;
    let route = |path| Route::new(path, &[], Scope::default(), true, OnStale::Deny).expect("a route");
    store.insert_route(&route("/a")).await.expect("added");
    let changed = origin.snapshot().await;
    assert_eq!((changed.config().routes().len(), changed.epoch()), (1, snapshot.epoch()));
    assert_eq!((changed.sequence(), changed.count(RevocationKind::Token)), (snapshot.sequence() + 1, 1));
    assert!(says_revoked(&changed, &young[0]) && !says_revoked(&changed, &young[1]));

    // Once a covered token changed, the old cascade is told as of then, and a new one follows.
    revoke(store, &good[..1]).await;
    store.insert_route(&route("/b")).await.expect("added");
    let newest = snapshot_beyond(&origin, changed.epoch()).await;
    assert!(says_revoked(&newest, &good[0]) && says_revoked(&newest, &young[0]));
    assert_eq!((newest.config().routes().len(), newest.sequence()), (2, changed.sequence() + 1));
    // What is served is what stands in the database, for every origin on it.
    let published = store.published().await.expect("read").expect("there");
    assert_eq!(origin.snapshot().await.as_bytes(), published.message);
    origin.server.shutdown().await;
}
