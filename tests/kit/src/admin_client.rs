//! A client of the admin API.

use anyhow::Result;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::client::{Answer, TestClient};
use crate::origin::TestOrigin;

/// A client whose token opens the admin API.
pub struct AdminClient {
    /// An access token with the scope `tollgate:admin`.
    pub token: String,
    url: String,
    http: reqwest::Client,
}

impl AdminClient {
    /// Registers a client with the admin scope, and gets its token.
    pub async fn register(origin: &TestOrigin, id: &str) -> Result<Self> {
        let metadata = json!({
            "client_name": "An administrator",
            "grant_types": ["client_credentials"],
            "scope": "tollgate:admin",
            "audiences": [origin.server.issuer()],
        });
        let client = TestClient::register(origin, id, metadata).await?;
        let token = client.request_tokens(&[("grant_type", "client_credentials")]).await?.text("access_token")?;
        Ok(Self::with_token(origin, token))
    }

    pub fn with_token(origin: &TestOrigin, token: String) -> Self {
        Self { token, url: origin.server.url(), http: origin.http.clone() }
    }

    /// A request to the admin API. `path`: after `/admin/api`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/admin/api{path}", self.url)).bearer_auth(&self.token)
    }

    /// Sends a request. `body`: JSON, or null for no body.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        let request = self.request(method, path);
        Answer::read(if body.is_null() { request } else { request.json(body) }).await
    }
}
