//! `tollgate user create|import|list|update|password|disable|enable|make-admin|unmake-admin`

use anyhow::Context as _;
use serde_json::{Value, json};
use tollgate_model::encoding::base64url;
use tollgate_model::user::checked_password;
use tollgate_model::{User, UserClaims, UserId, UserName, UserView, merge_patch, text};
use tollgate_services::admin::{AdminError, NewUser, UserProfile};
use tollgate_services::password_hashing::hash_password_blocking;
use tollgate_storage::{Store, StoreError};
use tollgate_system::{Clock, rng};
use zeroize::Zeroizing;

use super::change::{ChangeFlags, not_applicable, print_preview};
use super::import::ImportUsersFlags;
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
        #[command(flatten)]
        user: UserFlags,
    },
    /// Change single members of a user; the others stay as they are
    Update {
        /// Username
        name: String,
        /// New username
        #[arg(long = "name", value_name = "NAME")]
        new_name: Option<UserName>,
        #[command(flatten)]
        user: UserFlags,
        #[command(flatten)]
        change: ChangeFlags,
    },
    /// Import users with their password hashes from a file or another system's export
    Import(ImportUsersFlags),
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

/// Members of a user as flags, for `create` and `update`: all are optional. A new member gets its
/// flag here, once, and a line in [`UserFlags::apply`].
#[derive(Debug, clap::Args)]
pub(super) struct UserFlags {
    /// Full name, for the scope profile
    #[arg(long, value_name = "NAME")]
    full_name: Option<String>,
    /// Email address, for the scope email
    #[arg(long)]
    email: Option<String>,
    /// Further claims, as a JSON object, e.g. '{"locale":"de"}'; in an update, null removes a claim
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// externalId: identifier in the system that provisions users (SCIM)
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Make the user an administrator, who may use the console at /admin
    #[arg(long)]
    admin: bool,
}

impl UserFlags {
    fn apply(&self, profile: UserProfile) -> anyhow::Result<UserProfile> {
        let mut claims = serde_json::to_value(&profile.claims)?;
        if let Some(json) = &self.claims {
            let patch: Value = text::json(json.as_bytes()).context("--claims")?;
            merge_patch(&mut claims, patch);
        }
        let mut claims = UserClaims::parse(&claims.to_string())?;
        for (name, value) in [("name", &self.full_name), ("email", &self.email)] {
            if let Some(value) = value {
                claims.set(name, Value::String(value.clone()));
            }
        }
        let claims = UserClaims::parse(&serde_json::to_string(&claims)?)?;
        let external_id = self.external_id.clone().or(profile.external_id);
        Ok(UserProfile { claims, external_id, is_admin: profile.is_admin || self.admin, ..profile })
    }
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
            UserCommand::Create { name, password, user: flags } => {
                let (claims, external_id, is_admin) = Default::default();
                let profile = flags.apply(UserProfile { name: name.parse()?, claims, external_id, is_admin })?;
                let chosen = password.choose()?;
                let UserProfile { name, claims, external_id, is_admin } = profile;
                let new = NewUser { name, password: Some(chosen.password.clone()), claims, external_id, is_admin };
                let user = session.registry()?.create_user(&command_line_actor(), new).await?;
                session.output.print(&with_password(&user, &chosen), created_text)
            }
            UserCommand::Update { name, new_name, user, change } => {
                update(session, &name, new_name.as_ref(), &user, &change).await
            }
            UserCommand::Import(flags) => flags.run(session).await,
            UserCommand::List => {
                let users = session.registry()?.list_users().await?;
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
                let registry = session.registry()?;
                let (user, chosen) = (registry.get_user_by_name(&name).await?, password.choose()?);
                registry.set_password(&command_line_actor(), &user, chosen.password.clone()).await?;
                session.output.print(&with_password(&user, &chosen), created_text)
            }
            UserCommand::Disable { name } => {
                let registry = session.registry()?;
                let user = registry.get_user_by_name(&name).await?;
                let user = registry.disable_user(&command_line_actor(), &user).await?;
                let view = json!({ "id": user.id, "name": user.name, "disabled_at": user.disabled_at });
                session.output.print(&view, |_| format!("disabled {}", user.name))
            }
            UserCommand::Enable { name } => {
                let registry = session.registry()?;
                let user = registry.get_user_by_name(&name).await?;
                let user = registry.enable_user(&command_line_actor(), &user).await?;
                session.output.print(&UserView::from(&user), |view| format!("enabled {}", view.name))
            }
            UserCommand::MakeAdmin { name } => set_admin(session, &name, true).await,
            UserCommand::UnmakeAdmin { name } => set_admin(session, &name, false).await,
        }
    }
}

async fn update(
    session: &Session,
    name: &str,
    new_name: Option<&UserName>,
    flags: &UserFlags,
    change: &ChangeFlags,
) -> anyhow::Result<()> {
    let registry = session.registry()?;
    let user = registry.get_user_by_name(name).await?;
    let apply = |profile: &UserProfile| -> Result<UserProfile, AdminError> {
        let changed = change.apply(profile).and_then(|mut changed| {
            changed.name = new_name.cloned().unwrap_or(changed.name);
            flags.apply(changed)
        });
        changed.map_err(|error| not_applicable(&error))
    };
    if change.dry_run {
        let profile = UserProfile::from(&user);
        return print_preview(&session.output, &profile, &apply(&profile)?);
    }
    let user = registry.change_user(&command_line_actor(), user.id.as_str(), apply).await?;
    session.output.print(&UserView::from(&user), |view| format!("changed {}", view.name))
}

async fn set_admin(session: &Session, name: &str, is_admin: bool) -> anyhow::Result<()> {
    let registry = session.registry()?;
    let user = registry.get_user_by_name(name).await?;
    let user = registry.set_admin(&command_line_actor(), &user, is_admin).await?;
    let what = if is_admin { "is now an administrator" } else { "is no longer an administrator" };
    session.output.print(&UserView::from(&user), |view| format!("{} {what}", view.name))
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
