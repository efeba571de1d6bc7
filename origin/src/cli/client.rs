//! `tollgate client create|list|disable`

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::Session;
use super::output::table;
use crate::ambient;
use crate::domain::client::checked_name;
use crate::domain::{Audience, Client, ClientId, ClientSecret, ClientStatus, Scope, TokenAlg};

#[derive(Debug, clap::Subcommand)]
pub(super) enum ClientCommand {
    /// Register a client and print its secret, this once
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// A scope value that its tokens may have; repeat it or separate values by spaces
        #[arg(long)]
        scope: Vec<String>,
        /// An audience that its tokens may name; repeatable [default: the server's default audience]
        #[arg(long)]
        audience: Vec<Audience>,
        /// How its tokens are signed: EdDSA, ES256, RS256 or HS256
        #[arg(long, default_value = "EdDSA")]
        alg: TokenAlg,
        /// Let it have the scope tollgate:admin, with which the admin API is used; it needs the issuer as an audience too
        #[arg(long)]
        admin: bool,
        /// Its client_id [default: a random one]
        #[arg(long)]
        id: Option<ClientId>,
    },
    /// List the clients
    List,
    /// Refuse a client from now on; tokens it holds stay good until they expire or are revoked
    Disable {
        /// Its client_id
        id: ClientId,
    },
}

#[derive(Serialize)]
struct ClientView {
    client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    name: String,
    scope: String,
    audiences: Vec<String>,
    alg: &'static str,
    created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<u64>,
}

impl From<&Client> for ClientView {
    fn from(client: &Client) -> ClientView {
        ClientView {
            client_id: client.id.to_string(),
            client_secret: None,
            name: client.name.clone(),
            scope: client.scope.to_string(),
            audiences: client.audiences.iter().map(Audience::to_string).collect(),
            alg: client.alg.as_str(),
            created_at: client.created_at,
            disabled_at: match client.status {
                ClientStatus::Active => None,
                ClientStatus::Disabled { at } => Some(at),
            },
        }
    }
}

impl ClientCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            ClientCommand::Create { name, scope, audience, alg, admin, id } => {
                let scope = Scope::from_arguments(&scope)?;
                if scope.is_admin() && !admin {
                    bail!("the scope tollgate:admin lets a client revoke anything: give --admin if that is meant");
                }
                let secret = ClientSecret::from_random(&ambient::random()?);
                let client = Client {
                    id: match id {
                        Some(id) => id,
                        None => ClientId::from_random(&ambient::random()?),
                    },
                    name: checked_name(&name)?,
                    secret: secret.hash(),
                    scope,
                    audiences: audience,
                    alg,
                    status: ClientStatus::Active,
                    created_at: ambient::now(),
                };
                session.store.insert_client(&client).await?;
                let view = ClientView { client_secret: Some(secret.reveal().to_owned()), ..ClientView::from(&client) };
                session.output.print(&view, |view| {
                    let secret = view.client_secret.as_deref().unwrap_or_default();
                    let note = "The secret is shown this once; only its hash is stored.";
                    format!("client_id      {}\nclient_secret  {secret}\n{note}", view.client_id)
                })
            }
            ClientCommand::List => {
                let clients = session.store.clients().await?;
                let views: Vec<ClientView> = clients.iter().map(ClientView::from).collect();
                session.output.print(&views, |views| table(HEADING, &views.iter().map(row).collect::<Vec<_>>()))
            }
            ClientCommand::Disable { id } => {
                let disabled = session.store.disable_client(&id, ambient::now()).await?;
                let client = disabled.with_context(|| format!("there is no client {id}"))?;
                session.output.print(&ClientView::from(&client), |view| format!("disabled {}", view.client_id))
            }
        }
    }
}

const HEADING: [&str; 6] = ["CLIENT", "NAME", "ALG", "SCOPE", "AUDIENCES", "STATUS"];

fn row(view: &ClientView) -> [String; 6] {
    let status = if view.disabled_at.is_some() { "disabled" } else { "active" };
    let audiences = if view.audiences.is_empty() { "(default)".to_owned() } else { view.audiences.join(" ") };
    let [client, name, scope] = [&view.client_id, &view.name, &view.scope].map(String::clone);
    [client, name, view.alg.to_owned(), scope, audiences, status.to_owned()]
}
