//! An origin with clients and users, a browser that fills in its forms, and keys to sign with.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::Connection as _;
use tollgate::Server;
use tollgate_config::Settings;
use tollgate_model::{
    AuthMethod, Client, ClientMetadata, GrantType, Scope, Secret, SecretKind, User, UserClaims, UserId,
};
use tollgate_system::{clock, rng};

pub(crate) const REDIRECT: &str = "https://shop.example/cb";
pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) struct Origin {
    pub(crate) server: Server,
    pub(crate) http: reqwest::Client,
    secrets: Mutex<HashMap<String, String>>,
    folder: tempfile::TempDir,
}

impl Origin {
    pub(crate) async fn start() -> Origin {
        Origin::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Origin {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let mut all = vec![
            ("TOLLGATE_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("TOLLGATE_DATABASE_URL".to_owned(), format!("sqlite://{}", file("origin.db"))),
            ("TOLLGATE_MASTER_KEY_FILE".to_owned(), file("origin.key")),
            ("TOLLGATE_AUDIENCE".to_owned(), "https://api.example".to_owned()),
        ];
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let server = Server::start(Settings::from_pairs(all).expect("good settings")).await.expect("started");
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Origin { server, http, secrets: Mutex::default(), folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    /// Moves the time of the devices' last polls back by so many milliseconds, in the database itself.
    pub(crate) async fn age_polls(&self, milliseconds: i64) {
        let database = format!("sqlite://{}", self.folder.path().join("origin.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&database).await.expect("the origin's database");
        let update = sqlx::query("UPDATE device_codes SET polled_at_ms = polled_at_ms - $1").bind(milliseconds);
        update.execute(&mut connection).await.expect("updated");
    }

    /// A web application of another company, with a secret.
    pub(crate) fn web() -> ClientMetadata {
        ClientMetadata {
            name: "A shop".to_owned(),
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
            redirect_uris: vec![REDIRECT.parse().expect("a URI")],
            scope: Scope::parse("openid profile email orders offline_access").expect("a scope"),
            ..ClientMetadata::default()
        }
    }

    /// A service that acts in its own name.
    pub(crate) fn service(scope: &str) -> ClientMetadata {
        ClientMetadata {
            name: "A service".to_owned(),
            grant_types: vec![GrantType::ClientCredentials],
            scope: Scope::parse(scope).expect("a scope"),
            ..ClientMetadata::default()
        }
    }

    pub(crate) async fn client(&self, id: &str, metadata: ClientMetadata) {
        let secret = Secret::new(SecretKind::Client, &rng::random().expect("randomness"));
        let has_secret = metadata.auth_method == AuthMethod::ClientSecretBasic;
        let client = Client::new(id.parse().expect("an id"), metadata.checked().expect("good metadata"), 0);
        let client = if has_secret { client.with_secret(&secret, 0) } else { client };
        self.server.store().insert_client(&client).await.expect("registered");
        if has_secret {
            self.secrets.lock().expect("whole").insert(id.to_owned(), secret.reveal().to_owned());
        }
    }

    pub(crate) async fn user(&self, name: &str) -> UserId {
        let password = zeroize::Zeroizing::new(PASSWORD.to_owned());
        let hash =
            tokio::task::block_in_place(|| tollgate_services::password_hashing::hash_now(&password)).expect("hashed");
        let claims = json!({ "email": format!("{name}@example.org"), "name": "Ada Lovelace" }).to_string();
        let id = UserId::from_random(&rng::random().expect("randomness"));
        let user = User {
            password_hash: Some(hash),
            claims: UserClaims::parse(&claims).expect("claims"),
            external_id: Some(format!("https://partner.example|{name}")),
            ..User::new(id, name.parse().expect("a name"), 0)
        };
        self.server.store().insert_user(&user).await.expect("registered");
        user.id
    }

    /// A form to an endpoint, with the client's secret if it has one, else with its id.
    pub(crate) fn form(&self, path: &str, client: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let request = self.http.post(self.url(path));
        match self.secrets.lock().expect("whole").get(client) {
            Some(secret) => request.basic_auth(client, Some(secret)).form(form),
            None => request.form(&[form, &[("client_id", client)]].concat()),
        }
    }

    pub(crate) async fn post(&self, path: &str, client: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        answer(self.form(path, client, form)).await
    }

    /// The tokens of a grant that must be good.
    pub(crate) async fn token(&self, client: &str, form: &[(&str, &str)]) -> Value {
        let (status, tokens) = self.post("/oauth/token", client, form).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    /// The error of a grant that must be refused.
    pub(crate) async fn refused(&self, client: &str, form: &[(&str, &str)]) -> String {
        let (status, error) = self.post("/oauth/token", client, form).await;
        assert_eq!(status, 400, "{error}");
        error["error"].as_str().expect("an error").to_owned()
    }

    pub(crate) async fn introspect(&self, client: &str, token: &str) -> Value {
        self.post("/oauth/introspect", client, &[("token", token)]).await.1
    }

    /// A code for `client`, by a user who signs in and agrees to all.
    pub(crate) async fn code(&self, browser: &Browser<'_>, client: &str, more: &[(&str, &str)]) -> String {
        let to = browser.authorize(client, more).await;
        to.get("code").unwrap_or_else(|| panic!("no code: {to:?}")).clone()
    }

    /// The tokens of a code.
    pub(crate) async fn redeem(&self, client: &str, code: &str) -> Value {
        self.token(client, &redemption(code)).await
    }
}

pub(crate) fn redemption(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT), ("code_verifier", VERIFIER)]
}

pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.expect("answered");
    let status = answer.status();
    (status, answer.json().await.unwrap_or(Value::Null))
}

/// A person's browser: it keeps its cookies, follows redirects within the origin, and fills in forms.
pub(crate) struct Browser<'a> {
    origin: &'a Origin,
    cookies: Mutex<BTreeMap<String, String>>,
    user: String,
}

/// A page, or where the browser is sent.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) location: Option<String>,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Page {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let rest = self.body.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
        Some(rest.split('"').next()?.to_owned())
    }
}

impl<'a> Browser<'a> {
    pub(crate) fn of(origin: &'a Origin, user: &str) -> Browser<'a> {
        Browser { origin, cookies: Mutex::default(), user: user.to_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        let url = if path.starts_with("http") { path.to_owned() } else { self.origin.url(path) };
        self.send(self.origin.http.get(url)).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Page {
        self.send(self.origin.http.post(self.origin.url(path)).form(form)).await
    }

    async fn send(&self, request: RequestBuilder) -> Page {
        let request = match self.cookie() {
            Some(cookie) => request.header(COOKIE, cookie),
            None => request,
        };
        let answer = request.send().await.expect("answered");
        for set in answer.headers().get_all(SET_COOKIE) {
            let set = set.to_str().expect("text");
            assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Path=/"), "{set}");
            let (name, value) = set.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            let mut cookies = self.cookies.lock().expect("whole");
            if set.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = answer.headers().get(LOCATION).map(|value| value.to_str().expect("text").to_owned());
        let (status, headers) = (answer.status(), answer.headers().clone());
        Page { status, location, headers, body: answer.text().await.expect("text") }
    }

    pub(crate) fn cookie(&self) -> Option<String> {
        let cookies = self.cookies.lock().expect("whole");
        let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The page of a code request, as it first answers.
    pub(crate) async fn ask(&self, client: &str, more: &[(&str, &str)]) -> Page {
        self.get(&format!("/oauth/authorize?{}", code_request(client, more))).await
    }

    /// Asks for a code, signs in and agrees where asked to, and gives the answer's parameters.
    pub(crate) async fn authorize(&self, client: &str, more: &[(&str, &str)]) -> HashMap<String, String> {
        let first = self.ask(client, more).await;
        self.go_on(first, "allow").await
    }

    /// Signs in and decides where asked to, until the browser leaves the origin.
    pub(crate) async fn go_on(&self, mut page: Page, decision: &str) -> HashMap<String, String> {
        for _ in 0..8 {
            if let Some(location) = page.location.take() {
                if !location.starts_with(&self.origin.server.url()) {
                    return parameters(&location);
                }
                page = self.get(&location).await;
                continue;
            }
            assert_eq!(page.status, 200, "{}", page.body);
            let csrf = page.field("csrf").expect("a form");
            let request = page.field("request").unwrap_or_default();
            let hidden = [("csrf", csrf.as_str()), ("request", request.as_str())];
            page = if page.body.contains("type=\"password\"") {
                let form = [&hidden[..], &[("username", &self.user), ("password", PASSWORD)]].concat();
                self.post("/login", &form).await
            } else {
                self.post("/consent", &[&hidden[..], &[("decision", decision)]].concat()).await
            };
        }
        panic!("the browser goes round in circles: {}", page.body);
    }

    /// Signs in without a request.
    pub(crate) async fn sign_in(&self) {
        let page = self.get("/login").await;
        let csrf = page.field("csrf").expect("a form");
        let done = self.post("/login", &[("csrf", &csrf), ("username", &self.user), ("password", PASSWORD)]).await;
        let home = done.location.unwrap_or_else(|| panic!("not signed in: {}", done.body));
        assert!(home.ends_with("/account/sessions"), "{home}");
    }
}

/// A good authorization request's query, with these parameters added or, where empty, left out.
pub(crate) fn code_request(client: &str, more: &[(&str, &str)]) -> String {
    let usual = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", REDIRECT),
        ("scope", "openid orders"),
        ("state", "a state"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let named = |name: &str| more.iter().any(|(other, _)| *other == name);
    let kept = usual.into_iter().filter(|(name, _)| !named(name));
    let all = kept.chain(more.iter().copied().filter(|(_, value)| !value.is_empty()));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish()
}

pub(crate) fn parameters(location: &str) -> HashMap<String, String> {
    let url = url::Url::parse(location).expect("a URL");
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The claims of a JWT, unchecked.
pub(crate) fn claims(jwt: &str) -> Value {
    let part = jwt.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

pub(crate) fn header(jwt: &str) -> Value {
    let part = jwt.split('.').next().expect("a JWT");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

pub(crate) fn unique() -> String {
    base64url(&rng::random::<12>().expect("randomness"))
}

/// A key of a client's own.
pub(crate) struct Key(ed25519_dalek::SigningKey);

impl Key {
    pub(crate) fn new() -> Key {
        Key(ed25519_dalek::SigningKey::from_bytes(&rng::random().expect("randomness")))
    }

    pub(crate) fn jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(self.0.verifying_key().as_bytes()) })
    }

    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk()] })
    }

    pub(crate) fn thumbprint(&self) -> String {
        let x = base64url(self.0.verifying_key().as_bytes());
        base64url(&Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let mut header = header.clone();
        header["alg"] = json!("EdDSA");
        let signed =
            format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes()));
        let signature = self.0.sign(signed.as_bytes()).to_bytes();
        format!("{signed}.{}", base64url(&signature))
    }

    /// A DPoP proof for a request.
    pub(crate) fn proof(&self, method: &str, url: &str, more: Value) -> String {
        let mut claims = json!({ "htm": method, "htu": url, "iat": clock::now(), "jti": unique() });
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        self.sign(&json!({ "typ": "dpop+jwt", "jwk": self.jwk() }), &claims)
    }
}
