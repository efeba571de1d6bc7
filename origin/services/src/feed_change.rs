//! Waking those who wait for news: one task watches the database, all who wait listen to it.

use std::time::Duration;

use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_storage::{ChangeWatch, FeedHead, Store, StoreError};

/// How long after a failed database to look again.
const RETRY: Duration = Duration::from_millis(500);

/// What the watching task last saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedChange {
    /// Where the history stood.
    pub head: FeedHead,
    /// Whether the watch is working; while it is not, `head` may be old.
    pub watching: bool,
}

/// Watches the database until `stop`. A reader that marks the value as seen, then asks the store, misses nothing.
///
/// # Errors
/// When the database cannot be read to begin with.
pub async fn watch(
    store: Store,
    stop: CancellationToken,
) -> Result<(Receiver<FeedChange>, impl Future<Output = ()> + Send), StoreError> {
    let watch = store.watch_changes().await?;
    // Read after the watch began, so that no change falls between.
    let (sender, receiver) = channel(FeedChange { head: store.get_feed_head().await?, watching: true });
    let task = async move {
        tokio::select! {
            () = keep_watching(&store, watch, &sender) => {}
            () = stop.cancelled() => {}
        }
    };
    Ok((receiver, task))
}

async fn keep_watching(store: &Store, first: ChangeWatch, sender: &Sender<FeedChange>) {
    let mut watch = Some(first);
    loop {
        if let Err(error) = next_change(store, &mut watch, sender).await {
            tracing::error!(%error, "cannot watch the database; trying again");
            watch = None;
            sender.send_if_modified(|wake| std::mem::replace(&mut wake.watching, false));
            sleep(RETRY).await;
        }
    }
}

async fn next_change(
    store: &Store,
    watch: &mut Option<ChangeWatch>,
    sender: &Sender<FeedChange>,
) -> Result<(), StoreError> {
    match watch {
        Some(watch) => watch.changed().await?,
        None => *watch = Some(store.watch_changes().await?),
    }
    let newest = FeedChange { head: store.get_feed_head().await?, watching: true };
    sender.send_if_modified(|wake| std::mem::replace(wake, newest) != newest);
    Ok(())
}
