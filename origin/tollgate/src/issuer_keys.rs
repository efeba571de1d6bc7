//! Opening the keys of an issuer's database, and making them at the first start.

use tollgate_config::Settings;
use tollgate_keys::{KeyRing, MasterKey};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::Store;
use tollgate_system::Clock;

/// The keys of this database as they are now, made now if it has none.
///
/// # Errors
/// When the master key is not the one they were made with, or none can be made.
pub async fn open_keys(store: &Store, settings: &Settings) -> anyhow::Result<KeyRing> {
    let master = make_first_keys(store, settings).await?;
    let rows = store.get_stored_keys().await?;
    Ok(KeyRing::open(&master, &rows.keys, rows.revoked, Clock::system().now())?)
}

/// As [`open_keys`], for those who follow their changes.
///
/// # Errors
/// As [`open_keys`].
pub async fn open_shared_keys(store: &Store, settings: &Settings, clock: Clock) -> anyhow::Result<SigningKeys> {
    let master = make_first_keys(store, settings).await?;
    Ok(SigningKeys::open(store.clone(), master, clock).await?)
}

/// Makes the keys of a database that has none; gives the master key.
pub(crate) async fn make_first_keys(store: &Store, settings: &Settings) -> anyhow::Result<MasterKey> {
    let is_first = store.list_keys().await?.is_empty();
    let master = settings.master_key.load(is_first)?;
    if is_first {
        tracing::info!("first start: making keys");
        let sealing = master.clone();
        let made = tokio::task::spawn_blocking(move || KeyRing::generate(&sealing, Clock::system().now())).await??;
        // Should another process have been first, its keys stay.
        store.create_first_keys(&made).await?;
    }
    Ok(master)
}
