//! A client's endpoint for logout tokens (OpenID Connect Back-Channel Logout).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use axum::extract::State;
use axum::routing::post;
use axum::{Form, Router};

use crate::jwt::claims;
use crate::origin::TestOrigin;

/// Longest wait for the origin to send all logout tokens, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Receives logout tokens.
#[derive(Clone)]
pub struct LogoutListener {
    /// The client's `backchannel_logout_uri`.
    pub url: String,
    tokens: Arc<Mutex<Vec<String>>>,
}

impl LogoutListener {
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/logout", listener.local_addr()?);
        let started = Self { url, tokens: Arc::default() };
        let router = Router::new().route("/logout", post(Self::receive)).with_state(started.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(started)
    }

    async fn receive(State(listener): State<Self>, Form(form): Form<Vec<(String, String)>>) {
        let token = form.into_iter().find(|(name, _)| name == "logout_token").map(|(_, token)| token);
        listener.tokens.lock().unwrap_or_else(PoisonError::into_inner).push(token.unwrap_or_default());
    }

    /// Waits until the origin has sent all logout tokens, and returns those received so far.
    pub async fn received_tokens(&self, origin: &TestOrigin) -> Result<Vec<String>> {
        let started = Instant::now();
        while origin.server.store().find_next_logout_time().await?.is_some() {
            ensure!(started.elapsed() < TIMEOUT, "the origin did not send all logout tokens in {TIMEOUT:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Waits as [`LogoutListener::received_tokens`], and returns the `sid` of each token.
    ///
    /// # Errors
    /// If a grant got two logout tokens.
    pub async fn notified_grants(&self, origin: &TestOrigin) -> Result<BTreeSet<String>> {
        let tokens = self.received_tokens(origin).await?;
        let sids = tokens.iter().map(|token| Some(claims(token).ok()?["sid"].as_str()?.to_owned()));
        let sids: Vec<String> = sids.map(Option::unwrap_or_default).collect();
        let unique: BTreeSet<String> = sids.iter().cloned().collect();
        ensure!(unique.len() == sids.len(), "a grant got two logout tokens: {sids:?}");
        Ok(unique)
    }
}
