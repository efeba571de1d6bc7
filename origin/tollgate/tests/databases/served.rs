//! Origins that serve from a story's database, and clients that ask them.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;
use tollgate::Server;
use tollgate_config::Settings;
use tollgate_keys::{KeyRing, MasterKey};
use tollgate_model::{Secret, TokenAlg};
use tollgate_storage::Store;
use tollgate_system::clock;

use crate::database::Database;
use crate::samples::{ISSUER, client};

/// How long something that takes milliseconds may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn master() -> MasterKey {
    MasterKey::from_random([7; 32])
}

/// An origin on the database; several may be.
pub(crate) async fn origin(database: &Database) -> Server {
    let key = master().to_text().to_string();
    let settings = Settings::from_pairs([
        ("TOLLGATE_LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_PUBLIC_URL", ISSUER),
        ("TOLLGATE_DATABASE_URL", database.url()),
        ("TOLLGATE_MASTER_KEY", &key),
    ]);
    Server::start(settings.expect("good settings")).await.expect("started")
}

/// The keys of a database as they are now.
pub(crate) async fn ring(store: &Store) -> KeyRing {
    let rows = store.key_rows().await.expect("read");
    KeyRing::open(&master(), &rows.keys, rows.revoked, clock::now()).expect("they open")
}

/// A client of an issuer.
#[derive(Clone)]
pub(crate) struct Asker {
    http: reqwest::Client,
    id: String,
    secret: String,
    host: Option<&'static str>,
}

impl Asker {
    /// Registers a client with the issuer of this database, for tokens for the issuer itself.
    pub(crate) async fn register(store: &Store, id: &str, scope: &str, alg: TokenAlg) -> Asker {
        let (mut client, secret) = client(id);
        client.metadata.scope = tollgate_model::Scope::parse(scope).expect("a scope");
        client.metadata.audiences = vec![store.issuer().await.expect("an issuer").parse().expect("an audience")];
        client.metadata.alg = alg;
        store.insert_client(&client).await.expect("registered");
        Asker { http: reqwest::Client::new(), id: id.to_owned(), secret: secret.reveal().to_owned(), host: None }
    }

    /// The same, with another secret.
    pub(crate) fn with_secret(self, secret: &Secret) -> Asker {
        Asker { secret: secret.reveal().to_owned(), ..self }
    }

    /// The same, who names this host.
    pub(crate) fn at_host(self, host: &'static str) -> Asker {
        Asker { host: Some(host), ..self }
    }

    pub(crate) async fn post(&self, url: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let request = self.http.post(url).basic_auth(&self.id, Some(&self.secret)).form(form);
        answered(self.naming_host(request)).await
    }

    pub(crate) async fn get(&self, url: &str, bearer: Option<&str>) -> (StatusCode, Value) {
        let request = self.naming_host(self.http.get(url));
        answered(bearer.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth)).await
    }

    /// Asks the admin API.
    pub(crate) async fn admin(
        &self,
        method: reqwest::Method,
        url: &str,
        token: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        answered(self.http.request(method, url).bearer_auth(token).json(body)).await
    }

    fn naming_host(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        self.host.into_iter().fold(request, |request, host| request.header("host", host))
    }

    /// A token of the issuer at this address.
    pub(crate) async fn token(&self, url: &str) -> String {
        let (status, answer) = self.post(&format!("{url}/oauth/token"), &[("grant_type", "client_credentials")]).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// Whether the issuer at this address says that a token is active.
    pub(crate) async fn is_active(&self, url: &str, token: &str) -> bool {
        let (status, answer) = self.post(&format!("{url}/oauth/introspect"), &[("token", token)]).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let active = answer["active"].as_bool().expect("an answer");
        assert!(active || answer == serde_json::json!({ "active": false }), "{answer}");
        active
    }
}

async fn answered(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.expect("answered");
    let (status, body) = (answer.status(), answer.bytes().await.expect("a body"));
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// The `kid` of a token.
pub(crate) fn kid(token: &str) -> String {
    use base64::Engine as _;
    let header = token.split('.').next().expect("a header");
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).expect("base64url");
    serde_json::from_slice::<Value>(&header).expect("JSON")["kid"].as_str().expect("a kid").to_owned()
}

/// Asks until the answer is yes.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
