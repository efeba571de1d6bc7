//! `tollgate snapshot export|inspect`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tollgate_core::Snapshot;

use super::Session;
use crate::ambient;
use crate::encoding::{base64url, from_base64url};
use crate::feed::Publisher;

#[derive(Debug, clap::Subcommand)]
pub(super) enum SnapshotCommand {
    /// Write the snapshot as of now, for a CDN or a store that edges start from
    Export {
        /// The file, or - for standard output, which then gets nothing else
        file: PathBuf,
    },
    /// Say what is in a snapshot, or why an edge would refuse it
    Inspect {
        /// The file
        file: PathBuf,
        /// The key that must have signed it, as `tollgate key snapshot` prints it [default: this origin's]
        #[arg(long)]
        key: Option<String>,
    },
}

#[derive(Serialize)]
struct SnapshotView {
    file: String,
    issuer: String,
    audience: String,
    sequence: u64,
    as_of_ms: u64,
    chain: String,
    revoked: usize,
    keys: usize,
    routes: usize,
    bytes: usize,
}

impl SnapshotCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            SnapshotCommand::Export { file } => export(session, &file).await,
            SnapshotCommand::Inspect { file, key } => {
                let pin = match key {
                    Some(key) => pin(&key)?,
                    None => session.keys().await?.snapshot_signer().public_key(),
                };
                let bytes = std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
                session.output.print(&look_into(bytes, pin, &file)?, |view| {
                    format!(
                        "issuer    {}\naudience  {}\nsequence  {}\nas of     {} ms\nrevoked   {}\nkeys      {}\nroutes    {}\nbytes     {}",
                        view.issuer, view.audience, view.sequence, view.as_of_ms, view.revoked, view.keys, view.routes, view.bytes,
                    )
                })
            }
        }
    }
}

async fn export(session: &Session, file: &Path) -> anyhow::Result<()> {
    let issuer = session.issuer().await?;
    let audience = crate::server::default_audience(&session.settings, &issuer)?;
    let keys = Arc::new(session.keys().await?);
    let publisher = Publisher::new(session.store.clone(), Arc::clone(&keys), issuer, audience);
    let snapshot = publisher.snapshot(ambient::now_ms()).await?;
    if file == Path::new("-") {
        return std::io::stdout().lock().write_all(&snapshot.bytes).context("standard output");
    }
    std::fs::write(file, &snapshot.bytes).with_context(|| format!("{} cannot be written", file.display()))?;
    let view = look_into(snapshot.bytes.clone(), keys.snapshot_signer().public_key(), file)?;
    session.output.print(&view, |view| format!("wrote {} bytes to {}", view.bytes, view.file))
}

/// What an edge that pins the key `pin` finds in a snapshot.
fn look_into(bytes: Vec<u8>, pin: [u8; 32], file: &Path) -> anyhow::Result<SnapshotView> {
    let size = bytes.len();
    let snapshot =
        Snapshot::decode(bytes, &[pin]).map_err(|error| anyhow::anyhow!("an edge would refuse it: {error}"))?;
    Ok(SnapshotView {
        file: file.display().to_string(),
        issuer: snapshot.issuer().to_owned(),
        audience: snapshot.config().audience().to_owned(),
        sequence: snapshot.sequence(),
        as_of_ms: snapshot.as_of_ms(),
        chain: base64url(snapshot.chain().as_bytes()),
        revoked: snapshot.revoked_count(),
        keys: snapshot.config().keys().len(),
        routes: snapshot.config().routes().len(),
        bytes: size,
    })
}

fn pin(text: &str) -> anyhow::Result<[u8; 32]> {
    match from_base64url(text).and_then(|bytes| bytes.try_into().ok()) {
        Some(pin) => Ok(pin),
        None => bail!("--key must be 32 bytes in base64url"),
    }
}
