//! Clients' own public keys: registered with them, or fetched from where they publish them and kept for a while.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tollgate_core::KeySet;

use crate::causes::with_causes;
use crate::domain::{CallUrl, ClientMetadata};
use crate::watch::traced;

/// How long fetched keys are believed without asking again.
const KEPT: Duration = Duration::from_secs(300);
/// How soon they are asked for again when a signature does not fit: a client may just have changed its keys, and a stranger may
/// send anything.
const ASKED_AGAIN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a key set at most.
const MAX_BYTES: usize = 64 * 1024;
/// Key sets kept at most; beyond that all are forgotten and fetched anew.
const MAX_KEPT: usize = 4096;

/// Finds clients' keys.
pub(crate) struct ClientKeys {
    http: reqwest::Client,
    kept: Mutex<HashMap<CallUrl, (Instant, KeySet)>>,
}

impl ClientKeys {
    /// Keys are fetched by this; it must follow no redirects, which could lead into the network that this origin stands in.
    ///
    /// # Errors
    /// When TLS cannot be used.
    pub(crate) fn new() -> Result<ClientKeys, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(ClientKeys { http, kept: Mutex::default() })
    }

    /// What asks clients' servers, for others who must.
    pub(crate) fn http(&self) -> reqwest::Client {
        self.http.clone()
    }

    /// A client's keys; none when it has none, or they cannot be had.
    pub(crate) async fn of(&self, metadata: &ClientMetadata) -> Option<KeySet> {
        self.find(metadata.jwks.as_ref(), metadata.jwks_uri.as_ref()).await
    }

    /// These keys, or those that are published there.
    pub(crate) async fn find(&self, jwks: Option<&Value>, url: Option<&CallUrl>) -> Option<KeySet> {
        match jwks {
            Some(jwks) => KeySet::from_jwks(jwks.to_string().as_bytes()).ok(),
            None => self.at(url?, KEPT).await,
        }
    }

    /// A client's keys, asked for again if they are where the client publishes them and it was not just now.
    pub(crate) async fn of_anew(&self, metadata: &ClientMetadata) -> Option<KeySet> {
        self.at(metadata.jwks_uri.as_ref()?, ASKED_AGAIN).await
    }

    async fn at(&self, url: &CallUrl, young: Duration) -> Option<KeySet> {
        if let Some((at, keys)) = self.lock().get(url)
            && at.elapsed() < young
        {
            return Some(keys.clone());
        }
        let keys = self.fetch(url).await?;
        let mut kept = self.lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(url.clone(), (Instant::now(), keys.clone()));
        Some(keys)
    }

    async fn fetch(&self, url: &CallUrl) -> Option<KeySet> {
        let told = |error: &dyn std::error::Error| {
            tracing::warn!(url = url.as_str(), error = with_causes(error), "a client's keys could not be fetched");
        };
        let mut answer = traced(self.http.get(url.as_str())).send().await.and_then(reqwest::Response::error_for_status);
        let mut body = Vec::new();
        loop {
            match answer.as_mut().map_err(|error| told(error)).ok()?.chunk().await.map_err(|error| told(&error)).ok()? {
                Some(chunk) if body.len() + chunk.len() <= MAX_BYTES => body.extend_from_slice(&chunk),
                Some(_) => return None,
                None => break,
            }
        }
        KeySet::from_jwks(&body)
            .map_err(|error| tracing::warn!(url = url.as_str(), %error, "a client's keys are not good"))
            .ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CallUrl, (Instant, KeySet)>> {
        // What is kept is whole after every statement: a thread that panicked in between has spoilt nothing.
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
