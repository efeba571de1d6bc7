//! A browser, as its cookie tells: who is signed in there, and what its forms must carry.

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use subtle::ConstantTimeEq as _;
use tollgate_model::encoding::base64url;
use tollgate_model::secret::keyed;
use tollgate_model::user::LOGIN_LIFETIME;
use tollgate_model::{Actor, Login, LoginId, Secret, SecretHash, SecretKind, Sender, User};
use tollgate_storage::Ending;
use tollgate_system::ambient;
use zeroize::Zeroizing;

use super::page::WebError;
use crate::oauth::parameters::Parameters;
use crate::{App, cookies};

/// A browser.
pub(crate) struct Browser {
    cookie: Zeroizing<String>,
    /// Whether the cookie is one that the browser has yet to be given.
    is_new: bool,
    /// Who is signed in.
    pub(crate) login: Option<Login>,
    /// Whether the answer is for a frame in another page (Fetch Metadata's `Sec-Fetch-Dest`, which no page can set).
    pub(crate) is_frame: bool,
}

/// Seconds between two records of when a browser was seen: a page that is looked at must not cost a write.
const SEEN_EVERY: u64 = 300;

/// With https the cookie is bound to this host, whatever subdomains do (RFC 6265bis §4.1.3.2); a browser takes that name over
/// https alone.
fn cookie_name(app: &App) -> String {
    cookie_named(app, "tollgate")
}

/// The name of a cookie of this issuer.
pub(super) fn cookie_named(app: &App, name: &str) -> String {
    let prefix = if app.issuer.starts_with("https://") { format!("__Host-{name}") } else { name.to_owned() };
    // Issuers on one host, told apart by their paths, must not sign each other's users out.
    match app.at("").as_str() {
        "" => prefix,
        path => format!("{prefix}-{}", base64url(&SecretHash::of(path).as_bytes()[..6])),
    }
}

impl Browser {
    /// The browser that sends this.
    pub(crate) async fn of(app: &App, headers: &HeaderMap) -> Result<Browser, WebError> {
        let name = cookie_name(app);
        let sent = cookies::named(headers, &name).find(|value| SecretKind::Session.made(value));
        let is_frame = headers.get("sec-fetch-dest").is_some_and(|value| value == "iframe");
        let Some(cookie) = sent else {
            let cookie = Secret::new(SecretKind::Session, &ambient::random()?);
            let cookie = Zeroizing::new(cookie.reveal().to_owned());
            return Ok(Browser { cookie, is_new: true, login: None, is_frame });
        };
        let now = ambient::now();
        let login = app.store.login(&SecretHash::of(cookie), now).await?;
        if let Some(login) = &login
            && now.saturating_sub(login.seen_at) >= SEEN_EVERY
        {
            app.store.saw_login(&login.id, now).await?;
        }
        Ok(Browser { cookie: Zeroizing::new(cookie.to_owned()), is_new: false, login, is_frame })
    }

    /// Who is signed in, with the session.
    pub(crate) async fn user(&self, app: &App) -> Result<Option<(Login, User)>, WebError> {
        let Some(login) = &self.login else {
            return Ok(None);
        };
        let user = app.store.user(&login.user).await?.filter(User::is_active);
        Ok(user.map(|user| (login.clone(), user)))
    }

    /// What its forms must carry. A function of its cookie, which no other site can read, and of a key, without which nobody who
    /// could set the cookie could make it.
    pub(crate) fn csrf(&self, app: &App) -> String {
        base64url(&keyed(&app.keys.current().derived("tollgate form tokens v1"), &self.cookie))
    }

    /// Whether this browser was given the form.
    pub(super) fn was_given(&self, app: &App, form: &Parameters) -> bool {
        let given = form.get("csrf").unwrap_or_default();
        bool::from(given.as_bytes().ct_eq(self.csrf(app).as_bytes())) && !self.is_new
    }

    /// The answer, with the cookie if the browser has yet to be given it.
    pub(super) fn remember(&self, app: &App, mut response: Response) -> Response {
        if self.is_new {
            set_cookie(app, &self.cookie, &mut response);
        }
        response
    }

    /// Signs a user in: under a new cookie, so that whoever knew the old one knows nothing. `user`: as of the moment when the password was
    /// checked. Whoever changes a password ends all sessions; one that begins in that moment with the old password ends here.
    pub(super) async fn sign_in(&mut self, app: &App, user: &User, sender: Sender) -> Result<Login, WebError> {
        let (cookie, now) = (Secret::new(SecretKind::Session, &ambient::random()?), ambient::now());
        let login = Login {
            id: LoginId::from_random(&ambient::random()?),
            hash: cookie.hash(),
            user: user.id.clone(),
            auth_time: now,
            seen_at: now,
            sender,
            expires_at: now.saturating_add(LOGIN_LIFETIME),
        };
        app.store.begin_session(&login, self.login.as_ref()).await?;
        let current = app.store.user(&user.id).await?;
        if current.is_none_or(|current| current.password_hash != user.password_hash) {
            let by = Actor::user(&user.id);
            let ending = Ending::new(&by, "the password was changed during the sign-in", now);
            app.store.end_session(&login.id, &ending).await?;
            return Err(WebError::conflict("The password was changed during the sign-in. Please sign in again."));
        }
        self.cookie = Zeroizing::new(cookie.reveal().to_owned());
        self.is_new = true;
        self.login = Some(login.clone());
        Ok(login)
    }
}

/// `SameSite=Lax`: a client sends the browser here from its own site, and the sign-in must be known then.
fn set_cookie(app: &App, cookie: &str, response: &mut Response) {
    let secure = if app.issuer.starts_with("https://") { "; Secure" } else { "" };
    let name = cookie_name(app);
    let text = format!("{name}={cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age={LOGIN_LIFETIME}{secure}");
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// Has the browser forget its cookie, whatever else the answer would have it keep.
pub(super) fn forget(app: &App, response: &mut Response) {
    let secure = if app.issuer.starts_with("https://") { "; Secure" } else { "" };
    let text = format!("{}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}", cookie_name(app));
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(SET_COOKIE, value);
    }
}
