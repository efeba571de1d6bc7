//! An origin in this process.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tempfile::TempDir;
use tollgate::Server;
use tollgate_config::Settings;
use tollgate_keys::KeyRing;
use tollgate_model::Audience;
use tollgate_system::Clock;

use crate::environment::{free_port, install_tls_provider, programs_dir};
use crate::secret_leaks::LogMonitor;
use crate::token_factory::TokenFactory;

/// Audience of the tokens in all tests.
pub const AUDIENCE: &str = "https://api.example";

/// A running origin, by default on SQLite in a temporary folder. Its log is checked for secrets.
pub struct TestOrigin {
    /// The running server.
    pub server: Server,
    /// Its settings, for CLI commands on the same database.
    pub settings: Vec<(&'static str, String)>,
    /// HTTP client that follows no redirects.
    pub http: reqwest::Client,
    folder: TempDir,
    _log_monitor: LogMonitor,
}

impl TestOrigin {
    /// Starts an origin with default settings.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts an origin with these settings, added to the defaults or in place of them. With a TLS
    /// certificate, it serves HTTPS.
    pub async fn start_with(more: &[(&'static str, &str)]) -> Result<Self> {
        Self::start_with_clock(more, Clock::system()).await
    }

    /// Starts as [`TestOrigin::start_with`] does, with a clock that the test can set.
    pub async fn start_with_clock(more: &[(&'static str, &str)], clock: Clock) -> Result<Self> {
        install_tls_provider();
        let log_monitor = LogMonitor::start();
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let is_https = more.iter().any(|(name, _)| *name == "TOLLGATE_TLS_CERTIFICATE");
        let scheme = if is_https { "https" } else { "http" };
        let mut settings = vec![
            ("TOLLGATE_LISTEN", format!("127.0.0.1:{port}")),
            ("TOLLGATE_PUBLIC_URL", format!("{scheme}://127.0.0.1:{port}")),
            ("TOLLGATE_DATABASE_URL", format!("sqlite://{}", folder.path().join("origin.db").display())),
            ("TOLLGATE_MASTER_KEY_FILE", folder.path().join("master.key").display().to_string()),
            ("TOLLGATE_AUDIENCE", AUDIENCE.to_owned()),
        ];
        settings.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let server = Box::pin(Server::start_with_clock(Settings::from_pairs(settings.clone())?, clock)).await?;
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { server, settings, http, folder, _log_monitor: log_monitor })
    }

    /// URL of a path at this origin.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url())
    }

    /// URL of its database.
    pub fn database_url(&self) -> &str {
        let url = self.settings.iter().find(|(name, _)| *name == "TOLLGATE_DATABASE_URL");
        &url.expect("every origin has a database").1
    }

    /// Runs a CLI command on this origin's database and returns its standard output.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        self.cli_with(arguments, "")
    }

    /// Runs a CLI command with this standard input.
    pub fn cli_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(programs_dir().join("tollgate"));
        command.args(arguments).envs(self.settings.clone()).current_dir(self.folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // A command that reads no input may have exited already.
        let _ = child.stdin.take().context("standard input")?.write_all(input.as_bytes());
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("tollgate {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Registers a client with RFC 7591 metadata by the CLI, and returns its secret, if it has one.
    pub fn client(&self, id: &str, metadata: &Value) -> Result<Option<String>> {
        let created =
            self.cli(&["client", "create", "--json", "--id", id, "--name", id, "--metadata", &metadata.to_string()])?;
        let created: Value = serde_json::from_str(&created)?;
        Ok(created["client_secret"].as_str().map(str::to_owned))
    }

    /// Creates a user who can sign in. `claims`: such as `name` and `email`.
    pub fn user(&self, name: &str, password: &str, claims: &Value) -> Result<()> {
        let claims = claims.to_string();
        self.cli_with(&["user", "create", name, "--password-stdin", "--claims", &claims], password).map(drop)
    }

    /// This origin's keys.
    pub async fn open_keys(&self) -> Result<KeyRing> {
        let settings = Settings::from_pairs(self.settings.clone())?;
        tollgate::open_keys(self.server.store(), &settings).await
    }

    /// A token factory with this origin's keys.
    pub async fn token_factory(&self) -> Result<TokenFactory> {
        let keys = self.open_keys().await?;
        Ok(TokenFactory::new(keys, self.server.issuer(), AUDIENCE.parse::<Audience>()?))
    }

    /// Settings for an edge of this origin.
    pub async fn edge_settings(&self, upstream: &str) -> Result<BTreeMap<&'static str, String>> {
        let keys = self.open_keys().await?;
        Ok(BTreeMap::from([
            ("TOLLGATE_EDGE_LISTEN", "127.0.0.1:0".to_owned()),
            ("TOLLGATE_EDGE_ORIGIN", self.server.url()),
            ("TOLLGATE_EDGE_UPSTREAM", upstream.to_owned()),
            ("TOLLGATE_EDGE_SNAPSHOT_KEY", URL_SAFE_NO_PAD.encode(keys.snapshot_signer().public_key())),
            ("TOLLGATE_EDGE_SECRET_KEYS", self.token_factory().await?.secret_jwks()),
        ]))
    }
}
