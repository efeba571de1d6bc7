//! Origins on a test's database, and their clients.

use reqwest::StatusCode;
use serde_json::Value;
use tollgate::Server;
use tollgate_config::Settings;
use tollgate_keys::{KeyRing, MasterKey};
use tollgate_model::{Secret, TokenAlg};
use tollgate_storage::Store;
use tollgate_system::Clock;
use tollgate_test_kit::jwt;

use crate::database::Database;
use crate::samples::{ISSUER, client};

/// Master key of all origins here.
pub(crate) fn master_key() -> MasterKey {
    MasterKey::from_random([7; 32])
}

/// Starts an origin on the database. Several can run on one.
pub(crate) async fn start_origin(database: &Database) -> Server {
    let key = master_key().to_text().to_string();
    let settings = Settings::from_pairs([
        ("TOLLGATE_LISTEN", "127.0.0.1:0"),
        ("TOLLGATE_PUBLIC_URL", ISSUER),
        ("TOLLGATE_DATABASE_URL", database.url()),
        ("TOLLGATE_MASTER_KEY", &key),
    ]);
    Server::start(settings.expect("good settings")).await.expect("started")
}

/// The current keys in a database.
pub(crate) async fn key_ring(store: &Store) -> KeyRing {
    let rows = store.get_stored_keys().await.expect("read");
    KeyRing::open(&master_key(), &rows.keys, rows.revoked, Clock::system().now()).expect("they open")
}

/// A confidential client of an issuer.
#[derive(Clone)]
pub(crate) struct IssuerClient {
    http: reqwest::Client,
    id: String,
    secret: String,
    host: Option<&'static str>,
}

impl IssuerClient {
    /// Registers a client in this database. Its tokens are for the issuer itself.
    pub(crate) async fn register(store: &Store, id: &str, scope: &str, alg: TokenAlg) -> IssuerClient {
        let (mut client, secret) = client(id);
        client.metadata.scope = tollgate_model::Scope::parse(scope).expect("a scope");
        client.metadata.audiences = vec![store.get_issuer().await.expect("an issuer").parse().expect("an audience")];
        client.metadata.alg = alg;
        store.create_client(&client).await.expect("registered");
        IssuerClient { http: reqwest::Client::new(), id: id.to_owned(), secret: secret.reveal().to_owned(), host: None }
    }

    /// The same client with another secret.
    pub(crate) fn with_secret(self, secret: &Secret) -> IssuerClient {
        IssuerClient { secret: secret.reveal().to_owned(), ..self }
    }

    /// The same client, with this `Host` header.
    pub(crate) fn at_host(self, host: &'static str) -> IssuerClient {
        IssuerClient { host: Some(host), ..self }
    }

    pub(crate) async fn post(&self, url: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let request = self.http.post(url).basic_auth(&self.id, Some(&self.secret)).form(form);
        answer(self.with_host(request)).await
    }

    pub(crate) async fn get(&self, url: &str, bearer: Option<&str>) -> (StatusCode, Value) {
        let request = self.with_host(self.http.get(url));
        answer(bearer.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth)).await
    }

    /// Sends JSON to the admin API.
    pub(crate) async fn admin(
        &self,
        method: reqwest::Method,
        url: &str,
        token: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        answer(self.http.request(method, url).bearer_auth(token).json(body)).await
    }

    fn with_host(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        self.host.into_iter().fold(request, |request, host| request.header("host", host))
    }

    /// Gets a token from the issuer at this URL.
    pub(crate) async fn token(&self, url: &str) -> String {
        let (status, answer) = self.post(&format!("{url}/oauth/token"), &[("grant_type", "client_credentials")]).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// Whether a token is active, according to the issuer at this URL.
    pub(crate) async fn is_active(&self, url: &str, token: &str) -> bool {
        let (status, answer) = self.post(&format!("{url}/oauth/introspect"), &[("token", token)]).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let active = answer["active"].as_bool().expect("an answer");
        assert!(active || answer == serde_json::json!({ "active": false }), "{answer}");
        active
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("answered");
    let (status, body) = (response.status(), response.bytes().await.expect("a body"));
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// The `kid` of a token.
pub(crate) fn kid(token: &str) -> String {
    jwt::header(token).expect("a JWT")["kid"].as_str().expect("a kid").to_owned()
}
