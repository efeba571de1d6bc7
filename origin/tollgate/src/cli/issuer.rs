//! `tollgate issuer add|list|remove`

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use tollgate_config::checked_database_url;
use tollgate_keys::KeyRing;
use tollgate_model::{Issuer, IssuerName, IssuerUrl};
use tollgate_storage::Store;
use tollgate_system::Clock;

use super::Session;
use super::output::table;
use crate::issuers::{check_is_new, issuer_settings};

#[derive(Debug, clap::Subcommand)]
pub(super) enum IssuerCommand {
    /// Add an issuer with its own keys, clients, users and rules; a running server starts it
    Add(AddArgs),
    /// List the issuers
    List,
    /// Stop serving an issuer; its database is kept
    Remove {
        /// Name
        name: IssuerName,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Name, also for --issuer of other commands
    name: IssuerName,
    /// Issuer URL, with a host or path of its own [default: the default issuer's URL followed by
    /// /NAME]
    #[arg(long, value_name = "URL")]
    url: Option<IssuerUrl>,
    /// Database URL [default: a SQLite file in the folder of the default issuer's, or a PostgreSQL
    /// schema in its database]
    #[arg(long = "database", value_name = "URL")]
    database: Option<String>,
}

#[derive(Serialize)]
struct IssuerView {
    /// None for the default issuer.
    name: Option<IssuerName>,
    issuer: String,
    /// Database URL without secrets.
    database: String,
    created_at: Option<u64>,
}

impl IssuerCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            IssuerCommand::Add(args) => Box::pin(add(session, args)).await,
            IssuerCommand::List => list(session).await,
            IssuerCommand::Remove { name } => {
                if !session.store.delete_issuer(&name).await? {
                    bail!("issuer {name} does not exist");
                }
                session.output.print(&json!({ "name": name.as_str(), "removed": true }), |_| format!("removed {name}"))
            }
        }
    }
}

async fn add(session: &Session, args: AddArgs) -> anyhow::Result<()> {
    let (default, keys) = (session.issuer().await?, session.keys().await?);
    let url = match args.url {
        Some(url) => url,
        None => format!("{default}/{}", args.name).parse().context("--url is required")?,
    };
    check_is_new(&default, &session.store.list_issuers().await?, &args.name, &url)?;
    let sealed_database = match args.database {
        Some(database) => {
            let database =
                checked_database_url(&database).map_err(|problem| anyhow::anyhow!("--database {problem}"))?;
            Some(keys.seal_secret(&database, &Issuer::secret_context(&args.name))?)
        }
        None => None,
    };
    let issuer = Issuer { name: args.name, url, sealed_database, created_at: Clock::system().now() };
    // The database is prepared before the issuer is registered, so that errors are reported here
    // and not in the server's log.
    let settings = issuer_settings(&session.settings, &keys, &issuer)?;
    let store = Store::open(&settings.database_url).await.context("database of the new issuer")?;
    store.adopt_issuer(issuer.url.as_str()).await.context("database of the new issuer")?;
    crate::issuer_keys::open_keys(&store, &settings).await.context("database of the new issuer")?;
    store.close().await;
    session.store.create_issuer(&issuer).await?;
    let view = IssuerView::new(session, &keys, &issuer)?;
    session.output.print(&view, |view| format!("serving {} from {}", view.issuer, view.database))
}

async fn list(session: &Session) -> anyhow::Result<()> {
    let keys = session.keys().await?;
    let mut views = vec![IssuerView {
        name: None,
        issuer: session.issuer().await?,
        database: without_secrets(&session.settings.database_url),
        created_at: None,
    }];
    for issuer in session.store.list_issuers().await? {
        views.push(IssuerView::new(session, &keys, &issuer)?);
    }
    session.output.print(&views, |views| {
        let row = |view: &IssuerView| {
            let name = view.name.as_ref().map_or("(default)", IssuerName::as_str).to_owned();
            [name, view.issuer.clone(), view.database.clone()]
        };
        table(["NAME", "ISSUER", "DATABASE"], &views.iter().map(row).collect::<Vec<_>>())
    })
}

impl IssuerView {
    fn new(session: &Session, keys: &KeyRing, issuer: &Issuer) -> anyhow::Result<IssuerView> {
        let database = without_secrets(&issuer_settings(&session.settings, keys, issuer)?.database_url);
        let (name, created_at) = (Some(issuer.name.clone()), Some(issuer.created_at));
        Ok(IssuerView { name, issuer: issuer.url.to_string(), database, created_at })
    }
}

/// A database URL without user, password and options, except the schema.
fn without_secrets(url: &str) -> String {
    let (base, options) = url.split_once('?').unwrap_or((url, ""));
    let base = match base.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)),
        None => base.to_owned(),
    };
    let schema = options.split('&').find(|option| option.starts_with("options[search_path]="));
    schema.map_or(base.clone(), |schema| format!("{base}?{schema}"))
}
