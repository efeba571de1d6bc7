//! The parties of a grant at an origin in this process: users, clients, and what clients hear by back-channel logout.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::extract::State;
use axum::routing::post;
use axum::{Form, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tollgate_model::{AuthMethod, Client, ClientMetadata, Secret, SecretKind, User, UserId};
use tollgate_system::{clock, rng};

use crate::browser::{Browser, Page, Person};
use crate::origin::TestOrigin;

/// Of every user.
pub const PASSWORD: &str = "correct horse battery staple";
/// Where codes go.
pub const REDIRECT: &str = "https://app.example/cb";
/// RFC 7636 appendix B
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// RFC 8628 section 3.4
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 7523 section 2.1
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Issuer of the assertions of a [`Partner`].
const PARTNER: &str = "https://partner.example";
/// How long something that must come may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Registers a user, who is known at the partner by the same name.
///
/// # Errors
/// When the name is taken.
pub async fn register_user(origin: &TestOrigin, name: &str, is_admin: bool) -> Result<(UserId, Person)> {
    let password = PASSWORD.to_owned().into();
    let hash = tokio::task::spawn_blocking(move || tollgate_services::password_hashing::hash_now(&password)).await??;
    let id = UserId::from_random(&rng::random()?);
    let user = User {
        password_hash: Some(hash),
        external_id: Some(format!("{PARTNER}|{name}")),
        is_admin,
        ..User::new(id, name.parse()?, clock::now())
    };
    origin.server.store().insert_user(&user).await?;
    Ok((user.id, Person::new(name, PASSWORD)))
}

/// A token for the admin API, of a client `operator`.
///
/// # Errors
/// When it does not come.
pub async fn admin_token(origin: &TestOrigin) -> Result<String> {
    let more = json!({
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "scope": "tollgate:admin",
        "audiences": [origin.server.issuer()],
    });
    let client = RelyingParty::register(origin, "operator", &more).await?;
    let (_, body) = client.post("/oauth/token", &[("grant_type", "client_credentials")]).await?;
    Ok(body["access_token"].as_str().with_context(|| format!("no token: {body}"))?.to_owned())
}

/// A client that users give something.
pub struct RelyingParty {
    /// `client_id`.
    pub id: String,
    secret: Option<String>,
    url: String,
    http: reqwest::Client,
}

impl RelyingParty {
    /// Registers a client, as an operator does, with these members of RFC 7591 beside those that make it a web application with refresh tokens.
    ///
    /// # Errors
    /// When the metadata is not good or the id is taken.
    pub async fn register(origin: &TestOrigin, id: &str, more: &Value) -> Result<Self> {
        let mut metadata = json!({
            "client_name": id,
            "grant_types": ["authorization_code", "refresh_token", DEVICE],
            "redirect_uris": [REDIRECT],
            "scope": "openid read offline_access",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            metadata[name] = value.clone();
        }
        let metadata: ClientMetadata = serde_json::from_value(metadata)?;
        let now = clock::now();
        let mut client = Client::new(id.parse()?, metadata.checked()?, now);
        let mut secret = None;
        if client.metadata.auth_method == AuthMethod::ClientSecretBasic {
            let made = Secret::new(SecretKind::Client, &rng::random()?);
            client = client.with_secret(&made, now);
            secret = Some(made.reveal().to_owned());
        }
        origin.server.store().insert_client(&client).await?;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { id: id.to_owned(), secret, url: origin.server.url(), http })
    }

    /// Posts a form with its credentials; the status and the body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<(u16, Value)> {
        let answer = self.request_with(&self.http, path, form).send().await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        Ok((status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text)? }))
    }

    /// A form with its credentials, to be sent by this HTTP client.
    pub fn request_with(&self, http: &reqwest::Client, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let request = http.post(format!("{}{path}", self.url));
        match &self.secret {
            Some(secret) => request.basic_auth(&self.id, Some(secret)).form(form),
            None => request.form(&[form, &[("client_id", &self.id)]].concat()),
        }
    }

    /// The page at which a browser ends up that is sent here for a code.
    ///
    /// # Errors
    /// When the pages go round in circles.
    pub async fn authorize(
        &self,
        browser: &mut Browser,
        person: &Person,
        scope: &str,
        more: &[(&str, &str)],
    ) -> Result<Page> {
        let mut url = reqwest::Url::parse(&format!("{}/oauth/authorize", self.url))?;
        let usual = [
            ("response_type", "code"),
            ("client_id", self.id.as_str()),
            ("redirect_uri", REDIRECT),
            ("scope", scope),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        url.query_pairs_mut().extend_pairs(usual.iter().chain(more));
        browser.visit(url.as_str(), person).await
    }

    /// The tokens that a person gives it in this browser.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn tokens(
        &self,
        browser: &mut Browser,
        person: &Person,
        scope: &str,
        more: &[(&str, &str)],
    ) -> Result<Tokens> {
        let page = self.authorize(browser, person, scope, more).await?;
        let code = page.parameter("code").with_context(|| format!("no code: {} {}", page.status, page.body))?;
        let (status, body) = self.redeem(&code).await?;
        ensure!(status == 200, "{status} {body}");
        Ok(Tokens { code, ..Tokens::read(&body)? })
    }

    /// RFC 6749 section 4.1.3
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn redeem(&self, code: &str) -> Result<(u16, Value)> {
        let redirect = ("redirect_uri", REDIRECT);
        let form = [("grant_type", "authorization_code"), ("code", code), redirect, ("code_verifier", VERIFIER)];
        self.post("/oauth/token", &form).await
    }

    /// The tokens that a person gives it on a device, whose code they type in this browser.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn device_tokens(&self, browser: &mut Browser, person: &Person, scope: &str) -> Result<Tokens> {
        let (status, started) = self.post("/oauth/device/code", &[("scope", scope)]).await?;
        ensure!(status == 200, "{status} {started}");
        let user_code = started["user_code"].as_str().context("a user code")?.to_owned();
        let person = Person { user_code: Some(user_code), ..person.clone() };
        browser.visit(&format!("{}/device", self.url), &person).await?;
        let device_code = started["device_code"].as_str().context("a device code")?;
        let (status, body) = self.post("/oauth/token", &[("grant_type", DEVICE), ("device_code", device_code)]).await?;
        ensure!(status == 200, "{status} {body}");
        Tokens::read(&body)
    }

    /// RFC 6749 section 6
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn refresh(&self, token: &str) -> Result<(u16, Value)> {
        self.post("/oauth/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Whether a token of its own is active (RFC 7662).
    ///
    /// # Errors
    /// When that is not said.
    pub async fn is_active(&self, token: &str) -> Result<bool> {
        let (status, body) = self.post("/oauth/introspect", &[("token", token)]).await?;
        ensure!(status == 200, "{status} {body}");
        body["active"].as_bool().with_context(|| format!("no answer: {body}"))
    }
}

/// A party that vouches for users before a client of its own, by the JWT bearer grant.
pub struct Partner {
    /// The client.
    pub client: RelyingParty,
    key: SigningKey,
    issuer: String,
}

impl Partner {
    /// Registers the client. `more`: further members.
    ///
    /// # Errors
    /// As [`RelyingParty::register`].
    pub async fn register(origin: &TestOrigin, id: &str, more: &Value) -> Result<Self> {
        let key = SigningKey::from_bytes(&rng::random()?);
        let x = URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes());
        let jwks = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x }] });
        let mut metadata = json!({
            "grant_types": [BEARER],
            "redirect_uris": [],
            "trusted_issuers": [{ "issuer": PARTNER, "jwks": jwks }],
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            metadata[name] = value.clone();
        }
        let client = RelyingParty::register(origin, id, &metadata).await?;
        Ok(Self { client, key, issuer: origin.server.issuer().to_owned() })
    }

    /// Asks for an access token about a user whom it vouches for.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn vouch(&self, name: &str) -> Result<(u16, Value)> {
        let id = URL_SAFE_NO_PAD.encode(rng::random::<12>()?);
        let claims = json!({ "iss": PARTNER, "sub": name, "aud": self.issuer, "exp": clock::now() + 60, "jti": id });
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encoded(&json!({ "alg": "EdDSA" })), encoded(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()).to_bytes());
        let jwt = format!("{signed}.{signature}");
        self.client.post("/oauth/token", &[("grant_type", BEARER), ("assertion", &jwt), ("scope", "read")]).await
    }
}

/// What came of a grant.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// The code that was redeemed for it, if one was.
    pub code: String,
    /// The access token.
    pub access: String,
    /// The refresh token; empty for none.
    pub refresh: String,
    /// The ID token; empty for none.
    pub id: String,
    /// The `sid` of the access token; empty for none.
    pub sid: String,
}

impl Tokens {
    /// Reads the answer of the token endpoint.
    ///
    /// # Errors
    /// When it has no signed access token.
    pub fn read(body: &Value) -> Result<Self> {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let access = text("access_token");
        let sid = claims(&access)?["sid"].as_str().unwrap_or_default().to_owned();
        Ok(Self { code: String::new(), refresh: text("refresh_token"), id: text("id_token"), access, sid })
    }
}

/// The claims of a JWT, unchecked.
///
/// # Errors
/// When it is none.
pub fn claims(jwt: &str) -> Result<Value> {
    let part = jwt.split('.').nth(1).with_context(|| format!("no JWT: {jwt}"))?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

/// Where clients hear of logouts (OpenID Connect Back-Channel Logout).
#[derive(Clone)]
pub struct LogoutListener {
    /// The `backchannel_logout_uri`.
    pub url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl LogoutListener {
    /// Begins to listen.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/logout", listener.local_addr()?);
        let all = Self { url, heard: Arc::default() };
        let router = Router::new().route("/logout", post(Self::hear)).with_state(all.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(all)
    }

    async fn hear(State(all): State<Self>, Form(form): Form<Vec<(String, String)>>) {
        let token = form.into_iter().find(|(name, _)| name == "logout_token").map(|(_, token)| token);
        let sid = token.and_then(|token| claims(&token).ok()?["sid"].as_str().map(str::to_owned));
        all.heard.lock().unwrap_or_else(PoisonError::into_inner).push(sid.unwrap_or_default());
    }

    /// The `sid` of each logout token that came, once the origin has none left to send.
    ///
    /// # Errors
    /// When the origin does not finish, or sends two for one grant.
    pub async fn heard(&self, origin: &TestOrigin) -> Result<BTreeSet<String>> {
        let begun = Instant::now();
        while origin.server.store().next_logout().await?.is_some() {
            ensure!(begun.elapsed() < TIMEOUT, "clients are not told");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all: BTreeSet<String> = heard.iter().cloned().collect();
        ensure!(all.len() == heard.len(), "told twice: {heard:?}");
        Ok(all)
    }
}
