//! Opens the keys of an issuer's database, and creates them at the first start.

use tollgate_config::Settings;
use tollgate_keys::{KeyRing, MasterKey};
use tollgate_services::signing_keys::{SigningKeys, SigningPool};
use tollgate_storage::Store;
use tollgate_system::Clock;

/// Reads the current keys of a database; creates them if it has none.
///
/// # Errors
/// When the master key is not the one that sealed the keys, or keys cannot be created.
pub async fn open_keys(store: &Store, settings: &Settings) -> anyhow::Result<KeyRing> {
    let clock = Clock::system();
    let master = ensure_keys(store, settings, &clock).await?;
    let rows = store.get_stored_keys().await?;
    Ok(KeyRing::open(&master, &rows.keys, rows.revoked, clock.now())?)
}

/// Opens the keys as [`open_keys`] does, as a handle that follows their changes and signs on the
/// threads of `pool`.
///
/// # Errors
/// As [`open_keys`].
pub async fn open_shared_keys(
    store: &Store,
    settings: &Settings,
    clock: Clock,
    pool: SigningPool,
) -> anyhow::Result<SigningKeys> {
    let master = ensure_keys(store, settings, &clock).await?;
    Ok(SigningKeys::open(store.clone(), master, clock, pool).await?)
}

/// Creates keys in a database without any, and returns the master key.
pub(crate) async fn ensure_keys(store: &Store, settings: &Settings, clock: &Clock) -> anyhow::Result<MasterKey> {
    let is_first = store.list_keys().await?.is_empty();
    let master = settings.master_key.load(is_first)?;
    if is_first {
        tracing::info!("first start: creating keys");
        let (sealing_key, now) = (master.clone(), clock.now());
        let keys = tokio::task::spawn_blocking(move || KeyRing::generate(&sealing_key, now)).await??;
        // If another process created keys first, those are kept.
        store.create_first_keys(&keys).await?;
    }
    Ok(master)
}
