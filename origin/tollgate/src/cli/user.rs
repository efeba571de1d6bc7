//! `tollgate user create|list|password|disable|enable|make-admin|unmake-admin`

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tollgate_model::encoding::base64url;
use tollgate_model::user::{checked_external_id, checked_password};
use tollgate_model::{AuthSource, User, UserClaims, UserId, UserView};
use tollgate_services::password_hashing::hash_password_blocking;
use tollgate_storage::{Store, StoreError, Termination};
use tollgate_system::{Clock, rng};
use zeroize::Zeroizing;

use super::output::table;
use super::{Session, command_line_actor, input};

#[derive(Debug, clap::Subcommand)]
pub(super) enum UserCommand {
    /// Create a user
    Create {
        /// Username, e.g. the email address
        name: String,
        #[command(flatten)]
        password: PasswordFlags,
        /// Full name, for the scope profile
        #[arg(long, value_name = "NAME")]
        full_name: Option<String>,
        /// Email address, for the scope email
        #[arg(long)]
        email: Option<String>,
        /// Further claims, as a JSON object, e.g. '{"locale":"de"}'
        #[arg(long, value_name = "JSON")]
        claims: Option<String>,
        /// externalId: identifier in the system that provisions users (SCIM)
        #[arg(long, value_name = "ID")]
        external_id: Option<String>,
        /// Make the user an administrator, who may use the console at /admin
        #[arg(long)]
        admin: bool,
    },
    /// List the users
    List,
    /// Set the password of a user, and sign out all their browsers
    Password {
        /// Username
        name: String,
        #[command(flatten)]
        password: PasswordFlags,
    },
    /// Disable a user and revoke their grants
    Disable {
        /// Username
        name: String,
    },
    /// Enable a disabled user; their revoked grants stay revoked
    Enable {
        /// Username
        name: String,
    },
    /// Make a user an administrator, who may use the console at /admin
    MakeAdmin {
        /// Username
        name: String,
    },
    /// Remove the administrator role from a user
    UnmakeAdmin {
        /// Username
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct PasswordFlags {
    /// Read the password from standard input, one line [default: a random password, printed once]
    #[arg(long)]
    password_stdin: bool,
}

struct NewPassword {
    password: Zeroizing<String>,
    /// Generated here, so it must be shown.
    is_generated: bool,
}

impl PasswordFlags {
    fn choose(&self) -> anyhow::Result<NewPassword> {
        if !self.password_stdin {
            return Ok(NewPassword { password: random_password()?, is_generated: true });
        }
        let password = input::line("password")?;
        Ok(NewPassword { password: checked_password(&password)?, is_generated: false })
    }
}

/// A password of 120 random bits.
fn random_password() -> anyhow::Result<Zeroizing<String>> {
    Ok(Zeroizing::new(base64url(&rng::random::<15>()?)))
}

/// Creates the administrator `admin` in a database without users, and returns the random password.
/// Returns none if users exist; of several processes that start together, one creates the user.
pub(super) async fn create_first_admin(store: &Store) -> anyhow::Result<Option<Zeroizing<String>>> {
    if store.has_users().await? {
        return Ok(None);
    }
    let password = random_password()?;
    let hashing = password.clone();
    let hash = tokio::task::spawn_blocking(move || hash_password_blocking(&hashing)).await??;
    let id = UserId::from_random(&rng::random()?);
    let admin =
        User { password_hash: Some(hash), is_admin: true, ..User::new(id, "admin".parse()?, Clock::system().now()) };
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
                    ..User::new(UserId::from_random(&rng::random()?), name.parse()?, Clock::system().now())
                };
                session.store.create_user(&user).await?;
                session.output.print(&with_password(&user, &chosen), created_text)
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
                    bail!("{name} has an account in the external user directory: change the password there");
                }
                let termination = termination("an administrator set the password");
                session
                    .store
                    .update_password(&user.id, &hash_password_blocking(&chosen.password)?, None, &termination)
                    .await?;
                session.output.print(&with_password(&user, &chosen), created_text)
            }
            UserCommand::Disable { name } => {
                let (user, termination) = (find(session, &name).await?, termination("the user was disabled"));
                session.store.disable_user(&user.id, &termination).await?;
                let disabled_at = user.disabled_at.unwrap_or(termination.at);
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

/// A termination by the command line, now.
pub(super) fn termination(reason: &'static str) -> Termination {
    Termination::new(&command_line_actor(), reason, Clock::system().now())
}

async fn set_admin(session: &Session, name: &str, is_admin: bool) -> anyhow::Result<()> {
    let user = find(session, name).await?;
    session.store.set_admin(&user.id, is_admin).await?;
    let what = if is_admin { "is now an administrator" } else { "is no longer an administrator" };
    let view = UserView::from(&find(session, name).await?);
    session.output.print(&view, |view| format!("{} {what}", view.name))
}

async fn find(session: &Session, name: &str) -> anyhow::Result<User> {
    session.store.find_user_by_typed_name(name).await?.with_context(|| format!("user {name} does not exist"))
}

fn with_password(user: &User, chosen: &NewPassword) -> UserView {
    UserView { password: chosen.is_generated.then(|| chosen.password.to_string()), ..UserView::from(user) }
}

fn created_text(view: &UserView) -> String {
    let Some(password) = &view.password else {
        return format!("id    {}\nname  {}", view.id, view.name);
    };
    let note = "The password is shown only once; the database stores its hash.";
    format!("id        {}\nname      {}\npassword  {password}\n{note}", view.id, view.name)
}
