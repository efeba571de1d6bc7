//! Back-channel logout: what clients are to be told outlives the origin that was to tell it.

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
use tollgate_model::{Access, Code, Grant, GrantId, Login, LoginId, Secret, SecretKind, Terms, User, UserId};
use tollgate_storage::{ClientRoom, Store};
use tollgate_system::{clock, rng};

use crate::database::Database;
use crate::samples::{ISSUER, client, ending, secret};
use crate::served::{origin, until};

on_both_databases!(
    what_a_client_must_hear_outlives_the_origin,
    a_client_that_refuses_is_not_asked_again,
    what_nobody_takes_is_given_up_after_a_day,
    a_client_that_is_gone_is_not_told,
    a_slow_client_holds_up_no_other,
    one_of_several_origins_takes_a_logout_up,
    two_who_end_a_session_at_once_end_it_once,
);

/// A client's endpoint, which answers as it is told to.
#[derive(Clone)]
struct Endpoint {
    url: String,
    answers: Arc<AtomicU16>,
    /// The tokens, each with the answer that it got.
    heard: Arc<Mutex<Vec<(String, u16)>>>,
}

/// No answer at all.
const SILENCE: u16 = 0;

impl Endpoint {
    async fn that_answers(status: u16) -> Endpoint {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/logout", listener.local_addr().expect("bound"));
        let endpoint = Endpoint { url, answers: Arc::new(AtomicU16::new(status)), heard: Arc::default() };
        let router = Router::new().route("/logout", post(Endpoint::hear)).with_state(endpoint.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoint
    }

    async fn hear(State(endpoint): State<Endpoint>, Form(form): Form<Vec<(String, String)>>) -> StatusCode {
        let token = form.into_iter().find(|(name, _)| name == "logout_token").expect("a token").1;
        let answer = endpoint.answers.load(Ordering::SeqCst);
        endpoint.heard.lock().expect("whole").push((token, answer));
        match answer {
            SILENCE => std::future::pending().await,
            status => StatusCode::from_u16(status).expect("a status"),
        }
    }

    fn heard(&self) -> Vec<(String, u16)> {
        self.heard.lock().expect("whole").clone()
    }
}

async fn listening(store: &Store, id: &str, endpoint: &Endpoint) {
    let (mut client, _) = client(id);
    client.metadata.backchannel_logout_uri = Some(endpoint.url.parse().expect("a URL"));
    store.insert_client(&client).await.expect("registered");
}

fn random() -> [u8; 12] {
    rng::random().expect("randomness")
}

/// A browser's session of a new user, its cookie, and what they gave in it to these clients.
async fn session(store: &Store, clients: &[&str]) -> (Login, Secret, Vec<Grant>) {
    let (now, cookie) = (clock::now(), secret(SecretKind::Session));
    let name = GrantId::from_random(&random()).as_str().parse().expect("a name");
    let user = User::new(UserId::from_random(&random()), name, now);
    store.insert_user(&user).await.expect("registered");
    let login = Login {
        id: LoginId::from_random(&random()),
        hash: cookie.hash(),
        user: user.id.clone(),
        auth_time: now,
        expires_at: now + 3600,
        seen_at: now,
        sender: Default::default(),
    };
    store.begin_session(&login, None).await.expect("signed in");
    let mut grants = Vec::new();
    for client in clients {
        let (scope, audience) = ("openid".parse().expect("a scope"), ISSUER.parse().expect("an audience"));
        let access = Access { scope, audience, details: Default::default() };
        let terms = Terms { access, auth_time: now, acr: "0".to_owned(), amr: vec!["pwd".to_owned()], device: None };
        let grant = Grant {
            id: GrantId::from_random(&random()),
            client: client.parse().expect("an id"),
            subject: user.id.to_string(),
            user: user.id.clone(),
            login: Some(login.id.clone()),
            terms,
            created_at: now,
            ends_at: now + 3600,
            ended_at: None,
        };
        let code = Code {
            hash: secret(SecretKind::Code).hash(),
            grant: grant.clone(),
            redirect_uri: None,
            challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".parse().expect("a challenge"),
            nonce: None,
            jkt: None,
            expires_at: now + 60,
            redeemed_at: None,
        };
        assert!(store.insert_code(&code, None).await.expect("recorded"));
        grants.push(grant);
    }
    (login, cookie, grants)
}

/// Signs out as a person does, on the page.
async fn sign_out(url: &str, cookie: &Secret) {
    let http = reqwest::Client::new();
    let cookie = format!("__Host-tollgate={}", cookie.reveal());
    let page = http.get(format!("{url}/logout")).header("cookie", &cookie).send().await.expect("answered");
    let page = page.text().await.expect("text");
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).expect("a form").split('"').next().expect("a token");
    let request = http.post(format!("{url}/logout")).header("cookie", &cookie).form(&[("csrf", csrf)]);
    assert_eq!(request.send().await.expect("answered").status(), 200);
}

fn part(jwt: &str, index: usize) -> Value {
    let part = jwt.split('.').nth(index).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// Checks a logout token as a client does, and gives its claims.
async fn verified(url: &str, token: &str) -> Value {
    let keys = reqwest::get(format!("{url}/.well-known/jwks.json")).await.expect("answered");
    let keys = KeySet::from_jwks(&keys.bytes().await.expect("a body")).expect("keys");
    let header = part(token, 0);
    assert_eq!(header["typ"], "logout+jwt");
    let algorithm = Algorithm::from_name(header["alg"].as_str().expect("an alg")).expect("known");
    let (signed, signature) = token.rsplit_once('.').expect("a JWT");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    keys.check_signature(header["kid"].as_str(), algorithm, signed.as_bytes(), &signature).expect("a good signature");
    let claims = part(token, 1);
    assert_eq!((&claims["iss"], &claims["events"]), (&json!(ISSUER), &json!({ EVENT: {} })));
    let [issued, expires] = ["iat", "exp"].map(|name| claims[name].as_u64().expect("a time"));
    let now = clock::now();
    assert!(issued <= now && now < expires && expires <= issued + 120, "{claims}");
    claims
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

async fn is_settled(store: &Store) -> bool {
    store.next_logout().await.expect("asked").is_none()
}

async fn what_a_client_must_hear_outlives_the_origin(database: &Database) {
    let endpoint = Endpoint::that_answers(503).await;
    listening(&database.store, "shop", &endpoint).await;
    database.store.insert_client(&client("deaf").0).await.expect("registered");
    let (login, cookie, grants) = session(&database.store, &["shop", "deaf"]).await;
    let server = origin(database).await;
    sign_out(&server.url(), &cookie).await;
    assert!(database.store.logins_of(&login.user, clock::now()).await.expect("read").is_empty());
    for grant in &grants {
        assert!(database.store.grant(&grant.id).await.expect("read").expect("there").ended_at.is_some());
    }
    until("the client was asked", async || !endpoint.heard().is_empty()).await;
    server.shutdown().await;
    assert!(!is_settled(&database.store).await, "it is not forgotten");

    endpoint.answers.store(204, Ordering::SeqCst);
    let server = origin(database).await;
    until("the client was told", async || is_settled(&database.store).await).await;
    let heard = endpoint.heard();
    let (token, answer) = heard.last().expect("a token");
    assert_eq!((*answer, heard.iter().filter(|(_, answer)| *answer == 204).count()), (204, 1));
    let claims = verified(&server.url(), token).await;
    let sub = json!(login.user);
    assert_eq!([&claims["aud"], &claims["sub"], &claims["sid"]], [&json!("shop"), &sub, &json!(grants[0].id)]);
    let ids: BTreeSet<String> = heard.iter().map(|(token, _)| part(token, 1)["jti"].to_string()).collect();
    assert_eq!(ids.len(), heard.len(), "each try has a token of its own");
    server.shutdown().await;
}

async fn a_client_that_refuses_is_not_asked_again(database: &Database) {
    let endpoint = Endpoint::that_answers(400).await;
    listening(&database.store, "shop", &endpoint).await;
    let (_, cookie, _) = session(&database.store, &["shop"]).await;
    let server = origin(database).await;
    sign_out(&server.url(), &cookie).await;
    until("it is done with", async || is_settled(&database.store).await).await;
    assert_eq!(endpoint.heard().len(), 1);
    server.shutdown().await;
}

async fn what_nobody_takes_is_given_up_after_a_day(database: &Database) {
    let endpoint = Endpoint::that_answers(500).await;
    listening(&database.store, "shop", &endpoint).await;
    let (login, _, _) = session(&database.store, &["shop"]).await;
    database.store.end_session(&login.id, &ending(clock::now() - 25 * 60 * 60)).await.expect("ended");
    let server = origin(database).await;
    until("it is given up", async || is_settled(&database.store).await).await;
    assert_eq!(endpoint.heard().len(), 1, "it was tried, for the origin may have been away for a day");
    server.shutdown().await;
}

async fn a_client_that_is_gone_is_not_told(database: &Database) {
    let endpoint = Endpoint::that_answers(200).await;
    for id in ["disabled", "changed"] {
        listening(&database.store, id, &endpoint).await;
    }
    let (login, _, _) = session(&database.store, &["disabled", "changed"]).await;
    database.store.end_session(&login.id, &ending(clock::now())).await.expect("ended");
    assert!(!is_settled(&database.store).await);
    let [disabled, changed] = ["disabled", "changed"].map(|id| id.parse().expect("an id"));
    database.store.disable_client(&disabled, &ending(clock::now())).await.expect("disabled");
    database.store.update_client(&changed, &client("changed").0.metadata).await.expect("changed");
    let server = origin(database).await;
    until("both are forgotten", async || is_settled(&database.store).await).await;
    assert!(endpoint.heard().is_empty());
    server.shutdown().await;
}

async fn a_slow_client_holds_up_no_other(database: &Database) {
    let (slow, quick) = (Endpoint::that_answers(SILENCE).await, Endpoint::that_answers(200).await);
    listening(&database.store, "slow", &slow).await;
    listening(&database.store, "quick", &quick).await;
    // More than there are places for.
    let (slow_one, _, _) = session(&database.store, &["slow"; 100]).await;
    let (quick_one, _, _) = session(&database.store, &["quick"; 20]).await;
    database.store.end_session(&slow_one.id, &ending(clock::now() - 10)).await.expect("ended");
    database.store.end_session(&quick_one.id, &ending(clock::now())).await.expect("ended");
    let server = origin(database).await;
    until("the others are told", async || quick.heard().len() == 20).await;
    until("the slow one is asked", async || !slow.heard().is_empty()).await;
    // By whatever is asked anew when a try ends without an answer.
    slow.answers.store(200, Ordering::SeqCst);
    until("all are told", async || is_settled(&database.store).await).await;
    let subjects = |endpoint: &Endpoint| -> BTreeSet<String> {
        let taken = endpoint.heard().into_iter().filter(|(_, answer)| *answer == 200);
        taken.map(|(token, _)| part(&token, 1)["sid"].to_string()).collect()
    };
    assert_eq!((subjects(&slow).len(), subjects(&quick).len()), (100, 20));
    server.shutdown().await;
}

async fn one_of_several_origins_takes_a_logout_up(database: &Database) {
    let endpoint = Endpoint::that_answers(200).await;
    listening(&database.store, "shop", &endpoint).await;
    listening(&database.store, "bank", &endpoint).await;
    let (login, _, _) = session(&database.store, &["shop", "bank", "shop", "shop", "bank", "bank", "bank"]).await;
    let now = clock::now();
    database.store.end_session(&login.id, &ending(now)).await.expect("ended");
    let elsewhere = database.again().await;
    let mut takers = JoinSet::new();
    for store in [&database.store, &elsewhere].into_iter().cycle().take(16) {
        let store = store.clone();
        takers.spawn(async move {
            let mut all = Vec::new();
            while store.next_logout().await.expect("asked").is_some_and(|due| due <= now) {
                all.extend(store.take_logouts(now, now + 60, 2, &ClientRoom::for_each(1)).await.expect("taken up"));
            }
            all
        });
    }
    let taken: Vec<_> = takers.join_all().await.into_iter().flatten().collect();
    let numbers: BTreeSet<u64> = taken.iter().map(|logout| logout.number).collect();
    assert_eq!((taken.len(), numbers.len()), (7, 7), "each by one of them: {taken:?}");
    let room = ClientRoom::for_each(8);
    assert_eq!(elsewhere.take_logouts(now + 59, now + 90, 8, &room).await.expect("asked"), []);

    // One of them says nothing for too long, so that another takes it up; then the first has no say in it any more.
    database.store.put_back_logout(&taken[0], now + 5).await.expect("put back");
    let again = elsewhere.take_logouts(now + 5, now + 60, 8, &room).await.expect("taken up");
    assert_eq!((again.len(), again[0].number, again[0].tries), (1, taken[0].number, 2));
    database.store.put_back_logout(&taken[0], now + 5).await.expect("too late");
    assert_eq!(database.store.take_logouts(now + 59, now + 90, 8, &room).await.expect("asked"), []);
    let dead = database.store.take_logouts(now + 60, now + 120, 8, &room).await.expect("taken up");
    assert_eq!(dead.len(), 7, "what its taker did not live to tell");
    for logout in &dead {
        elsewhere.forget_logout(logout).await.expect("forgotten");
    }
    assert!(is_settled(&database.store).await);

    let mut room = ClientRoom::for_each(1);
    let shop = "shop".parse().expect("an id");
    assert!(room.enter(&shop) && !room.enter(&shop));
    let (login, _, _) = session(&database.store, &["shop", "bank"]).await;
    database.store.end_session(&login.id, &ending(now)).await.expect("ended");
    let taken = database.store.take_logouts(now, now + 60, 8, &room).await.expect("taken up");
    assert_eq!(taken.iter().map(|logout| logout.client.as_str()).collect::<Vec<_>>(), ["bank"]);
    room.leave(&shop);
    assert_eq!(database.store.take_logouts(now, now + 60, 8, &room).await.expect("taken up").len(), 1);
    elsewhere.close().await;
}

async fn two_who_end_a_session_at_once_end_it_once(database: &Database) {
    let endpoint = Endpoint::that_answers(200).await;
    listening(&database.store, "shop", &endpoint).await;
    let (login, _, grants) = session(&database.store, &["shop"]).await;
    let (now, elsewhere) = (clock::now(), database.again().await);
    let both = {
        let ending = ending(now);
        tokio::join!(database.store.end_session(&login.id, &ending), elsewhere.end_session(&login.id, &ending))
    };
    assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
    let taken = elsewhere.take_logouts(now, now, 8, &ClientRoom::for_each(8)).await.expect("taken up");
    let sessions: Vec<&str> = taken.iter().map(|logout| logout.session.as_str()).collect();
    assert_eq!(sessions, [grants[0].id.as_str()]);
    elsewhere.close().await;
}
