//! Clients of an origin, and the requests that they make.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tollgate_model::{AuthMethod, Client, ClientMetadata, Resource, Secret, SecretKind};
use tollgate_system::{Clock, rng};

use crate::browser::{Browser, Page, Person};
use crate::jwt::{ClientKey, claims};
use crate::origin::TestOrigin;

/// Redirect URI of the clients of [`TestClient::register_web_app`].
pub const REDIRECT_URI: &str = "https://app.example/cb";
/// Code verifier of every authorization request, and its challenge (RFC 7636 appendix B).
pub const CODE_VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CODE_CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// RFC 8628 §3.4
pub const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// RFC 7523 §2.1
pub const JWT_BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 8693 §2.1
pub const TOKEN_EXCHANGE_GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 8693 §3
pub const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Longest wait for an edge to answer with the expected status, on a busy machine. No test depends
/// on its length.
const STATUS_TIMEOUT: Duration = Duration::from_secs(30);

/// An HTTP response with a JSON body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Null if the body is not JSON.
    pub body: Value,
}

impl Answer {
    /// Sends the request and reads the response.
    pub async fn read(request: RequestBuilder) -> Result<Self> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok(Self { status, body: serde_json::from_slice(&response.bytes().await?).unwrap_or(Value::Null) })
    }

    /// A string member of the body.
    pub fn text(&self, name: &str) -> Result<String> {
        let text = self.body[name].as_str();
        Ok(text.with_context(|| format!("no {name} in {} {}", self.status, self.body))?.to_owned())
    }

    /// The status, and the error if there is one.
    pub fn summary(&self) -> String {
        match self.body["error"].as_str() {
            Some(error) => format!("{} {error}", self.status),
            None => self.status.to_string(),
        }
    }

    /// Fails if the status is not 200.
    pub fn success(self) -> Result<Self> {
        ensure!(self.status == 200, "{} {}", self.status, self.body);
        Ok(self)
    }

    /// Fails unless the grant was refused with `invalid_grant`.
    pub fn invalid_grant(&self) -> Result<()> {
        ensure!(self.status == 400 && self.body["error"] == "invalid_grant", "{} {}", self.status, self.body);
        Ok(())
    }
}

/// A registered client.
#[derive(Debug, Clone)]
pub struct TestClient {
    /// `client_id`.
    pub id: String,
    /// `client_secret`, if it has one.
    secret: Option<String>,
    /// HTTP client that follows no redirects.
    pub http: reqwest::Client,
    /// Base URL of the origin.
    origin: String,
}

impl TestClient {
    /// Registers a client in the origin's database. `metadata`: as in RFC 7591.
    pub async fn register(origin: &TestOrigin, id: &str, metadata: Value) -> Result<Self> {
        Self::register_metadata(origin, id, serde_json::from_value(merge(json!({ "client_name": id }), &metadata))?)
            .await
    }

    /// Registers a client in the origin's database.
    pub async fn register_metadata(origin: &TestOrigin, id: &str, metadata: ClientMetadata) -> Result<Self> {
        let has_secret = metadata.auth_method == AuthMethod::ClientSecretBasic;
        let secret = Secret::new(SecretKind::Client, &rng::random()?);
        let client = Client::new(id.parse()?, metadata.checked()?, Clock::system().now());
        let client = if has_secret { client.with_secret(&secret, Clock::system().now()) } else { client };
        origin.server.store().create_client(&client).await?;
        let secret = has_secret.then(|| secret.reveal().to_owned());
        Ok(Self { id: id.to_owned(), secret, http: origin.http.clone(), origin: origin.server.url() })
    }

    /// Registers a web application with refresh tokens. `changes`: members of its metadata to add
    /// or replace.
    pub async fn register_web_app(origin: &TestOrigin, id: &str, changes: &Value) -> Result<Self> {
        let metadata = json!({
            "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE_GRANT],
            "redirect_uris": [REDIRECT_URI],
            "scope": "openid email read write",
        });
        Self::register(origin, id, merge(metadata, changes)).await
    }

    /// Registers a client with the CLI. `options`: further options of `tollgate client create`.
    pub fn register_with_cli(origin: &TestOrigin, name: &str, options: &[&str]) -> Result<Self> {
        let created = origin.cli(&[&["client", "create", "--json", "--name", name], options].concat())?;
        Self::from_cli_output(&origin.server.url(), &created)
    }

    /// Reads the output of `tollgate client create --json`. `origin`: base URL of the origin.
    pub fn from_cli_output(origin: &str, created: &str) -> Result<Self> {
        let created: Value = serde_json::from_str(created)?;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let id = member_text(&created, "client_id")?.to_owned();
        let secret = created["client_secret"].as_str().map(str::to_owned);
        Ok(Self { id, secret, http, origin: origin.to_owned() })
    }

    /// `client_secret` of a confidential client.
    pub fn secret(&self) -> &str {
        self.secret.as_deref().expect("a confidential client")
    }

    /// Changes the client's registered metadata.
    pub async fn update(&self, origin: &TestOrigin, change: impl FnOnce(&mut Value)) -> Result<()> {
        let id = self.id.parse()?;
        let client = origin.server.store().find_client(&id).await?.context("a registered client")?;
        let mut metadata = serde_json::to_value(&client.metadata)?;
        change(&mut metadata);
        let metadata: ClientMetadata = serde_json::from_value(metadata)?;
        origin.server.store().update_client(&id, &metadata.checked()?).await?;
        Ok(())
    }

    /// A form to an endpoint, with the client's secret or, without one, its id.
    pub fn request(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.request_by(&self.http, path, form)
    }

    /// A request as [`TestClient::request`] that this HTTP client sends.
    pub fn request_by(&self, http: &reqwest::Client, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let request = http.post(format!("{}{path}", self.origin));
        match &self.secret {
            Some(secret) => request.basic_auth(&self.id, Some(secret)).form(form),
            None => request.form(&[form, &[("client_id", &self.id)]].concat()),
        }
    }

    /// Posts a form to an endpoint.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer> {
        Answer::read(self.request(path, form)).await
    }

    /// Posts a form to the token endpoint.
    pub async fn request_tokens(&self, form: &[(&str, &str)]) -> Result<Answer> {
        self.post("/oauth/token", form).await
    }

    /// Posts a form with a DPoP proof to the token endpoint.
    pub async fn request_bound_tokens(&self, key: &ClientKey, form: &[(&str, &str)]) -> Result<Answer> {
        let proof = key.proof("POST", &format!("{}/oauth/token", self.origin), Value::Null);
        Answer::read(self.request("/oauth/token", form).header("dpop", proof)).await
    }

    /// Gets an access token by the client credentials grant.
    pub async fn token(&self, scope: &str) -> Result<String> {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        self.request_tokens(&form).await?.success()?.text("access_token")
    }

    /// Redeems an authorization code (RFC 6749 §4.1.3).
    pub async fn redeem(&self, code: &str) -> Result<Answer> {
        self.request_tokens(&redemption(code)).await
    }

    /// Refreshes tokens (RFC 6749 §6).
    pub async fn refresh(&self, token: &str) -> Result<Answer> {
        self.request_tokens(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Exchanges an access token (RFC 8693 §2.1). `more`: further parameters.
    pub async fn exchange(&self, token: &str, more: &[(&str, &str)]) -> Result<Answer> {
        self.request_tokens(&exchange(token, more)).await
    }

    /// Revokes a token (RFC 7009).
    pub async fn revoke(&self, token: &str) -> Result<()> {
        self.post("/oauth/revoke", &[("token", token)]).await?.success().map(drop)
    }

    /// Introspects a token (RFC 7662).
    pub async fn introspect(&self, token: &str) -> Result<Value> {
        Ok(self.post("/oauth/introspect", &[("token", token)]).await?.body)
    }

    /// Whether introspection says that a token is active.
    pub async fn is_active(&self, token: &str) -> Result<bool> {
        let answer = self.post("/oauth/introspect", &[("token", token)]).await?.success()?;
        answer.body["active"].as_bool().with_context(|| format!("no active in {}", answer.body))
    }

    /// Sends a request with this bearer token to the origin.
    pub async fn present(&self, method: Method, path: &str, token: &str) -> Result<Answer> {
        Answer::read(self.http.request(method, format!("{}{path}", self.origin)).bearer_auth(token)).await
    }

    /// Status of a GET with this bearer token.
    pub async fn status(&self, url: &str, token: &str) -> Result<u16> {
        Ok(self.http.get(url).bearer_auth(token).send().await?.status().as_u16())
    }

    /// Repeats the request until it is answered with `wanted`, and returns how long that took.
    pub async fn wait_for_status(&self, url: &str, token: &str, wanted: u16) -> Result<Duration> {
        let started = Instant::now();
        loop {
            let status = self.status(url, token).await?;
            if status == wanted {
                return Ok(started.elapsed());
            }
            ensure!(started.elapsed() < STATUS_TIMEOUT, "{url} still answers {status} and not {wanted}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// URL of an authorization request. `changes`: parameters to add or replace; an empty value
    /// removes one.
    pub fn authorization_url(&self, changes: &[(&str, &str)]) -> String {
        let defaults = [
            ("response_type", "code"),
            ("client_id", self.id.as_str()),
            ("redirect_uri", REDIRECT_URI),
            ("code_challenge", CODE_CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        format!("{}/oauth/authorize?{}", self.origin, query(&defaults, changes))
    }

    /// Sends an authorization request and fills in the forms as the user. Returns the redirect to
    /// the client, or the last page of the origin.
    pub async fn authorize(&self, browser: &Browser, person: &Person, changes: &[(&str, &str)]) -> Result<Page> {
        browser.visit(&self.authorization_url(changes), person).await
    }

    /// Gets an authorization code from the user.
    pub async fn code(&self, browser: &Browser, person: &Person, changes: &[(&str, &str)]) -> Result<String> {
        let page = self.authorize(browser, person, changes).await?;
        match page.parameter("code") {
            Some(code) => Ok(code),
            None => bail!("no code: {} at {}, to {:?}: {}", page.status, page.url, page.location(), page.body),
        }
    }

    /// Gets tokens from the user by the authorization code grant.
    pub async fn user_tokens(&self, browser: &Browser, person: &Person, changes: &[(&str, &str)]) -> Result<Tokens> {
        let code = self.code(browser, person, changes).await?;
        let answer = self.redeem(&code).await?.success()?;
        Ok(Tokens { code, ..Tokens::read(&answer.body)? })
    }

    /// Gets tokens from the user by the device grant; the user enters the user code in `browser`.
    pub async fn device_tokens(&self, browser: &Browser, person: &Person, scope: &str) -> Result<Tokens> {
        let started = self.post("/oauth/device/code", &[("scope", scope)]).await?.success()?;
        let person = Person { user_code: Some(started.text("user_code")?), ..person.clone() };
        browser.visit(&format!("{}/device", self.origin), &person).await?;
        let form = [("grant_type", DEVICE_CODE_GRANT), ("device_code", &started.text("device_code")?)];
        Tokens::read(&self.request_tokens(&form).await?.success()?.body)
    }
}

/// Tokens of a grant.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    /// The redeemed authorization code; empty for other grants.
    pub code: String,
    /// The access token.
    pub access: String,
    /// The refresh token; empty for none.
    pub refresh: String,
    /// The ID token; empty for none.
    pub id: String,
    /// `sid` of the access token; empty for none.
    pub sid: String,
}

impl Tokens {
    /// Reads the body of a token response.
    ///
    /// # Errors
    /// If it has no signed access token.
    pub fn read(body: &Value) -> Result<Self> {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let access = text("access_token");
        let sid = claims(&access)?["sid"].as_str().unwrap_or_default().to_owned();
        Ok(Self { code: String::new(), refresh: text("refresh_token"), id: text("id_token"), access, sid })
    }
}

/// What an authorization request led to: `code`, the error sent to the client, or the status and
/// path of a page of the origin.
pub fn authorization_outcome(page: &Page) -> String {
    let code = page.parameter("code").map(|_| "code".to_owned());
    code.or_else(|| page.parameter("error")).unwrap_or_else(|| format!("{} {}", page.status, page.url.path()))
}

/// Form that redeems an authorization code.
pub fn redemption(code: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", CODE_VERIFIER),
    ]
}

/// Form that exchanges an access token.
pub fn exchange<'a>(token: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let subject =
        [("grant_type", TOKEN_EXCHANGE_GRANT), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN_TYPE)];
    [&subject[..], more].concat()
}

/// A query in which `changes` replace defaults of the same name; an empty value removes one.
pub fn query(defaults: &[(&str, &str)], changes: &[(&str, &str)]) -> String {
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = defaults.iter().filter(|(name, _)| !is_changed(name));
    let parameters = kept.chain(changes.iter().filter(|(_, value)| !value.is_empty()));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters.copied()).finish()
}

/// A JSON object with members added or replaced.
pub fn merge(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}

/// A string member of a JSON object.
pub fn member_text<'a>(object: &'a Value, name: &str) -> Result<&'a str> {
    object[name].as_str().with_context(|| format!("no {name} in {object}"))
}

/// Registers a resource server that introspects tokens as this client.
pub async fn register_resource(origin: &TestOrigin, audience: &str, introspected_by: &TestClient) -> Result<()> {
    let resource = Resource {
        audience: audience.parse()?,
        name: audience.to_owned(),
        scopes: Default::default(),
        introspected_by: Some(introspected_by.id.parse()?),
        tokens: Default::default(),
    };
    origin.server.store().save_resource(&resource).await?;
    Ok(())
}
