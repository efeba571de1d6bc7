//! Delivery of back-channel logout tokens.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Form, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_core::{Algorithm, KeySet};
use tollgate_model::{
    Access, AuthorizationCode, BrowserSession, BrowserSessionId, Grant, GrantId, GrantTerms, Secret, SecretKind, User,
    UserId,
};
use tollgate_storage::{ClientSlots, Store};
use tollgate_system::{Clock, rng};
use tollgate_test_kit::jwt;
use tollgate_test_kit::wait::wait_until;

use crate::database::Database;
use crate::fixture::start_origin;
use crate::samples::{ISSUER, client, secret, termination};

on_both_databases!(
    pending_logout_tokens_survive_a_restart,
    refused_logout_token_is_not_sent_again,
    undelivered_logout_token_is_given_up_after_a_day,
    disabled_or_changed_client_gets_no_logout_token,
    slow_client_does_not_delay_others,
    each_logout_is_claimed_by_one_origin,
    concurrent_ends_of_a_session_make_one_logout,
);

/// A client's logout endpoint, with a status to answer.
#[derive(Clone)]
struct LogoutEndpoint {
    url: String,
    status: Arc<AtomicU16>,
    /// The received tokens, each with the status that it was answered with.
    received: Arc<Mutex<Vec<(String, u16)>>>,
}

/// A status for no answer at all.
const NO_ANSWER: u16 = 0;

impl LogoutEndpoint {
    async fn start(status: u16) -> LogoutEndpoint {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/logout", listener.local_addr().expect("bound"));
        let endpoint = LogoutEndpoint { url, status: Arc::new(AtomicU16::new(status)), received: Arc::default() };
        let router = Router::new().route("/logout", post(LogoutEndpoint::receive)).with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoint
    }

    async fn receive(State(endpoint): State<LogoutEndpoint>, Form(form): Form<Vec<(String, String)>>) -> StatusCode {
        let token = form.into_iter().find(|(name, _)| name == "logout_token").expect("a token").1;
        let answer = endpoint.status.load(Ordering::SeqCst);
        endpoint.received.lock().expect("not poisoned").push((token, answer));
        match answer {
            NO_ANSWER => std::future::pending().await,
            status => StatusCode::from_u16(status).expect("a status"),
        }
    }

    fn received(&self) -> Vec<(String, u16)> {
        self.received.lock().expect("not poisoned").clone()
    }
}

/// Registers a client with this endpoint.
async fn register(store: &Store, id: &str, endpoint: &LogoutEndpoint) {
    let (mut client, _) = client(id);
    client.metadata.backchannel_logout_uri = Some(endpoint.url.parse().expect("a URL"));
    store.create_client(&client).await.expect("registered");
}

fn random() -> [u8; 12] {
    rng::random().expect("randomness")
}

/// Signs in a new user. Returns the session, its cookie, and a grant for each of these clients.
async fn sign_in(store: &Store, clients: &[&str]) -> (BrowserSession, Secret, Vec<Grant>) {
    let (now, cookie) = (Clock::system().now(), secret(SecretKind::Session));
    let name = GrantId::from_random(&random()).as_str().parse().expect("a name");
    let user = User::new(UserId::from_random(&random()), name, now);
    store.create_user(&user).await.expect("registered");
    let login = BrowserSession {
        id: BrowserSessionId::from_random(&random()),
        hash: cookie.hash(),
        user: user.id.clone(),
        auth_time: now,
        expires_at: now + 3600,
        seen_at: now,
        sender: Default::default(),
    };
    store.create_session(&login, None).await.expect("signed in");
    let mut grants = Vec::new();
    for client in clients {
        let (scope, audience) = ("openid".parse().expect("a scope"), ISSUER.parse().expect("an audience"));
        let access = Access { scope, audience, details: Default::default() };
        let terms = GrantTerms {
            access,
            auth_time: now,
            acr: "0".to_owned(),
            amr: vec!["pwd".to_owned()],
            device: None,
            claims: Default::default(),
        };
        let grant = Grant {
            id: GrantId::from_random(&random()),
            client: client.parse().expect("an id"),
            subject: user.id.to_string(),
            user: user.id.clone(),
            browser_session: Some(login.id.clone()),
            terms,
            created_at: now,
            ends_at: now + 3600,
            ended_at: None,
        };
        let code = AuthorizationCode {
            hash: secret(SecretKind::Code).hash(),
            grant: grant.clone(),
            redirect_uri: None,
            challenge: Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".parse().expect("a challenge")),
            nonce: None,
            jkt: None,
            expires_at: now + 60,
            tokens_expire_at: None,
            redeemed_at: None,
        };
        assert!(store.create_code(&code, None).await.expect("recorded"));
        grants.push(grant);
    }
    (login, cookie, grants)
}

/// Signs out on the page.
async fn sign_out(url: &str, cookie: &Secret) {
    let http = reqwest::Client::new();
    let cookie = format!("__Host-tollgate={}", cookie.reveal());
    let page = http.get(format!("{url}/logout")).header("cookie", &cookie).send().await.expect("answered");
    let page = page.text().await.expect("text");
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).expect("a form").split('"').next().expect("a token");
    let request = http.post(format!("{url}/logout")).header("cookie", &cookie).form(&[("csrf", csrf)]);
    assert_eq!(request.send().await.expect("answered").status(), 200);
}

fn claims_of(token: &str) -> Value {
    jwt::claims(token).expect("a JWT")
}

/// Verifies a logout token as a client does, and returns its claims.
async fn verify(url: &str, token: &str) -> Value {
    let keys = reqwest::get(format!("{url}/.well-known/jwks.json")).await.expect("answered");
    let keys = KeySet::from_jwks(&keys.bytes().await.expect("a body")).expect("keys");
    let header = jwt::header(token).expect("a JWT");
    assert_eq!(header["typ"], "logout+jwt");
    let algorithm = Algorithm::from_name(header["alg"].as_str().expect("an alg")).expect("known");
    let (signed, signature) = token.rsplit_once('.').expect("a JWT");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    keys.check_signature(header["kid"].as_str(), algorithm, signed.as_bytes(), &signature).expect("a good signature");
    let claims = claims_of(token);
    assert_eq!((&claims["iss"], &claims["events"]), (&json!(ISSUER), &json!({ EVENT: {} })));
    let [issued, expires] = ["iat", "exp"].map(|name| claims[name].as_u64().expect("a time"));
    let now = Clock::system().now();
    assert!(issued <= now && now < expires && expires <= issued + 120, "{claims}");
    claims
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Whether no logout token is left to send.
async fn is_done(store: &Store) -> bool {
    store.find_next_logout_time().await.expect("asked").is_none()
}

async fn pending_logout_tokens_survive_a_restart(database: &Database) {
    let endpoint = LogoutEndpoint::start(503).await;
    register(&database.store, "shop", &endpoint).await;
    database.store.create_client(&client("without-endpoint").0).await.expect("registered");
    let (login, cookie, grants) = sign_in(&database.store, &["shop", "without-endpoint"]).await;
    let server = start_origin(database).await;
    sign_out(&server.url(), &cookie).await;
    assert!(database.store.list_sessions(&login.user, Clock::system().now()).await.expect("read").is_empty());
    for grant in &grants {
        assert!(database.store.find_grant(&grant.id).await.expect("read").expect("there").ended_at.is_some());
    }
    wait_until("the client was notified", async || !endpoint.received().is_empty()).await;
    server.shutdown().await;
    assert!(!is_done(&database.store).await, "the logout token is still to be sent");

    endpoint.status.store(204, Ordering::SeqCst);
    let server = start_origin(database).await;
    wait_until("the client accepted the logout token", async || is_done(&database.store).await).await;
    let received = endpoint.received();
    let (token, answer) = received.last().expect("a token");
    assert_eq!((*answer, received.iter().filter(|(_, answer)| *answer == 204).count()), (204, 1));
    let claims = verify(&server.url(), token).await;
    let sub = json!(login.user);
    assert_eq!([&claims["aud"], &claims["sub"], &claims["sid"]], [&json!("shop"), &sub, &json!(grants[0].id)]);
    let ids: BTreeSet<String> = received.iter().map(|(token, _)| claims_of(token)["jti"].to_string()).collect();
    assert_eq!(ids.len(), received.len(), "each attempt has a new token");
    server.shutdown().await;
}

async fn refused_logout_token_is_not_sent_again(database: &Database) {
    let endpoint = LogoutEndpoint::start(400).await;
    register(&database.store, "shop", &endpoint).await;
    let (_, cookie, _) = sign_in(&database.store, &["shop"]).await;
    let server = start_origin(database).await;
    sign_out(&server.url(), &cookie).await;
    wait_until("the logout token is given up", async || is_done(&database.store).await).await;
    assert_eq!(endpoint.received().len(), 1);
    server.shutdown().await;
}

async fn undelivered_logout_token_is_given_up_after_a_day(database: &Database) {
    let endpoint = LogoutEndpoint::start(500).await;
    register(&database.store, "shop", &endpoint).await;
    let (login, _, _) = sign_in(&database.store, &["shop"]).await;
    database.store.end_session(&login.id, &termination(Clock::system().now() - 25 * 60 * 60)).await.expect("ended");
    let server = start_origin(database).await;
    wait_until("the logout token is given up", async || is_done(&database.store).await).await;
    assert_eq!(endpoint.received().len(), 1, "one attempt, because the origin may have been down for a day");
    server.shutdown().await;
}

async fn disabled_or_changed_client_gets_no_logout_token(database: &Database) {
    let endpoint = LogoutEndpoint::start(200).await;
    for id in ["disabled", "changed"] {
        register(&database.store, id, &endpoint).await;
    }
    let (login, _, _) = sign_in(&database.store, &["disabled", "changed"]).await;
    database.store.end_session(&login.id, &termination(Clock::system().now())).await.expect("ended");
    assert!(!is_done(&database.store).await);
    let [disabled, changed] = ["disabled", "changed"].map(|id| id.parse().expect("an id"));
    database.store.disable_client(&disabled, &termination(Clock::system().now())).await.expect("disabled");
    database.store.update_client(&changed, &client("changed").0.metadata).await.expect("changed");
    let server = start_origin(database).await;
    wait_until("both logout tokens are dropped", async || is_done(&database.store).await).await;
    assert!(endpoint.received().is_empty());
    server.shutdown().await;
}

async fn slow_client_does_not_delay_others(database: &Database) {
    let (slow, quick) = (LogoutEndpoint::start(NO_ANSWER).await, LogoutEndpoint::start(200).await);
    register(&database.store, "slow", &slow).await;
    register(&database.store, "quick", &quick).await;
    // More than the origin sends at the same time.
    let (slow_one, _, _) = sign_in(&database.store, &["slow"; 100]).await;
    let (quick_one, _, _) = sign_in(&database.store, &["quick"; 20]).await;
    database.store.end_session(&slow_one.id, &termination(Clock::system().now() - 10)).await.expect("ended");
    database.store.end_session(&quick_one.id, &termination(Clock::system().now())).await.expect("ended");
    let server = start_origin(database).await;
    wait_until("the quick client is notified", async || quick.received().len() == 20).await;
    wait_until("the slow client is notified", async || !slow.received().is_empty()).await;
    // Attempts without an answer are repeated.
    slow.status.store(200, Ordering::SeqCst);
    wait_until("all logout tokens are accepted", async || is_done(&database.store).await).await;
    let subjects = |endpoint: &LogoutEndpoint| -> BTreeSet<String> {
        let taken = endpoint.received().into_iter().filter(|(_, answer)| *answer == 200);
        taken.map(|(token, _)| claims_of(&token)["sid"].to_string()).collect()
    };
    assert_eq!((subjects(&slow).len(), subjects(&quick).len()), (100, 20));
    server.shutdown().await;
}

async fn each_logout_is_claimed_by_one_origin(database: &Database) {
    let endpoint = LogoutEndpoint::start(200).await;
    register(&database.store, "shop", &endpoint).await;
    register(&database.store, "bank", &endpoint).await;
    let (login, _, _) = sign_in(&database.store, &["shop", "bank", "shop", "shop", "bank", "bank", "bank"]).await;
    let now = Clock::system().now();
    database.store.end_session(&login.id, &termination(now)).await.expect("ended");
    let other_process = database.reopen().await;
    let mut origins = JoinSet::new();
    for store in [&database.store, &other_process].into_iter().cycle().take(16) {
        let store = store.clone();
        origins.spawn(async move {
            let mut all = Vec::new();
            while store.find_next_logout_time().await.expect("asked").is_some_and(|due| due <= now) {
                all.extend(store.claim_logouts(now, now + 60, 2, &ClientSlots::with_limit(1)).await.expect("claimed"));
            }
            all
        });
    }
    let taken: Vec<_> = origins.join_all().await.into_iter().flatten().collect();
    let numbers: BTreeSet<u64> = taken.iter().map(|logout| logout.number).collect();
    assert_eq!((taken.len(), numbers.len()), (7, 7), "each is claimed once: {taken:?}");
    let room = ClientSlots::with_limit(8);
    assert_eq!(other_process.claim_logouts(now + 59, now + 90, 8, &room).await.expect("asked"), []);

    // One origin is silent for too long and another claims the logout. Then the first cannot put it
    // back.
    database.store.reschedule_logout(&taken[0], now + 5).await.expect("put back");
    let again = other_process.claim_logouts(now + 5, now + 60, 8, &room).await.expect("claimed");
    assert_eq!((again.len(), again[0].number, again[0].attempts), (1, taken[0].number, 2));
    database.store.reschedule_logout(&taken[0], now + 5).await.expect("too late");
    assert_eq!(database.store.claim_logouts(now + 59, now + 90, 8, &room).await.expect("asked"), []);
    let abandoned = database.store.claim_logouts(now + 60, now + 120, 8, &room).await.expect("claimed");
    assert_eq!(abandoned.len(), 7, "logouts of an origin that died are claimed again");
    for logout in &abandoned {
        other_process.delete_logout(logout).await.expect("forgotten");
    }
    assert!(is_done(&database.store).await);

    let mut room = ClientSlots::with_limit(1);
    let shop = "shop".parse().expect("an id");
    assert!(room.try_acquire(&shop) && !room.try_acquire(&shop));
    let (login, _, _) = sign_in(&database.store, &["shop", "bank"]).await;
    database.store.end_session(&login.id, &termination(now)).await.expect("ended");
    let taken = database.store.claim_logouts(now, now + 60, 8, &room).await.expect("claimed");
    assert_eq!(taken.iter().map(|logout| logout.client.as_str()).collect::<Vec<_>>(), ["bank"]);
    room.release(&shop);
    assert_eq!(database.store.claim_logouts(now, now + 60, 8, &room).await.expect("claimed").len(), 1);
    other_process.close().await;
}

async fn concurrent_ends_of_a_session_make_one_logout(database: &Database) {
    let endpoint = LogoutEndpoint::start(200).await;
    register(&database.store, "shop", &endpoint).await;
    let (login, _, grants) = sign_in(&database.store, &["shop"]).await;
    let (now, other_process) = (Clock::system().now(), database.reopen().await);
    let both = {
        let ending = termination(now);
        tokio::join!(database.store.end_session(&login.id, &ending), other_process.end_session(&login.id, &ending))
    };
    assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    let taken = other_process.claim_logouts(now, now, 8, &ClientSlots::with_limit(8)).await.expect("claimed");
    let sessions: Vec<&str> = taken.iter().map(|logout| logout.session.as_str()).collect();
    assert_eq!(sessions, [grants[0].id.as_str()]);
    other_process.close().await;
}
