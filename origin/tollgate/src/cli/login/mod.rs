//! `tollgate login` and `tollgate logout`: a person at a terminal gets tokens by the
//! device grant (RFC 8628), keeps them in a file that nobody else can read, and gives
//! them back. They speak to an origin over the network and never to its database.

mod file;
mod origin;
mod waiting;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tollgate_model::Scope;
use tollgate_system::clock;

use self::file::{Kept, Login};
use self::origin::{Origin, Tokens};
use super::output::Output;

/// The client as which the command line asks, unless another is named.
const CLIENT: &str = "tollgate-cli";
/// Seconds that a printed token must still be good, so that it is not refused on its
/// way.
const MARGIN: u64 = 30;

#[derive(Debug, clap::Args)]
pub(super) struct LoginFlags {
    #[command(flatten)]
    which: Which,
    /// A scope value to ask for; repeat it or separate values by spaces [default: all
    /// that the client may have]
    #[arg(long)]
    scope: Vec<String>,
    /// Print no QR code
    #[arg(long)]
    no_qr: bool,
    /// Print the access token of the last login and nothing else, refreshed if it is
    /// about to expire
    #[arg(long, conflicts_with_all = ["scope", "no_qr"])]
    print_token: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct LogoutFlags {
    #[command(flatten)]
    which: Which,
}

/// Which login is meant.
#[derive(Debug, clap::Args)]
struct Which {
    /// The origin's URL [default: that of the last login, else http://127.0.0.1:8080]
    #[arg(value_name = "URL")]
    origin: Option<String>,
    /// The public client as which to ask; the operator registers it once, see
    /// `tollgate client create --help` [default: tollgate-cli]
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
}

/// What a login is told as: never its tokens.
#[derive(Serialize)]
struct View<'a> {
    origin: &'a str,
    client_id: &'a str,
    scope: &'a str,
    expires_at: u64,
    refreshable: bool,
}

impl LoginFlags {
    pub(super) fn run(self, output: &Output) -> ExitCode {
        done(async {
            match self.print_token {
                true => print_token(&self.which).await,
                false => login(self, output).await,
            }
        })
    }
}

impl LogoutFlags {
    pub(super) fn run(self, output: &Output) -> ExitCode {
        done(async {
            let kept = Kept::open()?;
            let login = self.which.among(&kept)?.clone();
            let origin = Origin::discover(&login.origin).await?;
            // The refresh token stands for the whole grant: with it all access tokens of this
            // login are revoked.
            let token = login.refresh_token.as_ref().unwrap_or(&login.access_token);
            origin
                .revoke(&login.client_id, token)
                .await
                .context("the tokens are kept, for they could not be revoked")?;
            kept.forget(&login)?;
            let view = view(&login);
            output.print(&view, |view| format!("signed out of {}; its tokens are revoked and forgotten", view.origin))
        })
    }
}

fn done(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    crate::server::install_tls();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    super::exit_code(runtime.context("cannot start the runtime").and_then(|runtime| runtime.block_on(work)))
}

async fn login(flags: LoginFlags, output: &Output) -> anyhow::Result<()> {
    let scope = Scope::from_arguments(&flags.scope)?.to_string();
    let kept = Kept::open()?;
    let url = flags.which.origin.clone().or_else(|| Some(kept.last()?.origin.clone()));
    let client_id = flags.which.client_id.as_deref().unwrap_or(CLIENT);
    let origin = Origin::discover(url.as_deref().unwrap_or("http://127.0.0.1:8080")).await?;
    let asked = origin.ask(client_id, &scope).await?;
    waiting::show(&asked, !flags.no_qr, output)?;
    let tokens = waiting::wait(&origin, client_id, &asked, output).await?;
    let login = kept_as(&origin.issuer, client_id, None, tokens);
    let place = kept.keep(&login)?;
    output.print_line(&view(&login), |view| {
        format!("Signed in to {}. The tokens are in {}.\nUse them: curl -H \"Authorization: Bearer $(tollgate login --print-token)\" …",
            view.origin, place.display())
    })
}

async fn print_token(which: &Which) -> anyhow::Result<()> {
    let kept = Kept::open()?;
    // Of several programs that print at once, one refreshes, and the others find what it
    // was given.
    let lock = kept.lock()?;
    let kept = Kept::open()?;
    let mut login = which.among(&kept)?.clone();
    if clock::now().saturating_add(MARGIN) >= login.expires_at {
        let Some(refresh_token) = &login.refresh_token else {
            bail!("the token is expired and cannot be refreshed: `tollgate login {}` gets another", login.origin);
        };
        let origin = Origin::discover(&login.origin).await?;
        let tokens = origin.refresh(&login.client_id, refresh_token).await;
        let tokens = tokens.with_context(|| format!("`tollgate login {}` gets another token", login.origin))?;
        login = kept_as(&login.origin, &login.client_id, Some(&login), tokens);
        kept.keep(&login)?;
    }
    drop(lock);
    super::output::plain(&login.access_token)
}

/// What is kept of tokens. What a refresh does not give anew stays as it was (RFC
/// 6749 §5.1 and §6).
fn kept_as(origin: &str, client_id: &str, before: Option<&Login>, tokens: Tokens) -> Login {
    Login {
        origin: origin.to_owned(),
        client_id: client_id.to_owned(),
        scope: tokens.scope.or_else(|| before.map(|login| login.scope.clone())).unwrap_or_default(),
        access_token: tokens.access_token,
        refresh_token: tokens.refresh_token.or_else(|| before.and_then(|login| login.refresh_token.clone())),
        expires_at: clock::now().saturating_add(tokens.expires_in.unwrap_or(0)),
    }
}

fn view(login: &Login) -> View<'_> {
    View {
        origin: &login.origin,
        client_id: &login.client_id,
        scope: &login.scope,
        expires_at: login.expires_at,
        refreshable: login.refresh_token.is_some(),
    }
}

impl Which {
    /// The login that is meant: the last one that fits.
    fn among<'a>(&self, kept: &'a Kept) -> anyhow::Result<&'a Login> {
        let origin = self.origin.as_deref().map(|origin| origin.trim_end_matches('/'));
        let fits = |login: &&Login| {
            origin.is_none_or(|origin| login.origin == origin)
                && self.client_id.as_ref().is_none_or(|client| login.client_id == *client)
        };
        kept.logins().find(fits).context("there is no such login: see `tollgate login --help`")
    }
}
