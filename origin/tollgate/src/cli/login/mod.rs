//! `tollgate login` and `tollgate logout`: sign a user in with the device grant (RFC 8628), store
//! the tokens in a file that only the user can read, and revoke them. They use an origin over the
//! network, never its database.

mod device_prompt;
mod file;
mod origin;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tollgate_model::Scope;
use tollgate_system::Clock;

use self::file::{Login, LoginFile};
use self::origin::{Origin, Tokens};
use super::output::Output;

const DEFAULT_CLIENT_ID: &str = "tollgate-cli";
/// Minimum remaining lifetime of a printed token, in seconds; otherwise it is refreshed.
const MIN_REMAINING_LIFETIME: u64 = 30;

#[derive(Debug, clap::Args)]
pub(super) struct LoginFlags {
    #[command(flatten)]
    selector: LoginSelector,
    /// Scope value to request; repeatable, or separate values by spaces [default: all that the
    /// client may have]
    #[arg(long)]
    scope: Vec<String>,
    /// Do not print a QR code
    #[arg(long)]
    no_qr: bool,
    /// Print only the access token of the latest login, refreshed if it is about to expire
    #[arg(long, conflicts_with_all = ["scope", "no_qr"])]
    print_token: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct LogoutFlags {
    #[command(flatten)]
    selector: LoginSelector,
}

/// Selects a login.
#[derive(Debug, clap::Args)]
struct LoginSelector {
    /// URL of the origin [default: that of the latest login, otherwise http://127.0.0.1:8080]
    #[arg(value_name = "URL")]
    origin: Option<String>,
    /// Public client to use; an administrator registers it once, see `tollgate client create
    /// --help` [default: tollgate-cli]
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
}

/// A login as printed, without its tokens.
#[derive(Serialize)]
struct LoginView<'a> {
    origin: &'a str,
    client_id: &'a str,
    scope: &'a str,
    expires_at: u64,
    refreshable: bool,
}

impl LoginFlags {
    pub(super) fn run(self, output: &Output) -> ExitCode {
        run(async {
            match self.print_token {
                true => print_token(&self.selector).await,
                false => login(self, output).await,
            }
        })
    }
}

impl LogoutFlags {
    pub(super) fn run(self, output: &Output) -> ExitCode {
        run(async {
            let file = LoginFile::open()?;
            let login = self.selector.select(&file)?.clone();
            let origin = Origin::discover(&login.origin).await?;
            // Revoking the refresh token also revokes all access tokens of its grant.
            let token = login.refresh_token.as_ref().unwrap_or(&login.access_token);
            origin.revoke(&login.client_id, token).await.context("cannot revoke the tokens; they are still stored")?;
            file.remove(&login)?;
            let view = view(&login);
            output.print(&view, |view| format!("signed out of {}: the tokens are revoked and deleted", view.origin))
        })
    }
}

fn run(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    crate::server::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    super::exit_code(runtime.context("cannot start the runtime").and_then(|runtime| runtime.block_on(work)))
}

async fn login(flags: LoginFlags, output: &Output) -> anyhow::Result<()> {
    let scope = Scope::from_arguments(&flags.scope)?.to_string();
    let file = LoginFile::open()?;
    let url = flags.selector.origin.clone().or_else(|| Some(file.latest()?.origin.clone()));
    let client_id = flags.selector.client_id.as_deref().unwrap_or(DEFAULT_CLIENT_ID);
    let origin = Origin::discover(url.as_deref().unwrap_or("http://127.0.0.1:8080")).await?;
    let authorization = origin.authorize_device(client_id, &scope).await?;
    device_prompt::show(&authorization, !flags.no_qr, output)?;
    let tokens = device_prompt::wait(&origin, client_id, &authorization, output).await?;
    let login = to_login(&origin.issuer, client_id, None, tokens);
    let path = file.store(&login)?;
    output.print_line(&view(&login), |view| {
        format!("Signed in to {}. The tokens are stored in {}.\nTo use them: curl -H \"Authorization: Bearer $(tollgate login --print-token)\" …",
            view.origin, path.display())
    })
}

async fn print_token(selector: &LoginSelector) -> anyhow::Result<()> {
    let file = LoginFile::open()?;
    // Of several concurrent processes one refreshes; the others wait for the lock and then read the
    // new token.
    let lock = file.lock()?;
    let file = LoginFile::open()?;
    let mut login = selector.select(&file)?.clone();
    if Clock::system().now().saturating_add(MIN_REMAINING_LIFETIME) >= login.expires_at {
        let Some(refresh_token) = &login.refresh_token else {
            bail!("the token has expired and cannot be refreshed: run `tollgate login {}`", login.origin);
        };
        let origin = Origin::discover(&login.origin).await?;
        let tokens = origin.refresh(&login.client_id, refresh_token).await;
        let tokens =
            tokens.with_context(|| format!("cannot refresh the token: run `tollgate login {}`", login.origin))?;
        login = to_login(&login.origin, &login.client_id, Some(&login), tokens);
        file.store(&login)?;
    }
    drop(lock);
    super::output::line(&login.access_token)
}

/// The login to store. A refresh response may omit the refresh token and the scope; then the
/// previous ones stay valid (RFC 6749 §5.1 and §6).
fn to_login(origin: &str, client_id: &str, previous: Option<&Login>, tokens: Tokens) -> Login {
    Login {
        origin: origin.to_owned(),
        client_id: client_id.to_owned(),
        scope: tokens.scope.or_else(|| previous.map(|login| login.scope.clone())).unwrap_or_default(),
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token.or_else(|| previous.and_then(|login| login.refresh_token.clone())),
        expires_at: Clock::system().now().saturating_add(tokens.expires_in.unwrap_or(0)),
    }
}

fn view(login: &Login) -> LoginView<'_> {
    LoginView {
        origin: &login.origin,
        client_id: &login.client_id,
        scope: &login.scope,
        expires_at: login.expires_at,
        refreshable: login.refresh_token.is_some(),
    }
}

impl LoginSelector {
    /// The latest login that matches.
    fn select<'a>(&self, file: &'a LoginFile) -> anyhow::Result<&'a Login> {
        let origin = self.origin.as_deref().map(|origin| origin.trim_end_matches('/'));
        let is_match = |login: &&Login| {
            origin.is_none_or(|origin| login.origin == origin)
                && self.client_id.as_ref().is_none_or(|client| login.client_id == *client)
        };
        file.logins().find(is_match).context("there is no such login: see `tollgate login --help`")
    }
}
