//! `tollgate user create|list|password|disable|enable|make-admin|unmake-admin`

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tollgate_model::encoding::base64url;
use tollgate_model::user::{checked_external_id, checked_password};
use tollgate_model::{AuthSource, User, UserClaims, UserId, UserView};
use tollgate_services::password_hashing::hash_password_blocking;
use tollgate_storage::{Store, StoreError, Termination};
use tollgate_system::{clock, rng};
use zeroize::Zeroizing;

use super::output::table;
use super::{Session, command_line_actor};

#[derive(Debug, clap::Subcommand)]
pub(super) enum UserCommand {
    /// Register a user
    Create {
        /// What they sign in with, e.g. their address
        name: String,
        #[command(flatten)]
        password: PasswordFlags,
        /// Their full name, for the scope profile
        #[arg(long, value_name = "NAME")]
        full_name: Option<String>,
        /// Their address, for the scope email
        #[arg(long)]
        email: Option<String>,
        /// More claims, as a JSON object, e.g. '{"locale":"de"}'
        #[arg(long, value_name = "JSON")]
        claims: Option<String>,
        /// Who they are to whoever provisioned them
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
        /// Let them use the console, /admin
        #[arg(long)]
        admin: bool,
    },
    /// List the users
    List,
    /// Give a user another password, and sign out every browser of theirs
    Password {
        /// What they sign in with
        name: String,
        #[command(flatten)]
        password: PasswordFlags,
    },
    /// Let a user sign in no more, and revoke what they gave to clients
    Disable {
        /// What they sign in with
        name: String,
    },
    /// Let a user who was disabled sign in again; what they had given to clients stays revoked
    Enable {
        /// What they sign in with
        name: String,
    },
    /// Let a user use the console at /admin
    MakeAdmin {
        /// What they sign in with
        name: String,
    },
    /// Let a user use the console no longer
    UnmakeAdmin {
        /// What they sign in with
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct PasswordFlags {
    /// Read the password from standard input, one line [default: a random one is made and printed,
    /// this once]
    #[arg(long)]
    password_stdin: bool,
}

/// A password, and whether it was made here and must be shown.
struct Chosen {
    password: Zeroizing<String>,
    made: bool,
}

impl PasswordFlags {
    fn choose(&self) -> anyhow::Result<Chosen> {
        if !self.password_stdin {
            return Ok(Chosen { password: random_password()?, made: true });
        }
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            bail!("standard input is a terminal: the password would be seen; pipe it in");
        }
        let mut line = Zeroizing::new(String::new());
        stdin.lock().read_line(&mut line).context("the password could not be read")?;
        let password = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
        Ok(Chosen { password: checked_password(&password)?, made: false })
    }
}

/// A password of 120 random bits.
fn random_password() -> anyhow::Result<Zeroizing<String>> {
    Ok(Zeroizing::new(base64url(&rng::random::<15>()?)))
}

/// The first user of a database that has none: `admin`, an administrator, with a random password.
/// None when there are users, and for all but one of several processes that start at once.
pub(super) async fn first_admin(store: &Store) -> anyhow::Result<Option<Zeroizing<String>>> {
    if store.has_users().await? {
        return Ok(None);
    }
    let password = random_password()?;
    let hashing = password.clone();
    let hash = tokio::task::spawn_blocking(move || hash_password_blocking(&hashing)).await??;
    let id = UserId::from_random(&rng::random()?);
    let admin = User { password_hash: Some(hash), is_admin: true, ..User::new(id, "admin".parse()?, clock::now()) };
    match store.create_user(&admin).await {
        Ok(()) => Ok(Some(password)),
        Err(StoreError::AlreadyExists(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl UserCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            UserCommand::Create { name, password, full_name, email, claims, external_id, admin } => {
                let mut claims = UserClaims::parse(claims.as_deref().unwrap_or("{}"))?;
                if let Some(full_name) = full_name {
                    claims.set("name", Value::String(full_name));
                }
                if let Some(email) = email {
                    claims.set("email", Value::String(email));
                }
                let claims = UserClaims::parse(&serde_json::to_string(&claims)?)?;
                external_id.as_deref().map(checked_external_id).transpose()?;
                let chosen = password.choose()?;
                let user = User {
                    password_hash: Some(hash_password_blocking(&chosen.password)?),
                    claims,
                    external_id,
                    is_admin: admin,
                    ..User::new(UserId::from_random(&rng::random()?), name.parse()?, clock::now())
                };
                session.store.create_user(&user).await?;
                session.output.print(&with_password(&user, &chosen), told)
            }
            UserCommand::List => {
                let users = session.store.list_users().await?;
                let views: Vec<UserView> = users.iter().map(UserView::from).collect();
                session.output.print(&views, |views| {
                    let row = |view: &UserView| {
                        let status = if view.disabled_at.is_some() { "disabled" } else { "active" };
                        let role = if view.is_admin { "admin" } else { "-" };
                        [view.id.clone(), view.name.clone(), role.to_owned(), status.to_owned()]
                    };
                    table(["USER", "NAME", "ROLE", "STATUS"], &views.iter().map(row).collect::<Vec<_>>())
                })
            }
            UserCommand::Password { name, password } => {
                let (user, chosen) = (find(session, &name).await?, password.choose()?);
                if user.auth_source != AuthSource::Local {
                    bail!("the password of {name} is kept by the users' API: it is changed there");
                }
                let ending = ending("an administrator set the password");
                session
                    .store
                    .update_password(&user.id, &hash_password_blocking(&chosen.password)?, None, &ending)
                    .await?;
                session.output.print(&with_password(&user, &chosen), told)
            }
            UserCommand::Disable { name } => {
                let (user, ending) = (find(session, &name).await?, ending("the user was disabled"));
                session.store.disable_user(&user.id, &ending).await?;
                let disabled_at = user.disabled_at.unwrap_or(ending.at);
                let view = json!({ "id": user.id, "name": user.name, "disabled_at": disabled_at });
                session.output.print(&view, |_| format!("disabled {}", user.name))
            }
            UserCommand::Enable { name } => {
                let user = find(session, &name).await?;
                session.store.enable_user(&user.id).await?;
                let view = UserView::from(&find(session, &name).await?);
                session.output.print(&view, |view| format!("enabled {}", view.name))
            }
            UserCommand::MakeAdmin { name } => set_admin(session, &name, true).await,
            UserCommand::UnmakeAdmin { name } => set_admin(session, &name, false).await,
        }
    }
}

/// An end that is made at the command line, now.
pub(super) fn ending(reason: &'static str) -> Termination {
    Termination::new(&command_line_actor(), reason, clock::now())
}

async fn set_admin(session: &Session, name: &str, is_admin: bool) -> anyhow::Result<()> {
    let user = find(session, name).await?;
    session.store.set_admin(&user.id, is_admin).await?;
    let what = if is_admin { "is an administrator" } else { "is no administrator any more" };
    let view = UserView::from(&find(session, name).await?);
    session.output.print(&view, |view| format!("{} {what}", view.name))
}

async fn find(session: &Session, name: &str) -> anyhow::Result<User> {
    session.store.find_user_by_typed_name(name).await?.with_context(|| format!("there is no user {name}"))
}

fn with_password(user: &User, chosen: &Chosen) -> UserView {
    UserView { password: chosen.made.then(|| chosen.password.to_string()), ..UserView::from(user) }
}

fn told(view: &UserView) -> String {
    let Some(password) = &view.password else {
        return format!("id    {}\nname  {}", view.id, view.name);
    };
    let note = "The password is shown this once; only its hash is stored.";
    format!("id        {}\nname      {}\npassword  {password}\n{note}", view.id, view.name)
}
