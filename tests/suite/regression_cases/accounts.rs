//! Clients, users and an administrator of a case, registered in the running origin.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tollgate_model::{Client, ClientId, ClientMetadata, Secret, SecretKind};
use tollgate_tests::origin::TestOrigin;

/// Password of users whose password does not matter to the case.
pub(super) const PASSWORD: &str = "correct horse battery";

/// Registers a client and returns its secret.
pub(super) async fn register_client(origin: &TestOrigin, id: &str, metadata: Value) -> Result<Secret> {
    let metadata: ClientMetadata = serde_json::from_value(metadata)?;
    let secret = Secret::new(SecretKind::Client, &tollgate_system::rng::random()?);
    let client = Client::new(id.parse()?, metadata.checked()?, 0).with_secret(&secret, 0);
    origin.server.store().insert_client(&client).await?;
    Ok(secret)
}

/// A client that uses the admin API.
pub(super) struct AdminClient {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// Registers a client with the admin scope, and gets its token.
pub(super) async fn admin_client(origin: &TestOrigin) -> Result<AdminClient> {
    let metadata = json!({
        "client_name": "An administrator", "grant_types": ["client_credentials"], "scope": "tollgate:admin",
        "audiences": [origin.server.issuer()],
    });
    let id = ClientId::from_random(&tollgate_system::rng::random()?).to_string();
    let secret = register_client(origin, &id, metadata).await?;
    let (http, url) = (reqwest::Client::new(), origin.server.url());
    let form = [("grant_type", "client_credentials")];
    let request = http.post(format!("{url}/oauth/token")).basic_auth(&id, Some(secret.reveal())).form(&form);
    let answer: Value = request.send().await?.json().await?;
    let token = answer["access_token"].as_str().with_context(|| answer.to_string())?.to_owned();
    Ok(AdminClient { http, url, token })
}

impl AdminClient {
    /// A request to the admin API.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/admin/api{path}", self.url)).bearer_auth(&self.token)
    }

    /// Posts JSON and returns the status.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<u16> {
        Ok(self.request(Method::POST, path).json(body).send().await?.status().as_u16())
    }
}

/// Creates a user who can sign in.
pub(super) async fn register_user(origin: &TestOrigin, name: &str, password: &str) -> Result<()> {
    let status = admin_client(origin).await?.post("/users", &json!({ "name": name, "password": password })).await?;
    ensure!(status == 201, "registering {name} answers {status}");
    Ok(())
}
