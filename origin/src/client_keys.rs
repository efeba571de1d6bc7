//! Clients' own public keys: registered with them, or fetched from where they publish them and kept for a while.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tollgate_core::KeySet;

use crate::domain::{CallUrl, ClientMetadata};
use crate::outbound::Outbound;

/// How long fetched keys are believed without asking again.
const KEPT: Duration = Duration::from_secs(300);
/// How soon they are asked for again when a signature does not fit: a client may just have changed its keys, and a stranger may
/// send anything.
const ASKED_AGAIN: Duration = Duration::from_secs(10);
/// Key sets kept at most; beyond that all are forgotten and fetched anew.
const MAX_KEPT: usize = 4096;

/// Finds clients' keys.
pub(crate) struct ClientKeys {
    outbound: Outbound,
    kept: Mutex<HashMap<CallUrl, (Instant, KeySet)>>,
}

impl ClientKeys {
    /// Keys are fetched by this.
    pub(crate) fn new(outbound: Outbound) -> ClientKeys {
        ClientKeys { outbound, kept: Mutex::default() }
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
            tracing::warn!(url = url.as_str(), %error, "a client's keys cannot be had");
        };
        let body = self.outbound.get(url).await.map_err(|error| told(&error)).ok()?;
        KeySet::from_jwks(&body).map_err(|error| told(&error)).ok()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CallUrl, (Instant, KeySet)>> {
        // What is kept is whole after every statement: a thread that panicked in between has spoilt nothing.
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
