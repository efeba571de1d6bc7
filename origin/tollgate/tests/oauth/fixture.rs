//! An origin whose clients are addressed by their id, and a user in a browser.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use reqwest::RequestBuilder;
use serde_json::Value;
use sqlx::Connection as _;
use tollgate_model::{ClientMetadata, GrantType, Scope, UserId};
use tollgate_system::Clock;
use tollgate_test_kit::browser::{Browser, Page, Person};
use tollgate_test_kit::certificates::{Certificate, CertificateAuthority};
use tollgate_test_kit::client::{Answer, CODE_CHALLENGE, CODE_VERIFIER, TestClient, query};
use tollgate_test_kit::jwt;
use tollgate_test_kit::origin::TestOrigin;
use tollgate_test_kit::users::{self, PASSWORD};

/// Redirect URI of [`Origin::web`] clients.
pub(crate) const REDIRECT_URI: &str = "https://shop.example/cb";

pub(crate) struct Origin {
    test_origin: TestOrigin,
    /// Sends all requests; follows no redirects.
    pub(crate) http: reqwest::Client,
    clients: Mutex<HashMap<String, TestClient>>,
}

impl Deref for Origin {
    type Target = TestOrigin;

    fn deref(&self) -> &TestOrigin {
        &self.test_origin
    }
}

impl Origin {
    pub(crate) async fn start() -> Origin {
        Origin::start_with(&[]).await
    }

    pub(crate) async fn start_with(settings: &[(&'static str, &str)]) -> Origin {
        Origin::start_with_clock(settings, Clock::system()).await
    }

    /// Starts with a clock that the test can set.
    pub(crate) async fn start_with_clock(settings: &[(&'static str, &str)], clock: Clock) -> Origin {
        let test_origin = TestOrigin::start_with_clock(settings, clock).await.expect("started");
        let http = test_origin.http.clone();
        Origin { test_origin, http, clients: Mutex::default() }
    }

    pub(crate) async fn shutdown(self) {
        self.test_origin.server.shutdown().await;
    }

    /// Moves the time of the last device polls back in the database.
    pub(crate) async fn age_polls(&self, milliseconds: i64) {
        let mut connection = sqlx::SqliteConnection::connect(self.database_url()).await.expect("the origin's database");
        let update = sqlx::query("UPDATE device_codes SET polled_at_ms = polled_at_ms - $1").bind(milliseconds);
        update.execute(&mut connection).await.expect("updated");
    }

    /// Metadata of a third party's web application with a secret.
    pub(crate) fn web() -> ClientMetadata {
        ClientMetadata {
            name: "A shop".to_owned(),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            redirect_uris: vec![REDIRECT_URI.parse().expect("a URI")],
            scope: Scope::parse("openid profile email orders offline_access").expect("a scope"),
            ..ClientMetadata::default()
        }
    }

    /// Metadata of a client with the client credentials grant.
    pub(crate) fn service(scope: &str) -> ClientMetadata {
        ClientMetadata {
            name: "A service".to_owned(),
            grant_types: vec![GrantType::ClientCredentials],
            scope: Scope::parse(scope).expect("a scope"),
            ..ClientMetadata::default()
        }
    }

    /// Registers a client.
    pub(crate) async fn client(&self, id: &str, metadata: ClientMetadata) {
        let client = TestClient::register_metadata(self, id, metadata).await.expect("registered");
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), client);
    }

    /// Replaces the metadata of a client.
    pub(crate) async fn update_client(&self, id: &str, metadata: ClientMetadata) {
        let id = id.parse().expect("a client id");
        assert!(self.server.store().update_client(&id, &metadata).await.expect("changed"));
    }

    /// Registers a user.
    pub(crate) async fn user(&self, name: &str) -> UserId {
        users::register_user(self, name).await.expect("registered").0
    }

    /// A form to an endpoint, with the client's secret or, without one, its id.
    pub(crate) fn form(&self, path: &str, client: &str, form: &[(&str, &str)]) -> RequestBuilder {
        match self.clients.lock().unwrap_or_else(PoisonError::into_inner).get(client) {
            Some(client) => client.request_by(&self.http, path, form),
            None => self.http.post(self.url(path)).form(&[form, &[("client_id", client)]].concat()),
        }
    }

    /// Posts a form; returns status and body.
    pub(crate) async fn post(&self, path: &str, client: &str, form: &[(&str, &str)]) -> (u16, Value) {
        answer(self.form(path, client, form)).await
    }

    /// Posts a form to the token endpoint, which must succeed.
    pub(crate) async fn token(&self, client: &str, form: &[(&str, &str)]) -> Value {
        let (status, tokens) = self.post("/oauth/token", client, form).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    /// Posts a form to the token endpoint, which must refuse it, and returns the error.
    pub(crate) async fn token_error(&self, client: &str, form: &[(&str, &str)]) -> String {
        let (status, error) = self.post("/oauth/token", client, form).await;
        assert_eq!(status, 400, "{error}");
        error["error"].as_str().expect("an error").to_owned()
    }

    pub(crate) async fn introspect(&self, client: &str, token: &str) -> Value {
        self.post("/oauth/introspect", client, &[("token", token)]).await.1
    }

    /// An authorization code from a user who signs in and allows everything.
    pub(crate) async fn code(&self, browser: &UserBrowser<'_>, client: &str, changes: &[(&str, &str)]) -> String {
        let response = browser.authorize(client, changes).await;
        response.get("code").unwrap_or_else(|| panic!("no code: {response:?}")).clone()
    }

    pub(crate) async fn redeem(&self, client: &str, code: &str) -> Value {
        self.token(client, &redemption(code)).await
    }
}

/// An origin that serves HTTPS.
pub(crate) struct HttpsOrigin {
    pub(crate) origin: Origin,
    /// Issued the origin's certificate.
    pub(crate) authority: CertificateAuthority,
    /// Contains the origin's `tls.crt` and `tls.key`, and `clients.crt` with the client authority.
    pub(crate) folder: tempfile::TempDir,
}

impl HttpsOrigin {
    /// `client_authority`: issues clients' certificates, if the origin trusts an authority for
    /// them.
    pub(crate) async fn start(
        client_authority: Option<&CertificateAuthority>,
        more: &[(&'static str, &str)],
    ) -> HttpsOrigin {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = CertificateAuthority::new("authority");
        authority.issue("origin", &["127.0.0.1"]).write(folder.path());
        let file = |name: &str| folder.path().join(name).display().to_string();
        let (certificate, key, clients) = (file("tls.crt"), file("tls.key"), file("clients.crt"));
        let mut settings = vec![("TOLLGATE_TLS_CERTIFICATE", certificate.as_str()), ("TOLLGATE_TLS_KEY", key.as_str())];
        if let Some(client_authority) = client_authority {
            std::fs::write(&clients, client_authority.pem()).expect("written");
            settings.push(("TOLLGATE_TLS_CLIENT_CA", clients.as_str()));
        }
        settings.extend(more);
        let mut origin = Origin::start_with(&settings).await;
        origin.http = authority.client_builder().build().expect("a client");
        HttpsOrigin { origin, authority, folder }
    }

    /// An HTTP client that presents this certificate, on a new connection for each request.
    pub(crate) fn client_with(&self, certificate: &Certificate) -> reqwest::Client {
        let builder = self.authority.client_builder().identity(certificate.identity()).pool_max_idle_per_host(0);
        builder.build().expect("a client")
    }
}

/// Form that redeems an authorization code.
pub(crate) fn redemption(code: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", CODE_VERIFIER),
    ]
}

/// Sends a request; returns status and body.
pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let Answer { status, body } = Answer::read(request).await.expect("answered");
    (status, body)
}

/// A string member of a response.
pub(crate) fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}"))
}

pub(crate) fn claims(token: &str) -> Value {
    jwt::claims(token).expect("a JWT")
}

pub(crate) fn header(token: &str) -> Value {
    jwt::header(token).expect("a JWT")
}

/// A user's browser.
pub(crate) struct UserBrowser<'a> {
    origin: &'a Origin,
    browser: Browser,
    person: Person,
}

impl<'a> UserBrowser<'a> {
    pub(crate) fn new(origin: &'a Origin, user: &str) -> UserBrowser<'a> {
        let browser = Browser::with_client(&origin.server.url(), origin.http.clone());
        UserBrowser { origin, browser, person: Person::new(user, PASSWORD) }
    }

    /// Sends one request, to a path or a URL of the origin, and follows no redirect.
    pub(crate) async fn get(&self, path: &str) -> Page {
        let url = if path.starts_with("http") { path.to_owned() } else { self.origin.url(path) };
        self.browser.send(self.origin.http.get(url)).await.expect("answered")
    }

    /// Sends one request, and follows no redirect.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Page {
        self.browser.send(self.origin.http.post(self.origin.url(path)).form(form)).await.expect("answered")
    }

    /// The CSRF token of a page's form.
    pub(crate) async fn csrf(&self, path: &str) -> String {
        self.get(path).await.field("csrf").expect("a form")
    }

    /// The first response to an authorization request.
    pub(crate) async fn request_authorization(&self, client: &str, changes: &[(&str, &str)]) -> Page {
        self.get(&format!("/oauth/authorize?{}", authorization_query(client, changes))).await
    }

    /// Sends an authorization request, signs in, allows everything, and returns the parameters of
    /// the authorization response.
    pub(crate) async fn authorize(&self, client: &str, changes: &[(&str, &str)]) -> HashMap<String, String> {
        let page = self.request_authorization(client, changes).await;
        self.complete(page, "allow").await
    }

    /// Signs in and decides where a page asks for it, and returns the parameters of the
    /// authorization response. `decision`: `allow` or `deny`.
    pub(crate) async fn complete(&self, page: Page, decision: &'static str) -> HashMap<String, String> {
        let last = self.complete_pages(page, decision).await;
        parameters(&last.redirect().unwrap_or_else(|| panic!("{} {}", last.url, last.body)))
    }

    /// Signs in and decides where a page asks for it, and returns the last page.
    pub(crate) async fn complete_pages(&self, page: Page, decision: &'static str) -> Page {
        let person = Person { decision, ..self.person.clone() };
        let page = self.browser.follow(page).await.expect("a page");
        self.browser.complete_forms(page, &person).await.expect("an authorization response")
    }

    /// Signs in at `/login`, and checks that this leads to the account.
    pub(crate) async fn sign_in(&self) {
        let page = self.browser.visit(&self.origin.url("/login"), &self.person).await.expect("a page");
        assert_eq!(page.url.path(), "/account/sessions", "{}", page.body);
    }

    /// The `Cookie` header of the next request.
    pub(crate) fn cookies(&self) -> Option<String> {
        self.browser.cookie_header()
    }
}

/// Query of an authorization request. `changes`: parameters to add or replace; an empty value
/// removes one.
pub(crate) fn authorization_query(client: &str, changes: &[(&str, &str)]) -> String {
    let defaults = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid orders"),
        ("state", "a state"),
        ("code_challenge", CODE_CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    query(&defaults, changes)
}

/// Parameters of an authorization response.
pub(crate) fn parameters(redirect: &str) -> HashMap<String, String> {
    let url = url::Url::parse(redirect).expect("a URL");
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}
