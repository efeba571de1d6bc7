//! `tollgate snapshot export|inspect`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;
use tollgate_core::{RevocationKind, Snapshot};
use tollgate_model::encoding::{base64url, from_base64url};
use tollgate_services::revocation_feed::FeedResponder;
use tollgate_services::signing_keys::SigningPool;
use tollgate_system::Clock;
use tollgate_system::files::{self, Access};

use super::Session;

#[derive(Debug, clap::Subcommand)]
pub(super) enum SnapshotCommand {
    /// Write the current snapshot, for a CDN or a store from which edges start
    Export {
        /// File, or - for standard output without further text
        file: PathBuf,
    },
    /// Show the content of a snapshot, or why an edge would reject it
    Inspect {
        /// File
        file: PathBuf,
        /// Public key of its signature, as `tollgate key snapshot` prints it [default: this
        /// issuer's]
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
    /// Tokens of this issuing epoch and of earlier ones are covered; 0 when none are.
    epoch: u32,
    /// Revoked tokens, covered and listed.
    revoked: usize,
    covered: usize,
    listed: usize,
    sessions: usize,
    subjects: usize,
    clients: usize,
    revoked_keys: usize,
    /// Tokens issued before this Unix second are revoked; 0 when none are.
    before: u64,
    keys: usize,
    routes: usize,
    bytes: usize,
    /// Bytes of the data about covered tokens.
    covered_bytes: usize,
}

impl SnapshotCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            SnapshotCommand::Export { file } => export(session, &file).await,
            SnapshotCommand::Inspect { file, key } => {
                let pins = match key {
                    Some(key) => vec![parse_pin(&key)?],
                    None => session.keys().await?.snapshot_pins().to_vec(),
                };
                let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
                session.output.print(&inspect(bytes, &pins, &file)?, SnapshotView::to_text)
            }
        }
    }
}

async fn export(session: &Session, file: &Path) -> anyhow::Result<()> {
    let issuer = session.issuer().await?;
    let audience = crate::issuers::default_audience(&session.settings, &issuer)?;
    let (clock, pool) = (Clock::system(), SigningPool::start()?);
    let keys = crate::issuer_keys::open_shared_keys(&session.store, &session.settings, clock, pool).await?;
    let feed = FeedResponder::new(session.store.clone(), keys.clone(), issuer, audience);
    let snapshot = feed.export().await?;
    if file == Path::new("-") {
        return std::io::stdout().lock().write_all(&snapshot).context("cannot write to standard output");
    }
    files::replace(file, &snapshot, Access::Everyone).with_context(|| format!("cannot write {}", file.display()))?;
    let view = inspect(snapshot, keys.current().snapshot_pins(), file)?;
    session.output.print(&view, |view| format!("wrote {} bytes to {}", view.bytes, view.file))
}

impl SnapshotView {
    fn to_text(&self) -> String {
        let rows: [(&str, &dyn std::fmt::Display); 17] = [
            ("issuer", &self.issuer),
            ("audience", &self.audience),
            ("sequence", &self.sequence),
            ("as of, ms", &self.as_of_ms),
            ("epoch", &self.epoch),
            ("revoked", &self.revoked),
            ("  covered", &self.covered),
            ("  listed", &self.listed),
            ("sessions", &self.sessions),
            ("subjects", &self.subjects),
            ("clients", &self.clients),
            ("revoked keys", &self.revoked_keys),
            ("all before", &self.before),
            ("keys", &self.keys),
            ("routes", &self.routes),
            ("bytes", &self.bytes),
            ("  covered", &self.covered_bytes),
        ];
        rows.map(|(name, value)| format!("{name:14}{value}")).join("\n")
    }
}

/// Decodes a snapshot as an edge with these pinned keys does.
fn inspect(bytes: Vec<u8>, pins: &[[u8; 32]], file: &Path) -> anyhow::Result<SnapshotView> {
    let size = bytes.len();
    let snapshot =
        Snapshot::decode(bytes, pins).map_err(|error| anyhow::anyhow!("an edge would reject the snapshot: {error}"))?;
    Ok(SnapshotView {
        file: file.display().to_string(),
        issuer: snapshot.issuer().to_owned(),
        audience: snapshot.config().audience().to_owned(),
        sequence: snapshot.sequence(),
        as_of_ms: snapshot.as_of_ms(),
        chain: base64url(snapshot.chain().as_bytes()),
        epoch: snapshot.epoch(),
        revoked: snapshot.covered_revocation_count() + snapshot.count(RevocationKind::Token),
        covered: snapshot.covered_revocation_count(),
        listed: snapshot.count(RevocationKind::Token),
        sessions: snapshot.count(RevocationKind::Session),
        subjects: snapshot.count(RevocationKind::Subject),
        clients: snapshot.count(RevocationKind::Client),
        revoked_keys: snapshot.count(RevocationKind::Key),
        before: snapshot.everything_before().0,
        keys: snapshot.config().keys().len(),
        routes: snapshot.config().routes().len(),
        bytes: size,
        covered_bytes: snapshot.covered_bytes(),
    })
}

fn parse_pin(text: &str) -> anyhow::Result<[u8; 32]> {
    match from_base64url(text).and_then(|bytes| bytes.try_into().ok()) {
        Some(pin) => Ok(pin),
        None => bail!("--key must be 32 bytes in base64url"),
    }
}
