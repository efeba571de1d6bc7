//! What the checks look at: the settings, the database, and the addresses of origin and edges.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::timeout;
use tollgate_config::{Settings, Sources};
use tollgate_model::error_chain::with_causes;
use tollgate_storage::{MigrationStatus, Store, StoreError};
use tollgate_system::Clock;

use super::http::{self, Answer, NoAnswer};
use crate::cli::health::reachable;

/// Longer than the database takes to refuse a connection.
const OPEN_TIMEOUT: Duration = Duration::from_secs(8);

pub(super) struct Deployment {
    pub(super) sources: Sources,
    pub(super) settings: Settings,
    pub(super) settings_file: PathBuf,
    /// The issuer by the settings, if they name one or the port that they listen on.
    pub(super) issuer: String,
    /// Where the running origin is asked.
    pub(super) url: String,
    /// URLs of edges given as flags.
    pub(super) edge_urls: Vec<String>,
    pub(super) clock: Clock,
    pub(super) http: reqwest::Client,
    /// How far the schema of the database is.
    pub(super) migrations: Result<MigrationStatus, String>,
    /// The database. None while it cannot be used without a migration, which a check must not make.
    pub(super) store: Option<Store>,
}

impl Deployment {
    pub(super) async fn open(
        sources: Sources,
        settings: Settings,
        settings_file: PathBuf,
        url: Option<String>,
        edge_urls: Vec<String>,
    ) -> anyhow::Result<Deployment> {
        let http = http::client().context("cannot create an HTTP client")?;
        let listened = settings.url(reachable(settings.listen));
        let issuer = settings.public_url.clone().unwrap_or_else(|| listened.clone());
        let url = url.map_or_else(|| issuer.clone(), |url| url.trim_end_matches('/').to_owned());
        let migrations = bounded(MigrationStatus::read(&settings.database_url)).await;
        let is_current = migrations.as_ref().is_ok_and(|status| status.schema.is_some() && status.pending.is_empty());
        let store = match is_current {
            true => bounded(Box::pin(Store::open(&settings.database_url))).await.ok(),
            false => None,
        };
        let clock = Clock::system();
        Ok(Deployment { sources, settings, settings_file, issuer, url, edge_urls, clock, http, migrations, store })
    }

    pub(super) async fn get(&self, url: &str) -> Result<Answer, NoAnswer> {
        http::send(self.http.get(url), &self.clock).await
    }

    /// Whether the settings contain a value of this name.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.sources.get(name).is_some()
    }

    /// URLs of the edges of the flags and of the registered ones, once each.
    pub(super) async fn all_edge_urls(&self) -> Vec<String> {
        let registered = match &self.store {
            Some(store) => store.list_edges().await.unwrap_or_default(),
            None => Vec::new(),
        };
        let given = self.edge_urls.iter().map(|url| url.trim_end_matches('/').to_owned());
        let mut urls: Vec<String> = given.chain(registered.iter().map(|edge| edge.url.to_string())).collect();
        urls.sort();
        urls.dedup();
        urls
    }
}

async fn bounded<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, String> {
    match timeout(OPEN_TIMEOUT, work).await {
        Ok(result) => result.map_err(|error| with_causes(&error)),
        Err(_) => Err(format!("no answer within {} s", OPEN_TIMEOUT.as_secs())),
    }
}
