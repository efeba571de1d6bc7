//! `tollgate key list|rotate|import|revoke|audience|snapshot`

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::{Value, json};
use tollgate_keys::{ImportedKeyUse, KeyNotRevocable, PublicKey, parse_keys};
use tollgate_model::encoding::base64url;
use tollgate_model::text::escape_invisible;
use tollgate_model::{Audience, KeyPurpose, KeyState, Reason, StoredKey, TokenAlg};
use tollgate_services::admin::ScheduledKey;
use tollgate_system::{Clock, files};
use zeroize::Zeroizing;

use super::output::table;
use super::{Session, command_line_actor};

/// Bytes of a file with keys, at most.
const MAX_IMPORT_BYTES: u64 = 1024 * 1024;

#[derive(Debug, clap::Subcommand)]
pub(super) enum KeyCommand {
    /// List the keys, without private parts
    List {
        /// Include deleted keys
        #[arg(long)]
        all: bool,
    },
    /// Create the next key: published now, and used for signing after the publish-ahead time
    Rotate(RotateArgs),
    /// Import a key of another system with its kid, so that the tokens that it signed stay good
    Import(ImportArgs),
    /// Revoke a key at every edge and replace it
    Revoke {
        /// kid of the key, or of an audience's HS256 key
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Reason, for the list of revocations and the audit log
        #[arg(long)]
        reason: Option<Reason>,
    },
    /// Print the secret JWK that verifies HS256 tokens of an audience. It can also sign them: keep
    /// it secret
    Audience {
        /// Audience
        audience: Audience,
        /// Print a JWKS with all current keys of the audience, for TOLLGATE_EDGE_SECRET_KEYS
        #[arg(long)]
        jwks: bool,
    },
    /// Print the public key that edges pin, for TOLLGATE_EDGE_SNAPSHOT_KEY; during a rotation two,
    /// separated by a comma
    Snapshot,
}

#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// Rotate only the key of this algorithm: EdDSA, Ed25519, ES256, RS256, PS256 or HS256. The
    /// first keys for Ed25519 and PS256 are created in this way [default: all but HS256]
    #[arg(long)]
    alg: Option<TokenAlg>,
    /// Rotate the key that signs snapshots: the first run creates the next key, which you pin at
    /// every edge; a second run with --now uses it
    #[arg(long, conflicts_with = "alg")]
    snapshot: bool,
    /// Sign as soon as the key is published; caches and edges may not have it yet
    #[arg(long)]
    now: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// JWK, JWK set or PEM file with a private or public key; - for standard input
    file: PathBuf,
    /// kid that the tokens of the key have [default: that of the JWK]
    #[arg(long, allow_hyphen_values = true)]
    kid: Option<String>,
    /// Continue to sign with the key, which must be private: it replaces the key of its algorithm
    #[arg(long)]
    sign: bool,
    /// Seconds for which the key verifies tokens: as long as the last token that it signed lives
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, conflicts_with = "sign",
        value_parser = clap::value_parser!(u64).range(1..=31_622_400))]
    valid_for: u64,
}

/// Result of an import.
#[derive(Serialize)]
struct ImportedKeyView {
    kid: String,
    alg: String,
    /// `token` for a key that signs, `verify` for others.
    purpose: String,
    /// When it is forgotten; null for a key that signs.
    retires_at: Option<u64>,
}

/// Result of one key's rotation.
#[derive(Serialize)]
struct RotationView {
    kid: String,
    alg: String,
    purpose: String,
    /// The key was scheduled before.
    already: bool,
    published_at: Option<u64>,
    /// None before it is published, or until `--now`.
    signs_from: Option<u64>,
    /// Seconds between publication and first signature.
    ahead: u64,
}

#[derive(Serialize)]
struct RevokedKeyView {
    kid: String,
    already: bool,
    /// Keys that were created, or start to sign earlier, to replace it.
    replaced_by: Vec<String>,
}

impl KeyCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            KeyCommand::List { all } => list(session, all).await,
            KeyCommand::Rotate(args) => rotate(session, &args).await,
            KeyCommand::Import(args) => import(session, &args).await,
            KeyCommand::Revoke { kid, reason } => revoke(session, kid, reason).await,
            KeyCommand::Audience { audience, jwks } => {
                let keys = session.keys().await?;
                let key = keys.audience_key(&audience).context("the HS256 keys are being rotated: try again")?;
                let jwk = match jwks {
                    true => {
                        let all = keys.audience_keys(&audience);
                        json!({ "keys": all.iter().map(|key| key.to_secret_jwk()).collect::<Vec<_>>() })
                    }
                    false => json!(key.to_secret_jwk()),
                };
                // Without --json also JSON, on one line, as the setting requires.
                session.output.print(&jwk, Value::to_string)
            }
            KeyCommand::Snapshot => {
                let keys = session.keys().await?;
                let pins = keys.snapshot_pins().iter().map(|pin| base64url(pin)).collect::<Vec<_>>().join(",");
                session.output.print(&json!({ "snapshot_key": pins }), |_| pins.clone())
            }
        }
    }
}

async fn list(session: &Session, all: bool) -> anyhow::Result<()> {
    let (keys, now) = (session.keys().await?, Clock::system().now());
    let shown: Vec<&PublicKey> = keys.listing().iter().filter(|key| all || key.state != KeyState::Gone).collect();
    session.output.print(&shown, |shown| {
        let moment = |at: Option<u64>| at.map_or("-".to_owned(), |at| relative_time(at, now));
        let row = |key: &&PublicKey| {
            let [kid, alg, purpose] = [&key.kid, &key.alg, &key.purpose].map(Clone::clone);
            let [created, signs, retires] = [Some(key.created_at), key.signs_from, key.retires_at].map(moment);
            [kid, alg, purpose, key.state.as_str().to_owned(), created, signs, retires]
        };
        let heading = ["KID", "ALG", "PURPOSE", "STATE", "CREATED", "SIGNS FROM", "LAST TOKEN ENDS"];
        table(heading, &shown.iter().map(row).collect::<Vec<_>>())
    })
}

async fn rotate(session: &Session, args: &RotateArgs) -> anyhow::Result<()> {
    session.issuer().await?;
    let master = session.master_key().await?;
    let kinds = match args.snapshot {
        true => vec![(KeyPurpose::Snapshot, TokenAlg::EdDsa)],
        false => session.registry()?.token_key_kinds(args.alg).await?,
    };
    let ahead = if args.now { 0 } else { session.settings.keys.ahead };
    let scheduled = session.registry()?.schedule_keys(&command_line_actor(), &master, &kinds, ahead).await?;
    let views: Vec<RotationView> = scheduled.into_iter().map(RotationView::from).collect();
    session.output.print(&views, |views| views.iter().map(RotationView::to_text).collect::<Vec<_>>().join("\n"))
}

async fn import(session: &Session, args: &ImportArgs) -> anyhow::Result<()> {
    session.issuer().await?;
    let read = match args.file.to_str() {
        Some("-") => files::read_text(std::io::stdin(), MAX_IMPORT_BYTES),
        _ => File::open(&args.file).and_then(|file| files::read_text(file, MAX_IMPORT_BYTES)),
    };
    let file = Zeroizing::new(read.with_context(|| format!("cannot read {}", args.file.display()))?);
    let (keys, others) = parse_keys(&file).with_context(|| args.file.display().to_string())?;
    if keys.len() > 1 && (args.kid.is_some() || args.sign) {
        bail!("the file has {} keys: --kid and --sign are for a file with one", keys.len());
    }
    let (master, now) = (session.master_key().await?, Clock::system().now());
    let usage = match args.sign {
        true => ImportedKeyUse::Sign,
        false => ImportedKeyUse::Verify { until: now.saturating_add(args.valid_for) },
    };
    let stored = keys.iter().map(|key| key.to_stored(&master, args.kid.as_deref(), usage, now));
    let stored: Vec<StoredKey> = stored.collect::<Result<_, _>>()?;
    let stored = session.registry()?.import_keys(&command_line_actor(), stored).await?;
    for other in others {
        eprintln!("not imported: {}", escape_invisible(&other));
    }
    let view = |key: StoredKey| {
        let StoredKey { kid, alg, purpose, retires_at, .. } = key;
        ImportedKeyView { kid, alg, purpose, retires_at }
    };
    let views: Vec<ImportedKeyView> = stored.into_iter().map(view).collect();
    session.output.print(&views, |views| {
        let text = |view: &ImportedKeyView| match view.retires_at {
            Some(at) => {
                format!("{} {}: verifies tokens, the last of which ends {}", view.alg, view.kid, relative_time(at, now))
            }
            None => format!("{} {}: signs once a server has published it", view.alg, view.kid),
        };
        views.iter().map(text).collect::<Vec<_>>().join("\n")
    })
}

async fn revoke(session: &Session, kid: String, reason: Option<Reason>) -> anyhow::Result<()> {
    session.issuer().await?;
    let (master, keys, policy) = (session.master_key().await?, session.keys().await?, session.settings.keys);
    keys.check_revocable(&kid).map_err(|error| explain_not_revocable(&kid, &error))?;
    let (registry, by) = (session.registry()?, command_line_actor());
    let revoked = registry.revoke_and_replace_key(&by, &master, &keys, policy, &kid, reason).await?;
    let replaced_by = revoked.replaced_by.into_iter().map(|key| key.kid).collect();
    let view = RevokedKeyView { kid, already: revoked.was_revoked, replaced_by };
    session.output.print(&view, |view| match view.already {
        true => format!("key {} was already revoked", view.kid),
        false => format!("revoked key {}", view.kid),
    })
}

/// Adds what to do instead.
fn explain_not_revocable(kid: &str, error: &KeyNotRevocable) -> anyhow::Error {
    let help = match error {
        KeyNotRevocable::SignsNoTokens(purpose) if purpose == "derive" => {
            ": replace it with `tollgate key rotate --alg HS256 --now` and revoke the keys of its audiences, by the kid that \
             `tollgate key audience` shows"
        }
        KeyNotRevocable::SignsNoTokens(_) => ": see `tollgate key rotate --help`",
        KeyNotRevocable::Unknown => return anyhow::anyhow!("key {kid} does not exist: see `tollgate key list`"),
    };
    anyhow::anyhow!("{error}{help}")
}

impl From<ScheduledKey> for RotationView {
    fn from(scheduled: ScheduledKey) -> RotationView {
        let StoredKey { kid, alg, purpose, published_at, signs_from, ahead, .. } = scheduled.key;
        RotationView { kid, alg, purpose, already: scheduled.was_scheduled, published_at, signs_from, ahead }
    }
}

impl RotationView {
    fn to_text(&self) -> String {
        let when = match (self.signs_from, self.purpose.as_str()) {
            (Some(from), _) => format!("signs {}", relative_time(from, Clock::system().now())),
            (None, "snapshot") => {
                "signs snapshots once you pin it at every edge (see `tollgate key snapshot`) and run \
                `tollgate key rotate --snapshot --now`"
                    .to_owned()
            }
            (None, _) => format!("signs {} after a server has published it", duration(self.ahead)),
        };
        let already = if self.already { ", as scheduled before" } else { "" };
        format!("{} {}: {when}{already}", self.alg, self.kid)
    }
}

/// A time relative to now.
fn relative_time(at: u64, now: u64) -> String {
    match at.checked_sub(now) {
        Some(0) => "now".to_owned(),
        Some(ahead) => format!("in {}", duration(ahead)),
        None => format!("{} ago", duration(now - at)),
    }
}

/// A duration in its largest unit.
fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
