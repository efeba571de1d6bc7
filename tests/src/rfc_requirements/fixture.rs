//! The origin and the edge that the rows run against, with clients and user, and the placeholders
//! that rows may contain:
//!
//! - `{1.access_token}`, `{1?code}`, `{1:etag}`: a part of the first response, see [`Answer::find`]
//! - `{issuer}`, `{port}`, `{now}`, `{now+60}`, `{now-60}`
//! - `{edge}`: base URL of the edge; `{certificate:robot}`, `{certificate:thief}`: a client
//!   certificate as a trusted proxy forwards it (RFC 9440); `{thumbprint:robot}`: its SHA-256
//! - `{random}`; `{random:row}` has the same value within a row
//! - `{nonce}`: the latest DPoP nonce; a member is left out if there is none
//! - `{secret:app}`, `{redirect:app}`, `{basic:app}`, `{encoded:app}` (fully percent-encoded):
//!   values of a client
//! - `{lower:1.user_code}`: in lower case and without dashes; `{number:1.exp}`: a number instead of
//!   a text
//! - `{sha256:X}`: base64url of the SHA-256 of a part (`1.access_token`) or, after `=`, of a
//!   literal; `{half:X}`: of its left half (OpenID Connect Core §3.1.3.6)

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::answer::Answer;
use super::jws::{assertion, jwks, proof};
use super::request::{JwsPosition, RequestSpec, Sender};
use crate::browser::{Browser, Page, Person};
use crate::certificates::Certificate;
use crate::edge::{EdgeKind, TestEdge};
use crate::environment::now;
use crate::http_server::HttpServer;
use crate::origin::TestOrigin;
use crate::users::PASSWORD;

/// Audience of the tokens that the rows request.
pub const AUDIENCE: &str = crate::origin::AUDIENCE;

/// Header in which the proxy before origin and edge forwards client certificates (RFC 9440).
const CERTIFICATE_HEADER: &str = "Client-Cert";

/// Credentials of a registered client.
struct ClientCredentials {
    secret: Option<String>,
    method: String,
    redirect: String,
}

/// A running origin with the clients of the table and the user `alice`, and an edge.
pub struct Fixture {
    /// The origin.
    pub origin: TestOrigin,
    edge: TestEdge,
    _upstream: HttpServer,
    /// Certificates of clients by name.
    certificates: BTreeMap<&'static str, Certificate>,
    clients: BTreeMap<&'static str, ClientCredentials>,
    person: Person,
    signed_in: Browser,
    http: reqwest::Client,
    nonce: Mutex<Option<String>>,
}

impl Fixture {
    /// Starts an origin on this database and an edge, and registers clients and user. `clients`: id
    /// and RFC 7591 metadata.
    pub async fn start(database_url: &str, clients: &[(&'static str, Value)]) -> Result<Self> {
        let settings = [
            ("TOLLGATE_DATABASE_URL", database_url),
            ("TOLLGATE_REGISTRATION", "open"),
            ("TOLLGATE_DPOP_NONCE_REQUIRED", "true"),
            ("TOLLGATE_TRUSTED_PROXIES", "127.0.0.1"),
            ("TOLLGATE_CLIENT_CERTIFICATE_HEADER", CERTIFICATE_HEADER),
        ];
        let origin = TestOrigin::start_with(&settings).await?;
        let claims = json!({ "name": "Alice Example", "email": "alice@example.com", "email_verified": true });
        origin.user("alice", PASSWORD, &claims)?;
        let mut known = BTreeMap::new();
        for (id, metadata) in clients {
            let mut metadata = metadata.clone();
            if metadata["jwks"] == "own" {
                metadata["jwks"] = jwks(id);
            }
            let secret = origin.client(id, &metadata)?;
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (method, redirect) =
                (text(&metadata["token_endpoint_auth_method"]), text(&metadata["redirect_uris"][0]));
            known.insert(*id, ClientCredentials { secret, method, redirect });
        }
        let resource = ["resource", "create", AUDIENCE, "--name", "API", "--introspected-by", "api"];
        origin.cli(&[&resource[..], &["--scope", "read=Read it", "--scope", "write=Change it"]].concat())?;
        let person = Person::new("alice", PASSWORD);
        let url = origin.server.url();
        let signed_in = Browser::new(&url)?;
        signed_in.visit(&format!("{url}/login"), &person).await.context("signing in")?;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let (edge, upstream) = start_edge(&origin).await?;
        let certificates = ["robot", "thief"].map(|name| (name, Certificate::self_signed(name))).into();
        let nonce = Mutex::new(None);
        Ok(Self { origin, edge, _upstream: upstream, certificates, clients: known, person, signed_in, http, nonce })
    }

    pub(super) fn run(&self) -> RequirementRun<'_> {
        RequirementRun { fixture: self, answers: Vec::new(), browser: self.signed_in.clone(), random: random_text() }
    }

    fn client(&self, id: &str) -> Result<&ClientCredentials> {
        self.clients.get(id).with_context(|| format!("no client {id} is registered"))
    }

    fn certificate(&self, name: &str) -> Result<&Certificate> {
        self.certificates.get(name).with_context(|| format!("no certificate of {name}"))
    }
}

/// An edge behind a proxy that forwards certificates, and an upstream that echoes requests.
async fn start_edge(origin: &TestOrigin) -> Result<(TestEdge, HttpServer)> {
    let upstream = HttpServer::echo().await?;
    let mut settings = origin.edge_settings(&upstream.url).await?;
    settings.insert("TOLLGATE_EDGE_ISSUER", origin.server.issuer().to_owned());
    settings.insert("TOLLGATE_EDGE_TRUSTED_PROXIES", "127.0.0.1".to_owned());
    // A busy machine keeps it.
    settings.insert("TOLLGATE_EDGE_MAX_STALENESS_MS", "300000".to_owned());
    settings.insert("TOLLGATE_EDGE_CLIENT_CERTIFICATE_HEADER", CERTIFICATE_HEADER.to_owned());
    Ok((TestEdge::start(EdgeKind::Runner, &settings).await?, upstream))
}

/// A row being run: its responses so far, its browser, its random value.
pub(super) struct RequirementRun<'a> {
    fixture: &'a Fixture,
    answers: Vec<Answer>,
    browser: Browser,
    random: String,
}

impl RequirementRun<'_> {
    pub(super) fn last(&self) -> &Answer {
        self.answers.last().expect("a row has a request")
    }

    /// Sends the request and stores the response.
    pub(super) async fn send(&mut self, request_spec: &RequestSpec) -> Result<()> {
        let (url, mut parameters, mut headers) = self.parts(request_spec).await?;
        if let Some(client) = request_spec.client {
            self.authenticate(client, &mut parameters, &mut headers).await?;
        }
        let browser = match request_spec.sender {
            _ if request_spec.reuses_browser => self.browser.clone(),
            Sender::UserSigningIn | Sender::SignedOutBrowser | Sender::Client => {
                Browser::new(&self.fixture.origin.server.url())?
            }
            _ => self.fixture.signed_in.clone(),
        };
        self.browser = browser;
        let body = match &request_spec.body {
            Some((_, body)) => self.fill(body).await?,
            None => String::new(),
        };
        let request = |url: &str, browser: &Browser| {
            let mut request = browser.request(request_spec.method.clone(), url);
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            match &request_spec.body {
                Some((kind, _)) => request.header(CONTENT_TYPE, *kind).body(body.clone()),
                None if request_spec.method == Method::POST => request.form(&parameters),
                None => request.query(&parameters),
            }
        };
        let page = self.browser.send(request(&url, &self.browser)).await?;
        if let Some(nonce) = page.headers.get("dpop-nonce").and_then(|nonce| nonce.to_str().ok()) {
            *self.fixture.nonce.lock().expect("not poisoned") = Some(nonce.to_owned());
        }
        let page = self.continue_as_user(request_spec, page).await?;
        self.answers.push(Answer(page));
        Ok(())
    }

    /// Does the user's part in the browser.
    async fn continue_as_user(&mut self, request_spec: &RequestSpec, page: Page) -> Result<Page> {
        let person = match request_spec.sender {
            Sender::Client => return Ok(page),
            Sender::SignedInBrowser | Sender::SignedOutBrowser => return self.browser.follow(page).await,
            Sender::ConsentingUser | Sender::UserSigningIn => self.fixture.person.clone(),
            Sender::DenyingUser => self.fixture.person.denying(),
        };
        let user_code = match &request_spec.user_code {
            Some(code) => Some(self.fill(code).await?),
            None => None,
        };
        let page = self.browser.follow(page).await?;
        self.browser.complete_forms(page, &Person { user_code, ..person }).await
    }

    async fn parts(&self, request_spec: &RequestSpec) -> Result<(String, Pairs, Pairs)> {
        let path = self.fill(&request_spec.path).await?;
        let url = if path.contains("://") { path } else { format!("{}{path}", self.fixture.origin.server.url()) };
        let query = self.fill_pairs(&request_spec.query).await?;
        let mut url = reqwest::Url::parse(&url)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(&query);
        }
        let mut parameters = self.fill_pairs(&request_spec.parameters).await?;
        let mut headers = self.fill_pairs(&request_spec.headers).await?;
        for (place, text) in &request_spec.signed {
            let signed = text.sign(self).await?;
            match place {
                JwsPosition::Parameter(name) => parameters.push(((*name).to_owned(), signed)),
                JwsPosition::Header(name) => headers.push(((*name).to_owned(), signed)),
            }
        }
        Ok((url.into(), parameters, headers))
    }

    async fn authenticate(&self, id: &'static str, parameters: &mut Pairs, headers: &mut Pairs) -> Result<()> {
        let known = self.fixture.client(id)?;
        let mut add = |name: &str, value: String| parameters.push((name.to_owned(), value));
        match (known.method.as_str(), &known.secret) {
            ("client_secret_basic", Some(secret)) => {
                headers
                    .push((AUTHORIZATION.to_string(), format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))));
            }
            ("client_secret_post", Some(secret)) => {
                add("client_id", id.to_owned());
                add("client_secret", secret.clone());
            }
            ("private_key_jwt", _) => {
                add("client_assertion_type", ASSERTION_TYPE.to_owned());
                add("client_assertion", assertion(id).sign(self).await?);
            }
            ("none", _) => add("client_id", id.to_owned()),
            (method, _) => bail!("client {id} has no secret for {method}"),
        }
        Ok(())
    }

    async fn fill_pairs(&self, pairs: &Pairs) -> Result<Pairs> {
        let mut filled = Vec::new();
        for (name, value) in pairs {
            filled.push((name.clone(), self.fill(value).await?));
        }
        Ok(filled)
    }

    /// Fills in the placeholders of a value: a text that is only `{now+60}` becomes a number, an
    /// empty `{nonce}` is left out.
    pub(super) async fn fill_value(&self, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::String(text) => match text.strip_prefix("{now").and_then(|rest| rest.strip_suffix('}')) {
                Some(shift) => json!(now_plus(shift)?),
                None => match text.strip_prefix("{number:").and_then(|rest| rest.strip_suffix('}')) {
                    Some(part) => serde_json::from_str(&self.part(part)?)?,
                    None => Value::String(self.fill(text).await?),
                },
            },
            Value::Object(members) => {
                let mut filled = Map::new();
                for (name, value) in members {
                    let new = Box::pin(self.fill_value(value)).await?;
                    if value != "{nonce}" || new != "" {
                        filled.insert(name.clone(), new);
                    }
                }
                Value::Object(filled)
            }
            other => other.clone(),
        })
    }

    /// Fills in the placeholders of a text. A brace before anything but a letter or digit is
    /// literal.
    pub(super) async fn fill(&self, text: &str) -> Result<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, after) = (&rest[..at], &rest[at + 1..]);
            filled.push_str(before);
            let inside =
                after.split('}').next().filter(|_| after.starts_with(|first: char| first.is_ascii_alphanumeric()));
            match inside {
                Some(name) => {
                    filled.push_str(&self.resolve(name).await.with_context(|| format!("{{{name}}}"))?);
                    rest = &after[name.len() + 1..];
                }
                None => {
                    filled.push('{');
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }

    async fn resolve(&self, name: &str) -> Result<String> {
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            return self.part(name);
        }
        match name.split_once(':').unwrap_or((name, "")) {
            ("edge", _) => Ok(self.fixture.edge.url.clone()),
            ("certificate", name) => Ok(format!(":{}:", STANDARD.encode(&self.fixture.certificate(name)?.certificate))),
            ("thumbprint", name) => Ok(self.fixture.certificate(name)?.thumbprint()),
            ("issuer", _) => Ok(self.fixture.origin.server.issuer().to_owned()),
            ("port", _) => Ok(self.fixture.origin.server.url().rsplit(':').next().unwrap_or_default().to_owned()),
            ("random", "") => Ok(random_text()),
            ("random", _) => Ok(self.random.clone()), // constant within a row
            ("nonce", _) => Box::pin(self.nonce()).await,
            ("secret", client) => self.secret(client),
            ("redirect", client) => Ok(self.fixture.client(client)?.redirect.clone()),
            ("basic", client) => Ok(STANDARD.encode(format!("{client}:{}", self.secret(client)?))),
            ("encoded", client) => {
                let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
                Ok(STANDARD.encode(format!("{}:{}", encoded(client), encoded(&self.secret(client)?))))
            }
            ("lower", part) => Ok(self.part(part)?.to_lowercase().replace('-', "")),
            ("sha256", what) => Ok(URL_SAFE_NO_PAD.encode(Sha256::digest(self.literal_or_part(what)?))),
            ("half", what) => Ok(URL_SAFE_NO_PAD.encode(&Sha256::digest(self.literal_or_part(what)?)[..16])),
            _ => match name.strip_prefix("now") {
                Some(shift) => Ok(now_plus(shift)?.to_string()),
                None => bail!("unknown placeholder"),
            },
        }
    }

    fn literal_or_part(&self, what: &str) -> Result<String> {
        what.strip_prefix('=').map_or_else(|| self.part(what), |text| Ok(text.to_owned()))
    }

    fn part(&self, name: &str) -> Result<String> {
        let end = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
        let step: usize = name[..end].parse()?;
        let answer = self.answers.get(step - 1).context("no such earlier step")?;
        let path = &name[end..];
        answer.text(path.strip_prefix('.').unwrap_or(path))
    }

    fn secret(&self, client: &str) -> Result<String> {
        self.fixture.client(client)?.secret.clone().with_context(|| format!("{client} has no secret"))
    }

    /// The origin's current DPoP nonce, requested by a proof without one if none is known yet.
    async fn nonce(&self) -> Result<String> {
        let known = self.fixture.nonce.lock().expect("not poisoned").clone();
        if let Some(nonce) = known {
            return Ok(nonce);
        }
        let url = format!("{}/oauth/token", self.fixture.origin.server.url());
        let proof = proof("nonce", "POST", "/oauth/token").claim("nonce", Value::Null);
        let proof = proof.sign(self).await?;
        let form = [("grant_type", "refresh_token"), ("client_id", "spa"), ("refresh_token", "none")];
        let answer = self.fixture.http.post(url).header("dpop", proof).form(&form).send().await?;
        let nonce = answer.headers().get("dpop-nonce").and_then(|nonce| nonce.to_str().ok()).unwrap_or_default();
        *self.fixture.nonce.lock().expect("not poisoned") = Some(nonce.to_owned());
        Ok(nonce.to_owned())
    }
}

type Pairs = Vec<(String, String)>;

/// RFC 7523 §2.2.
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn now_plus(shift: &str) -> Result<i64> {
    let shift: i64 = if shift.is_empty() { 0 } else { shift.parse().context("seconds after now")? };
    Ok(i64::try_from(now())? + shift)
}

/// A text that is different each time.
fn random_text() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    URL_SAFE_NO_PAD
        .encode(&Sha256::digest(format!("{}-{count}-{:?}", std::process::id(), crate::environment::now_ms()))[..18])
}
