//! The newest snapshot in Workers KV, for cold starts. It never makes a replica fresh, because KV
//! may be a minute behind.
//!
//! ```text
//! tollgate/snapshot/v2             JSON: id, bytes, written_at_ms
//! tollgate/snapshot/v2/ID/NUMBER   a part of the snapshot; all but the last have the same size
//! ```
//! The parts are written first. So a reader finds either the whole snapshot or an older one. Parts
//! expire by themselves.
//!
//! Never: more than one snapshot a minute. The directory writes, or each isolate if there are no
//! hubs, and both look at the time of the last write.

use std::cell::{Cell, RefCell};

use serde_json::{Value, json};
use tollgate_gate::{Gate, MAX_FETCH_BYTES};
use worker::{
    Env, console_error,
    kv::{KvError, KvStore},
};

use crate::{
    now_ms,
    protocol::{id_text, snapshot_id},
};

/// Optional KV namespace.
const BINDING: &str = "TOLLGATE_KV";
/// Key of the newest snapshot. A new format needs a new key.
const SNAPSHOT_KEY: &str = "tollgate/snapshot/v2";
/// A value in KV has at most 25 MiB.
const PART_BYTES: usize = 20 << 20;
/// Minimum interval between two snapshots.
const MIN_WRITE_INTERVAL_MS: u64 = 60_000;
/// Age at which the same snapshot is written again, long before its parts expire.
const REWRITE_AFTER_MS: u64 = 7 * 86_400_000;
const PART_LIFETIME_SECONDS: u64 = 30 * 86_400;

/// The entry under [`SNAPSHOT_KEY`].
struct Entry {
    id: String,
    bytes: usize,
    written_at_ms: u64,
}

/// Installs the stored snapshot, if KV is bound and has one.
pub(crate) async fn load_snapshot(gate: &mut Gate, env: &Env) {
    let Some(kv) = kv(env) else { return };
    match read(&kv).await {
        Ok(Some(snapshot)) => {
            if let Err(error) = gate.warm(&snapshot) {
                console_error!("tollgate: the stored snapshot was refused: {error}");
            }
        }
        Ok(None) => {}
        Err(error) => console_error!("tollgate: {BINDING} cannot be read: {error}"),
    }
}

/// Stores the gate's snapshot for the next cold start, if KV is bound, does not have it, and got
/// none in the last minute. Without it, a cold start takes some milliseconds longer.
pub(crate) async fn store_snapshot(gate: &RefCell<Gate>, last_check_ms: &Cell<u64>, env: &Env) {
    let Some(id) = gate.borrow().snapshot().and_then(snapshot_id).map(|id| id_text(&id)) else { return };
    let is_due = now_ms().abs_diff(last_check_ms.get()) >= MIN_WRITE_INTERVAL_MS;
    let Some(kv) = kv(env).filter(|_| is_due) else { return };
    last_check_ms.set(now_ms());
    let result = async {
        let stored = read_entry(&kv).await?;
        let age_ms = stored.as_ref().map_or(u64::MAX, |entry| now_ms().abs_diff(entry.written_at_ms));
        let is_same = stored.is_some_and(|entry| entry.id == id);
        let min_age_ms = if is_same { REWRITE_AFTER_MS } else { MIN_WRITE_INTERVAL_MS };
        if age_ms >= min_age_ms { write(&kv, gate, &id).await } else { Ok(()) }
    };
    if let Err(error) = result.await {
        console_error!("tollgate: the snapshot cannot be written to {BINDING}: {error}");
    }
}

fn kv(env: &Env) -> Option<KvStore> {
    env.kv(BINDING).ok()
}

async fn read_entry(kv: &KvStore) -> Result<Option<Entry>, KvError> {
    let Some(text) = kv.get(SNAPSHOT_KEY).text().await? else { return Ok(None) };
    let entry: Value = serde_json::from_str(&text)?;
    let parse = || {
        Some(Entry {
            id: entry["id"].as_str()?.to_owned(),
            bytes: usize::try_from(entry["bytes"].as_u64()?).ok().filter(|bytes| *bytes <= MAX_FETCH_BYTES)?,
            written_at_ms: entry["written_at_ms"].as_u64()?,
        })
    };
    Ok(parse())
}

async fn read(kv: &KvStore) -> Result<Option<Vec<u8>>, KvError> {
    let Some(Entry { id, bytes, .. }) = read_entry(kv).await? else { return Ok(None) };
    let mut snapshot = Vec::with_capacity(bytes);
    for part in 0..bytes.div_ceil(PART_BYTES) {
        let Some(part) = kv.get(&part_key(&id, part)).bytes().await? else { return Ok(None) };
        snapshot.extend(part);
    }
    Ok((snapshot.len() == bytes).then_some(snapshot))
}

/// Writes the gate's snapshot, unless it is replaced meanwhile.
async fn write(kv: &KvStore, gate: &RefCell<Gate>, id: &str) -> Result<(), KvError> {
    let mut bytes = 0;
    for number in 0.. {
        let put = {
            let gate = gate.borrow();
            let snapshot = gate.snapshot().unwrap_or_default();
            if snapshot_id(snapshot).is_none_or(|current| id_text(&current) != id) {
                return Ok(());
            }
            bytes = snapshot.len();
            let Some(part) = snapshot.chunks(PART_BYTES).nth(number) else { break };
            kv.put_bytes(&part_key(id, number), part)?.expiration_ttl(PART_LIFETIME_SECONDS)
        };
        put.execute().await?;
    }
    let entry = json!({ "id": id, "bytes": bytes, "written_at_ms": now_ms() }).to_string();
    kv.put(SNAPSHOT_KEY, entry)?.execute().await
}

fn part_key(id: &str, number: usize) -> String {
    format!("{SNAPSHOT_KEY}/{id}/{number}")
}
