//! The origin's newest snapshot, checked and revalidated for each request. Concurrent requests
//! share a request to the origin.

use crate::origin_client::OriginClient;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tollgate_core::Snapshot;

/// A snapshot that the origin's key signed.
pub(super) struct CachedSnapshot {
    pub(super) bytes: Bytes,
    /// Entity tag, with quotes; empty if the origin sent none.
    pub(super) etag: String,
}

pub(super) struct SnapshotCache {
    client: Arc<OriginClient>,
    pins: Vec<[u8; 32]>,
    /// The snapshot, and when its last validation began.
    cached: Mutex<Option<(Instant, Arc<CachedSnapshot>)>>,
}

impl SnapshotCache {
    pub(super) fn new(client: Arc<OriginClient>, pins: Vec<[u8; 32]>) -> SnapshotCache {
        SnapshotCache { client, pins, cached: Mutex::default() }
    }

    /// The snapshot that was the origin's newest after this was called. If the origin does not
    /// answer, the cached one: edges do not take it for fresh.
    pub(super) async fn newest(&self) -> Result<Arc<CachedSnapshot>, String> {
        let called = Instant::now();
        let mut cached = self.cached.lock().await;
        if let Some((validated, snapshot)) = &*cached
            && *validated >= called
        {
            return Ok(Arc::clone(snapshot));
        }
        let begun = Instant::now();
        let held = cached.as_ref().map(|(_, snapshot)| Arc::clone(snapshot));
        let snapshot = match (self.fetch(held.as_deref()).await, held) {
            (Ok(Some(newer)), _) => Arc::new(newer),
            (Ok(None), Some(held)) => held,
            (Ok(None), None) => return Err("the origin sent no snapshot".to_owned()),
            (Err(error), Some(held)) => {
                tracing::warn!(%error, "the snapshot cannot be fetched; edges get the last one");
                held
            }
            (Err(error), None) => return Err(error),
        };
        *cached = Some((begun, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// The origin's snapshot; none if it is the held one.
    async fn fetch(&self, held: Option<&CachedSnapshot>) -> Result<Option<CachedSnapshot>, String> {
        let etag = held.map(|held| held.etag.as_str()).filter(|etag| !etag.is_empty());
        let answer = self.client.get("/edge/v1/snapshot", Duration::ZERO, etag).await?;
        match answer.status {
            200 => {}
            304 => return Ok(None),
            status => return Err(format!("the origin answered with status {status}")),
        }
        let (bytes, pins) = (Bytes::from(answer.body), self.pins.clone());
        let copy = bytes.clone();
        // Takes milliseconds if there are many revocations.
        let checked = spawn_blocking(move || Snapshot::decode(copy.to_vec(), &pins).map(drop));
        checked.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        Ok(Some(CachedSnapshot { bytes, etag: answer.etag.unwrap_or_default() }))
    }
}
