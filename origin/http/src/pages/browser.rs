//! A browser's session: its cookie, the signed-in user, and the CSRF token of its forms.

use std::sync::Arc;

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use subtle::ConstantTimeEq as _;
use tollgate_messages::Messages;
use tollgate_model::encoding::base64url;
use tollgate_model::secret::keyed;
use tollgate_model::user::BROWSER_SESSION_LIFETIME;
use tollgate_model::{Actor, BrowserSession, BrowserSessionId, Secret, SecretHash, SecretKind, Sender, User};
use tollgate_services::signing_keys::SigningKeys;
use tollgate_storage::{Store, Termination};
use tollgate_system::{Clock, rng};
use zeroize::Zeroizing;

use super::brand::Appearance;
use super::error::{WebError, accept_language};
use crate::extract::cookies;
use crate::issuer::Issuer;
use crate::oauth::parameters::Parameters;

/// Finds and starts the sessions of browsers.
pub(crate) struct BrowserSessions {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
}

/// A browser with its session cookie.
pub(crate) struct Browser {
    cookie: Zeroizing<String>,
    /// Whether the cookie was made for this request and is still to be set.
    is_new: bool,
    /// The session of the signed-in user.
    pub(crate) login: Option<BrowserSession>,
    /// Whether the response is for a frame in another page (Fetch Metadata's `Sec-Fetch-Dest`,
    /// which no page can set).
    pub(crate) is_frame: bool,
    /// The `Accept-Language` field; empty without one.
    accept_language: String,
}

/// Seconds between two updates of a session's last-seen time, so that viewing a page seldom writes.
const LAST_SEEN_INTERVAL: u64 = 300;

/// With https the name binds the cookie to this host, so that subdomains cannot set it (RFC 6265bis
/// §4.1.3.2). Browsers accept that prefix over https only.
fn cookie_name(issuer: &Issuer) -> String {
    issuer_cookie_name(issuer, "tollgate")
}

/// The name of a cookie of this issuer.
pub(super) fn issuer_cookie_name(issuer: &Issuer, name: &str) -> String {
    let prefix = if issuer.uses_https() { format!("__Host-{name}") } else { name.to_owned() };
    // Issuers on one host differ by their paths and must not replace each other's cookies.
    match issuer.issuer_path("").as_str() {
        "" => prefix,
        path => format!("{prefix}-{}", base64url(&SecretHash::of(path).as_bytes()[..6])),
    }
}

impl Browser {
    /// Finds the session of the request's cookie, or makes a new cookie.
    pub(crate) async fn from_headers(sessions: &BrowserSessions, headers: &HeaderMap) -> Result<Browser, WebError> {
        let name = cookie_name(&sessions.issuer);
        let sent = cookies::values(headers, &name).find(|value| SecretKind::Session.is_well_formed(value));
        let is_frame = headers.get("sec-fetch-dest").is_some_and(|value| value == "iframe");
        let accept_language = accept_language(headers).to_owned();
        let Some(cookie) = sent else {
            let cookie = Secret::new(SecretKind::Session, &rng::random()?);
            let cookie = Zeroizing::new(cookie.reveal().to_owned());
            return Ok(Browser { cookie, is_new: true, login: None, is_frame, accept_language });
        };
        let now = sessions.clock.now();
        let login = sessions.store.find_session(&SecretHash::of(cookie), now).await?;
        if let Some(login) = &login
            && now.saturating_sub(login.seen_at) >= LAST_SEEN_INTERVAL
        {
            sessions.store.record_session_activity(&login.id, now).await?;
        }
        Ok(Browser { cookie: Zeroizing::new(cookie.to_owned()), is_new: false, login, is_frame, accept_language })
    }

    /// The signed-in user with the session, if the user is active.
    pub(crate) async fn user(&self, store: &Store) -> Result<Option<(BrowserSession, User)>, WebError> {
        let Some(login) = &self.login else {
            return Ok(None);
        };
        let user = store.find_user(&login.user).await?.filter(User::is_active);
        Ok(user.map(|user| (login.clone(), user)))
    }

    /// The CSRF token of this browser's forms, derived from its cookie, which no other site can
    /// read, and from a key, without which a site that can set the cookie cannot compute it.
    pub(crate) fn csrf_token(&self, keys: &SigningKeys) -> String {
        base64url(&keyed(&keys.current().derive_key("tollgate form tokens v1"), &self.cookie))
    }

    /// Whether a form carries this browser's CSRF token.
    pub(super) fn has_csrf_token(&self, keys: &SigningKeys, form: &Parameters) -> bool {
        let token = form.get("csrf").unwrap_or_default();
        bool::from(token.as_bytes().ct_eq(self.csrf_token(keys).as_bytes())) && !self.is_new
    }

    /// The texts in the reader's language: of `ui_locales`, else of `Accept-Language`.
    pub(crate) fn messages(&self, appearance: &Appearance, ui_locales: &str) -> Messages {
        appearance.catalogue.messages(ui_locales, &self.accept_language)
    }

    /// Adds the cookie to a response if it is new.
    pub(super) fn set_new_cookie(&self, issuer: &Issuer, mut response: Response) -> Response {
        if self.is_new {
            set_cookie(issuer, &self.cookie, &mut response);
        }
        response
    }

    /// Signs a user in under a new cookie, so that a cookie that was known before is worth nothing
    /// (session fixation). `user`: as read when the password was checked. A change of the password
    /// ends all sessions; a session that began with the old password during the change ends here.
    pub(super) async fn sign_in(
        &mut self,
        sessions: &BrowserSessions,
        user: &User,
        sender: Sender,
    ) -> Result<BrowserSession, WebError> {
        let (cookie, now) = (Secret::new(SecretKind::Session, &rng::random()?), sessions.clock.now());
        let login = BrowserSession {
            id: BrowserSessionId::from_random(&rng::random()?),
            hash: cookie.hash(),
            user: user.id.clone(),
            auth_time: now,
            seen_at: now,
            sender,
            expires_at: now.saturating_add(BROWSER_SESSION_LIFETIME),
        };
        sessions.store.create_session(&login, self.login.as_ref()).await?;
        let current = sessions.store.find_user(&user.id).await?;
        if current.is_none_or(|current| current.password_hash != user.password_hash) {
            let by = Actor::user(&user.id);
            let ending = Termination::new(&by, "the password was changed during the sign-in", now);
            sessions.store.end_session(&login.id, &ending).await?;
            return Err(WebError::conflict("error-password-changed"));
        }
        self.cookie = Zeroizing::new(cookie.reveal().to_owned());
        self.is_new = true;
        self.login = Some(login.clone());
        Ok(login)
    }
}

/// `SameSite=Lax`: an application redirects the browser here from its own site, and the session
/// must be found then.
fn set_cookie(issuer: &Issuer, cookie: &str, response: &mut Response) {
    let secure = issuer.secure_attribute();
    let name = cookie_name(issuer);
    let text = format!("{name}={cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age={BROWSER_SESSION_LIFETIME}{secure}");
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// Removes the browser's cookie, in place of any that the response sets.
pub(super) fn clear_cookie(issuer: &Issuer, response: &mut Response) {
    let secure = issuer.secure_attribute();
    let text = format!("{}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0{secure}", cookie_name(issuer));
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(SET_COOKIE, value);
    }
}
