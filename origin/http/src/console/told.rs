//! What an act leaves for the page after it: a message, and a secret that is shown this once. It travels in a cookie of the console's
//! own that lives a minute, encrypted for the session it was made in: so any origin of several can show it, and no other browser.

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tollgate_model::LoginId;
use tollgate_model::encoding::{base64url, from_base64url};

use crate::{App, cookies};

const NAME: &str = "tollgate-told";
/// Seconds in which the next page must be fetched.
const LIFETIME: u32 = 60;
/// Bytes of a message at most: browsers keep cookies up to 4096.
const MAX_MESSAGE: usize = 1000;
/// Cookies of our name that are tried: another path or domain may have set one, too.
const MAX_COOKIES: usize = 4;

/// What is told once.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// What was done; empty for nothing.
    pub(crate) done: String,
    /// What a secret is called; empty for none.
    pub(crate) label: String,
    /// The secret.
    pub(crate) secret: String,
}

impl Told {
    /// A message.
    pub(crate) fn done(message: &str) -> Told {
        let end = message.floor_char_boundary(MAX_MESSAGE);
        Told { done: message.get(..end).unwrap_or_default().to_owned(), ..Told::default() }
    }

    /// The message, with a secret that is shown this once.
    pub(crate) fn with_secret(self, label: &str, secret: &str) -> Told {
        Told { label: label.to_owned(), secret: secret.to_owned(), ..self }
    }
}

/// What the session was told by its last act; nothing if that was long ago, or the cookie is another's.
pub(super) fn read(app: &App, login: &LoginId, headers: &HeaderMap) -> Told {
    let opened = |cookie: &str| {
        let text = app.keys.current().open_secret(&from_base64url(cookie)?, &context(login)).ok()?;
        serde_json::from_str(&text).ok()
    };
    cookies::named(headers, NAME).take(MAX_COOKIES).find_map(opened).unwrap_or_default()
}

/// Leaves it for the next page. What cannot be encrypted is not told.
pub(super) fn write(app: &App, login: &LoginId, told: &Told, response: &mut Response) {
    let Ok(text) = serde_json::to_string(told).map(zeroize::Zeroizing::new) else {
        return;
    };
    match app.keys.current().seal_secret(&text, &context(login)) {
        Ok(sealed) => set(app, &base64url(&sealed), LIFETIME, response),
        Err(error) => tracing::error!(%error, "a message for an operator could not be encrypted"),
    }
}

/// Takes the cookie away, if there is one: it was told.
pub(super) fn forget(app: &App, headers: &HeaderMap, response: &mut Response) {
    if cookies::named(headers, NAME).next().is_some() {
        set(app, "", 0, response);
    }
}

fn set(app: &App, value: &str, age: u32, response: &mut Response) {
    let secure = if app.issuer.starts_with("https://") { "; Secure" } else { "" };
    let path = app.at("/admin");
    let text = format!("{NAME}={value}; Path={path}; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
}

fn context(login: &LoginId) -> String {
    format!("told in the session {login}")
}
