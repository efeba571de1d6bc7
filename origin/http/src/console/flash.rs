//! Flash message: the outcome of an action, shown once on the page after it, with a generated
//! secret if there is one. It travels in a cookie of the console that lives a minute, encrypted for
//! the session: any of several origins can show it, and only to this browser.

use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tollgate_messages::Message;
use tollgate_model::BrowserSessionId;
use tollgate_model::encoding::{base64url, from_base64url};
use tollgate_services::signing_keys::SigningKeys;

use crate::extract::cookies;
use crate::issuer::Issuer;

const COOKIE_NAME: &str = "tollgate-flash";
/// Seconds in which the next page must be fetched.
const COOKIE_LIFETIME: u32 = 60;
/// Browsers keep cookies up to 4096 bytes.
const MAX_MESSAGE_BYTES: usize = 1000;
/// Cookies of this name that are tried: another path or domain may have set one, too.
const MAX_COOKIES: usize = 4;

/// A flash message.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Flash {
    /// Empty for none.
    pub(crate) message: String,
    pub(crate) secret_label: String,
    /// A generated secret; empty for none.
    pub(crate) secret: String,
}

impl Flash {
    pub(crate) fn new(message: &Message<'_>) -> Flash {
        let message = message.to_string();
        let end = message.floor_char_boundary(MAX_MESSAGE_BYTES);
        Flash { message: message.get(..end).unwrap_or_default().to_owned(), ..Flash::default() }
    }

    pub(crate) fn with_secret(self, label: &str, secret: &str) -> Flash {
        Flash { secret_label: label.to_owned(), secret: secret.to_owned(), ..self }
    }
}

/// The flash message of the session; empty if it has expired or belongs to another session.
pub(super) fn read(keys: &SigningKeys, login: &BrowserSessionId, headers: &HeaderMap) -> Flash {
    let decrypt = |cookie: &str| {
        let text = keys.current().open_secret(&from_base64url(cookie)?, &context(login)).ok()?;
        serde_json::from_str(&text).ok()
    };
    cookies::values(headers, COOKIE_NAME).take(MAX_COOKIES).find_map(decrypt).unwrap_or_default()
}

/// Sets the flash message for the next page. It is dropped if it cannot be encrypted.
pub(super) fn write(
    issuer: &Issuer,
    keys: &SigningKeys,
    login: &BrowserSessionId,
    flash: &Flash,
    response: &mut Response,
) {
    let Ok(text) = serde_json::to_string(flash).map(zeroize::Zeroizing::new) else {
        return;
    };
    match keys.current().seal_secret(&text, &context(login)) {
        Ok(sealed) => set(issuer, &base64url(&sealed), COOKIE_LIFETIME, response),
        Err(error) => tracing::error!(%error, "encrypting a flash message failed"),
    }
}

/// Removes the cookie, if there is one.
pub(super) fn clear(issuer: &Issuer, headers: &HeaderMap, response: &mut Response) {
    if cookies::values(headers, COOKIE_NAME).next().is_some() {
        set(issuer, "", 0, response);
    }
}

fn set(issuer: &Issuer, value: &str, age: u32, response: &mut Response) {
    let secure = issuer.secure_attribute();
    let path = issuer.issuer_path("/admin");
    let text = format!("{COOKIE_NAME}={value}; Path={path}; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
}

fn context(login: &BrowserSessionId) -> String {
    format!("flash message of the session {login}")
}
