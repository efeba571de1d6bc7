//! `tollgate snapshot export|inspect`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tollgate_core::Snapshot;

use super::Session;
use super::output::{OutputFlags, line};
use crate::ambient;
use crate::encoding::{base64url, from_base64url};
use crate::feed::Publisher;

#[derive(Debug, clap::Subcommand)]
pub(super) enum SnapshotCommand {
    /// Write the snapshot as of now, for a CDN or a store that edges start from
    Export {
        /// The file, or - for standard output
        file: PathBuf,
    },
    /// Say what is in a snapshot, or why an edge would refuse it
    Inspect {
        /// The file
        file: PathBuf,
        /// The key that must have signed it, as `tollgate key snapshot` prints it [default: this origin's]
        #[arg(long)]
        key: Option<String>,
        #[command(flatten)]
        output: OutputFlags,
    },
}

#[derive(Serialize)]
struct SnapshotView {
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
            SnapshotCommand::Inspect { file, key, output } => {
                let pin = match key {
                    Some(key) => pin(&key)?,
                    None => session.keys().await?.snapshot_signer().public_key(),
                };
                output.print(&inspect(&file, pin)?, |view| {
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
    let publisher = Publisher::new(session.store.clone(), keys, issuer, audience);
    let snapshot = publisher.snapshot(ambient::now_ms()).await?;
    if file == Path::new("-") {
        return std::io::stdout().lock().write_all(&snapshot.bytes).context("standard output");
    }
    std::fs::write(file, &snapshot.bytes).with_context(|| format!("{} cannot be written", file.display()))?;
    line(&format!("wrote {} bytes to {}", snapshot.bytes.len(), file.display()))
}

fn inspect(file: &Path, pin: [u8; 32]) -> anyhow::Result<SnapshotView> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let size = bytes.len();
    let snapshot =
        Snapshot::decode(bytes, &[pin]).map_err(|error| anyhow::anyhow!("an edge would refuse it: {error}"))?;
    Ok(SnapshotView {
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
