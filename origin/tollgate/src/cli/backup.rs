//! `tollgate backup create|verify` and `tollgate restore`

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;
use tollgate_config::{MasterKeySource, Settings};
use tollgate_keys::{BackupPassphrase, MasterKey};
use tollgate_services::backup::{BackupSummary, master_key_of, restore_backup, verify_backup, write_backup};
use tollgate_storage::{RestoreMode, StoreError};
use tollgate_system::Clock;
use tollgate_system::files::{self, Access, NewFile};
use zeroize::Zeroizing;

use super::output::Output;
use super::{Session, command_line_actor};

#[derive(Debug, clap::Subcommand)]
pub(super) enum BackupCommand {
    /// Write an encrypted backup of the database, while the origin runs
    ///
    /// The backup contains everything in the database, the signing keys encrypted with the master
    /// key as they are there. It does not contain the master key, unless --with-keys is given: keep
    /// the key file as well, in another place. Settings are not in it.
    Create {
        /// New file, or - for standard output
        file: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseFlag,
        /// Include the master key: then the passphrase alone protects the signing keys
        #[arg(long)]
        with_keys: bool,
    },
    /// Decrypt and check a backup from its first to its last byte, without a database
    Verify {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseFlag,
    },
}

/// The passphrase of a backup.
#[derive(Debug, clap::Args)]
pub(super) struct PassphraseFlag {
    /// File with the passphrase, at least 12 bytes; a random one: openssl rand -base64 32
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
}

/// Flags of `tollgate restore`.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreFlags {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFlag,
    /// Replace the content of a database that is not empty
    #[arg(long)]
    force: bool,
    /// The origin was stopped before the backup was made and has not run since: keep tokens and
    /// sessions valid. Without this flag they end, because what was revoked or used up after the
    /// backup is not known any more
    #[arg(long)]
    moved: bool,
}

/// Result of `backup create` and `backup verify`.
#[derive(Serialize)]
struct BackupView {
    file: String,
    #[serde(flatten)]
    summary: BackupSummary,
}

/// Result of `restore`.
#[derive(Serialize)]
struct RestoreView {
    #[serde(flatten)]
    backup: BackupView,
    /// Sequence at which the revocation log continues.
    sequence: u64,
    /// Tokens issued before this Unix second are revoked; null if all stay valid.
    revoked_before: Option<u64>,
    /// Whether the master key of this installation opens the signing keys.
    opens_keys: bool,
}

impl PassphraseFlag {
    fn read(&self) -> anyhow::Result<BackupPassphrase> {
        let path = &self.passphrase_file;
        let read = files::read_secret(path);
        let text = Zeroizing::new(read.with_context(|| format!("cannot read the passphrase in {}", path.display()))?);
        BackupPassphrase::parse(&text).with_context(|| path.display().to_string())
    }
}

impl BackupCommand {
    /// Opens the database only if it is needed.
    pub(super) async fn run(self, settings: Settings, output: Output, issuer: Option<String>) -> anyhow::Result<()> {
        match self {
            BackupCommand::Create { file, passphrase, with_keys } => {
                let passphrase = passphrase.read()?;
                let session = Session::open(settings, output, issuer).await?;
                let result = create(&session, &file, &passphrase, with_keys).await;
                session.store.close().await;
                result
            }
            BackupCommand::Verify { file, passphrase } => {
                let summary = verify_backup(open_file(&file)?, &passphrase.read()?).await;
                let view = BackupView::new(&file, summary.with_context(|| file.display().to_string())?);
                output.print(&view, |view| format!("the backup is complete and undamaged\n{}", view.to_text()))
            }
        }
    }
}

async fn create(session: &Session, file: &Path, passphrase: &BackupPassphrase, with_keys: bool) -> anyhow::Result<()> {
    let made_at = Clock::system().now();
    let master_key = if with_keys { Some(session.settings.master_key.load(false)?) } else { None };
    let (store, key) = (&session.store, master_key.as_ref());
    let progress = |table: &str| report(&format!("reading {table}"));
    if file == Path::new("-") {
        let (summary, mut stdout) = write_backup(store, made_at, std::io::stdout(), passphrase, key, progress).await?;
        stdout.flush().context("cannot write to standard output")?;
        let view = BackupView::new(file, summary);
        report(&if session.output.is_json() { serde_json::to_string(&view)? } else { view.to_text() });
        return Ok(());
    }
    let new = NewFile::create(file, Access::Owner).with_context(|| format!("cannot write {}", file.display()))?;
    let (summary, new) = write_backup(store, made_at, new, passphrase, key, progress).await?;
    new.publish().with_context(|| format!("cannot write {}", file.display()))?;
    session.output.print(&BackupView::new(file, summary), BackupView::to_text)
}

/// Reports progress. A closed standard error stops neither a backup nor a restore.
fn report(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn open_file(path: &Path) -> anyhow::Result<impl Read + use<>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !file.metadata()?.is_file() {
        bail!("{} is no file: a backup is read twice, so it cannot come from a pipe", path.display());
    }
    Ok(BufReader::new(file))
}

impl RestoreFlags {
    /// Checks the whole backup before the database is opened.
    pub(super) async fn run(self, settings: Settings, output: Output, issuer: Option<String>) -> anyhow::Result<()> {
        let (file, passphrase) = (&self.file, self.passphrase.read()?);
        report("checking the backup");
        let summary = verify_backup(open_file(file)?, &passphrase).await;
        let summary = summary.with_context(|| file.display().to_string())?;
        check_issuer(&settings, issuer.as_deref(), &summary)?;
        let master_key = master_key_of(open_file(file)?, &passphrase)?;
        let session = Session::open(settings, output, issuer).await?;
        let result = self.restore(&session, &passphrase, master_key).await;
        session.store.close().await;
        result
    }

    async fn restore(
        &self,
        session: &Session,
        passphrase: &BackupPassphrase,
        master_key: Option<MasterKey>,
    ) -> anyhow::Result<()> {
        // Nothing is written for a restore that is refused.
        if !self.force && !session.store.is_empty().await? {
            return Err(StoreError::NotEmpty.into());
        }
        if let Some(key) = master_key {
            install_master_key(&session.settings.master_key, &key)?;
        }
        let mode = if self.moved { RestoreMode::Moved } else { RestoreMode::AfterLoss };
        let (source, by) = (open_file(&self.file)?, command_line_actor());
        let progress = |table: &str| report(&format!("writing {table}"));
        let (summary, restored) =
            restore_backup(&session.store, source, passphrase, (mode, self.force), &by, progress).await?;
        let view = RestoreView {
            backup: BackupView::new(&self.file, summary),
            sequence: restored.sequence,
            revoked_before: restored.revoked_before,
            opens_keys: session.settings.master_key.load(false).is_ok() && session.keys().await.is_ok(),
        };
        session.output.print(&view, RestoreView::to_text)
    }
}

/// An origin refuses the database of another issuer: says so before anything is restored.
fn check_issuer(settings: &Settings, issuer: Option<&str>, summary: &BackupSummary) -> anyhow::Result<()> {
    match &settings.public_url {
        Some(wanted) if issuer.is_none() && *wanted != summary.issuer => {
            bail!("the backup is of the issuer {}, and TOLLGATE_PUBLIC_URL is {wanted}", summary.issuer)
        }
        _ => Ok(()),
    }
}

/// Writes the master key of a backup to the key file, unless it is there.
fn install_master_key(source: &MasterKeySource, key: &MasterKey) -> anyhow::Result<()> {
    if let MasterKeySource::File { path, .. } = source
        && !path.exists()
    {
        let text = Zeroizing::new(format!("{}\n", &*key.to_text()));
        let created = files::create(path, text.as_bytes(), Access::Owner);
        created.with_context(|| format!("cannot write the master key to {}", path.display()))?;
        report(&format!("wrote the master key to {}", path.display()));
        return Ok(());
    }
    if *source.load(false)?.to_text() != *key.to_text() {
        bail!("this installation has another master key than the backup: move it away first, nothing was changed");
    }
    Ok(())
}

impl BackupView {
    fn new(file: &Path, summary: BackupSummary) -> BackupView {
        BackupView { file: file.display().to_string(), summary }
    }

    fn to_text(&self) -> String {
        let BackupSummary { issuer, program, made_at, schema, has_master_key, tables, rows } = &self.summary;
        let count = |table: &str| tables.get(table).copied().unwrap_or(0);
        let key = match has_master_key {
            true => "included: the passphrase protects the signing keys",
            false => "not included: keep the key file as well",
        };
        let lines: [(&str, String); 9] = [
            ("file", self.file.clone()),
            ("issuer", issuer.clone()),
            ("made at", made_at.to_string()),
            ("release", format!("{program}, schema {schema}")),
            ("master key", key.to_owned()),
            ("clients", count("clients").to_string()),
            ("users", count("users").to_string()),
            ("tokens", count("tokens").to_string()),
            ("rows", rows.to_string()),
        ];
        lines.map(|(name, value)| format!("{name:12}{value}")).join("\n")
    }
}

impl RestoreView {
    fn to_text(&self) -> String {
        let access = match self.revoked_before {
            Some(time) => format!(
                "Everything issued before {time} is refused: users sign in again, clients get new tokens.\n\
                 Repeat what was disabled, revoked or changed after the backup."
            ),
            None => "Tokens and sessions stay valid.".to_owned(),
        };
        let keys = match self.opens_keys {
            true => "The master key opens the signing keys: start the origin.",
            false => "The master key does NOT open the signing keys: put the key file of the backup in place first.",
        };
        format!("restored\n{}\n{access}\n{keys}", self.backup.to_text())
    }
}
