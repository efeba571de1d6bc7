//! Watches the database for changes of the feed, once for all tasks and requests that wait for
//! them.

use std::time::Duration;

use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tollgate_storage::{ChangeWatch, FeedHead, Store, StoreError};

/// Delay after the database failed.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The newest known state of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedChange {
    pub head: FeedHead,
    /// False while the database cannot be watched; `head` may be outdated then.
    pub is_watching: bool,
}

/// Watches the database until `stop`. Returns the changes and the task to spawn. A reader that
/// marks the value as seen and then reads the database misses no change.
///
/// # Errors
/// When the database cannot be read at the start.
pub async fn watch(
    store: Store,
    stop: CancellationToken,
) -> Result<(Receiver<FeedChange>, impl Future<Output = ()> + Send), StoreError> {
    let watch = store.watch_changes().await?;
    // Read after the watch has begun, so that no change is missed between the two.
    let (sender, receiver) = channel(FeedChange { head: store.get_feed_head().await?, is_watching: true });
    let task = async move {
        tokio::select! {
            () = publish_changes(&store, watch, &sender) => {}
            () = stop.cancelled() => {}
        }
    };
    Ok((receiver, task))
}

async fn publish_changes(store: &Store, first: ChangeWatch, sender: &Sender<FeedChange>) {
    let mut watch = Some(first);
    loop {
        if let Err(error) = publish_next_change(store, &mut watch, sender).await {
            tracing::error!(%error, "the database cannot be watched for changes; retrying");
            watch = None;
            sender.send_if_modified(|change| std::mem::replace(&mut change.is_watching, false));
            sleep(RETRY_DELAY).await;
        }
    }
}

async fn publish_next_change(
    store: &Store,
    watch: &mut Option<ChangeWatch>,
    sender: &Sender<FeedChange>,
) -> Result<(), StoreError> {
    match watch {
        Some(watch) => watch.changed().await?,
        None => *watch = Some(store.watch_changes().await?),
    }
    let newest = FeedChange { head: store.get_feed_head().await?, is_watching: true };
    sender.send_if_modified(|change| std::mem::replace(change, newest) != newest);
    Ok(())
}
