//! Clients and users of an origin in this process, registered straight in its store, and the requests that they make.

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tollgate_model::{AuthMethod, Client, ClientMetadata, Resource, Secret, SecretKind, User, UserId};
use tollgate_system::rng;

use crate::browser::{Browser, Page, Person};
use crate::environment::now;
use crate::origin::TestOrigin;

/// The password of every user.
pub const PASSWORD: &str = "correct horse battery staple";
/// Where the clients of [`RegisteredClient::web`] have their codes sent.
pub const REDIRECT: &str = "https://app.example/cb";
/// The verifier of every authorization request (RFC 7636 appendix B).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// RFC 8693 §2.1
pub const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 8693 §3
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What an endpoint answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, if it is JSON.
    pub body: Value,
}

impl Answer {
    /// Reads an answer to its end.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn of(request: reqwest::RequestBuilder) -> Result<Self> {
        let answer = request.send().await?;
        Ok(Self { status: answer.status().as_u16(), body: answer.json().await.unwrap_or(Value::Null) })
    }

    /// A member of the body that is a text.
    ///
    /// # Errors
    /// When there is none.
    pub fn text(&self, name: &str) -> Result<String> {
        let text = self.body[name].as_str();
        Ok(text.with_context(|| format!("no {name} in {} {}", self.status, self.body))?.to_owned())
    }

    /// The status, and the error if there is one.
    pub fn brief(&self) -> String {
        match self.body["error"].as_str() {
            Some(error) => format!("{} {error}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// A registered client.
pub struct RegisteredClient {
    /// `client_id`.
    pub id: String,
    secret: Option<String>,
    url: String,
    http: reqwest::Client,
}

impl RegisteredClient {
    /// Registers a client with RFC 7591 metadata.
    ///
    /// # Errors
    /// When the metadata is not good, or the id is taken.
    pub async fn register(origin: &TestOrigin, id: &str, mut metadata: Value) -> Result<Self> {
        metadata["client_name"] = json!(id);
        let metadata: ClientMetadata = serde_json::from_value(metadata)?;
        let metadata = metadata.checked()?;
        let secret = Secret::new(SecretKind::Client, &rng::random()?);
        let has_secret = metadata.auth_method == AuthMethod::ClientSecretBasic;
        let client = Client::new(id.parse()?, metadata, now());
        let client = if has_secret { client.with_secret(&secret, now()) } else { client };
        origin.server.store().insert_client(&client).await?;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let secret = has_secret.then(|| secret.reveal().to_owned());
        Ok(Self { id: id.to_owned(), secret, url: origin.server.url(), http })
    }

    /// Registers a client that users give grants to, with these members of its metadata beside or in place of the usual ones.
    ///
    /// # Errors
    /// As [`RegisteredClient::register`].
    pub async fn web(origin: &TestOrigin, id: &str, more: Value) -> Result<Self> {
        let mut metadata = json!({
            "grant_types": ["authorization_code", "refresh_token"], "redirect_uris": [REDIRECT],
            "scope": "openid email read write",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            metadata[name] = value.clone();
        }
        Self::register(origin, id, metadata).await
    }

    /// Changes what is registered of the client, as an operator does.
    ///
    /// # Errors
    /// When it is not good.
    pub async fn change(&self, origin: &TestOrigin, change: impl FnOnce(&mut Value)) -> Result<()> {
        let id = self.id.parse()?;
        let client = origin.server.store().client(&id).await?.context("registered")?;
        let mut metadata = serde_json::to_value(&client.metadata)?;
        change(&mut metadata);
        let metadata: ClientMetadata = serde_json::from_value(metadata)?;
        origin.server.store().update_client(&id, &metadata.checked()?).await?;
        Ok(())
    }

    /// A form to an endpoint, with the client's secret or else its id.
    pub fn form(&self, path: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.url));
        match &self.secret {
            Some(secret) => request.basic_auth(&self.id, Some(secret)).form(form),
            None => request.form(&[form, &[("client_id", &self.id)]].concat()),
        }
    }

    /// Posts a form to an endpoint.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Answer> {
        Answer::of(self.form(path, form)).await
    }

    /// A request for tokens.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn token(&self, form: &[(&str, &str)]) -> Result<Answer> {
        self.post("/oauth/token", form).await
    }

    /// A request for tokens with a DPoP proof.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn token_with(&self, key: &ProofKey, form: &[(&str, &str)]) -> Result<Answer> {
        let proof = key.proof("POST", &format!("{}/oauth/token", self.url), None)?;
        Answer::of(self.form("/oauth/token", form).header("dpop", proof)).await
    }

    /// The tokens of a code.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn redeem(&self, code: &str) -> Result<Answer> {
        self.token(&redemption(code)).await
    }

    /// Exchanges a token, with these parameters beside the usual ones.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn exchange(&self, token: &str, more: &[(&str, &str)]) -> Result<Answer> {
        self.token(&exchange(token, more)).await
    }

    /// Whether a token is active (RFC 7662).
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn is_active(&self, token: &str) -> Result<bool> {
        Ok(self.post("/oauth/introspect", &[("token", token)]).await?.body["active"] == true)
    }

    /// The answer to a request that shows a token as its bearer.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn show(&self, method: Method, path: &str, token: &str) -> Result<Answer> {
        Answer::of(self.http.request(method, format!("{}{path}", self.url)).bearer_auth(token)).await
    }
}

/// The form that redeems a code.
pub fn redemption(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT), ("code_verifier", VERIFIER)]
}

/// The form that exchanges a token.
pub fn exchange<'a>(token: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", ACCESS_TOKEN)], more].concat()
}

/// Makes a user who can sign in.
///
/// # Errors
/// When the name is taken.
pub async fn user(origin: &TestOrigin, name: &str) -> Result<Person> {
    let password = PASSWORD.to_owned().into();
    let hash = tokio::task::block_in_place(|| tollgate_services::password_hashing::hash_now(&password))?;
    let user = User::new(UserId::from_random(&rng::random()?), name.parse()?, now());
    let claims = tollgate_model::UserClaims::parse(&json!({ "email": format!("{name}@example.org") }).to_string())?;
    origin.server.store().insert_user(&User { password_hash: Some(hash), claims, ..user }).await?;
    Ok(Person::new(name, PASSWORD))
}

/// Registers a resource server that introspects by this client.
///
/// # Errors
/// When it is not good.
pub async fn resource(origin: &TestOrigin, audience: &str, introspected_by: &RegisteredClient) -> Result<()> {
    let resource = Resource {
        audience: audience.parse()?,
        name: audience.to_owned(),
        scopes: std::collections::BTreeMap::default(),
        introspected_by: Some(introspected_by.id.parse()?),
    };
    origin.server.store().put_resource(&resource).await?;
    Ok(())
}

/// The address of an authorization request, with these parameters beside or in place of the usual ones; an empty one is left out.
///
/// # Errors
/// When it is none.
pub fn authorization(origin: &TestOrigin, client: &str, more: &[(&str, &str)]) -> Result<String> {
    let usual = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let kept = usual.iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    let all = kept.chain(more).filter(|(_, value)| !value.is_empty());
    Ok(reqwest::Url::parse_with_params(&format!("{}/oauth/authorize", origin.server.url()), all)?.into())
}

/// Where an authorization request of a browser ends, at the client or at a page of the origin.
///
/// # Errors
/// When nothing answers.
pub async fn authorize(
    origin: &TestOrigin,
    browser: &mut Browser,
    person: &Person,
    client: &str,
    more: &[(&str, &str)],
) -> Result<Page> {
    browser.visit(&authorization(origin, client, more)?, person).await
}

/// A code for a client, from a user who signs in and allows all.
///
/// # Errors
/// When there is none.
pub async fn code(
    origin: &TestOrigin,
    browser: &mut Browser,
    person: &Person,
    client: &str,
    more: &[(&str, &str)],
) -> Result<String> {
    let page = authorize(origin, browser, person, client, more).await?;
    match page.parameter("code") {
        Some(code) => Ok(code),
        None => bail!("no code: {} at {}, to {:?}: {}", page.status, page.url, page.location(), page.body),
    }
}

/// What an authorization request came to, in a word: `code`, the error sent to the client, or the status of the page shown.
pub fn outcome(page: &Page) -> String {
    let code = page.parameter("code").map(|_| "code".to_owned());
    code.or_else(|| page.parameter("error")).unwrap_or_else(|| format!("{} {}", page.status, page.url.path()))
}

/// A key of a client's own, for DPoP proofs and for what it signs.
pub struct ProofKey(SigningKey);

impl ProofKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> Result<Self> {
        Ok(Self(SigningKey::from_bytes(&rng::random()?)))
    }

    /// The public half (RFC 8037 §2).
    pub fn jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes()) })
    }

    /// Signs a JWT with these members of its header beside `alg`.
    pub fn sign(&self, mut header: Value, claims: &Value) -> String {
        header["alg"] = json!("EdDSA");
        let signed = [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()).to_bytes()))
    }

    /// A DPoP proof (RFC 9449 §4.2).
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn proof(&self, method: &str, url: &str, token: Option<&str>) -> Result<String> {
        let mut claims = json!({ "htm": method, "htu": url, "iat": now(), "jti": unique()? });
        if let Some(token) = token {
            claims["ath"] = json!(URL_SAFE_NO_PAD.encode(Sha256::digest(token)));
        }
        Ok(self.sign(json!({ "typ": "dpop+jwt", "jwk": self.jwk() }), &claims))
    }
}

/// A text that never came before.
///
/// # Errors
/// When the system has no randomness.
pub fn unique() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(rng::random::<12>()?))
}

/// The claims of a JWT, unchecked.
///
/// # Errors
/// When it is none.
pub fn claims(jwt: &str) -> Result<Value> {
    let part = jwt.split('.').nth(1).context("a JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}
