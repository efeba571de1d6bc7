//! Known devices: a cookie by which a browser shows that a user signed in there before, so that
//! limits on sign-in attempts by strangers do not lock the user out (see
//! [`tollgate_services::rate_limit`]).
//!
//! The cookie identifies the device by random bytes and carries, for each of the last accounts, a
//! code that only this origin can compute from both. It grants no access, does not reveal the
//! account, and outlives the session.

use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use subtle::ConstantTimeEq as _;
use tollgate_model::UserName;
use tollgate_model::encoding::{base64url, from_base64url};
use tollgate_model::secret::keyed;
use tollgate_services::rate_limit::SignInAttempt;
use tollgate_services::signing_keys::SigningKeys;
use tollgate_system::rng;

use super::browser::issuer_cookie_name;
use super::error::WebError;
use super::page_request::PageRequest;
use super::state::PageState;
use crate::extract::cookies;
use crate::issuer::Issuer;

/// Accounts that one device is known for.
const MAX_ACCOUNTS: usize = 4;
/// How long a browser keeps the cookie, in seconds: a year.
const COOKIE_LIFETIME: u64 = 365 * 24 * 60 * 60;
const DEVICE_BYTES: usize = 12;

/// Counts an attempt at the password of an account, which need not exist. Call it before checking
/// the password, and report the outcome to the attempt.
pub(crate) async fn begin_attempt<'a>(
    state: &'a PageState,
    request: &PageRequest,
    name: &str,
) -> Result<SignInAttempt<'a>, WebError> {
    state.password_hasher.check_capacity()?;
    let (account, address) = (account(name), request.caller.address(&state.proxies));
    let device = KnownDevice::from_request(&state.issuer, request);
    let device = device.filter(|device| device.is_known_for(&state.keys, &account));
    Ok(state.rate_limiter.begin_sign_in(&account, address, device.map(|device| device.id).as_deref()).await?)
}

/// Sets the cookie that shows that this account signed in on this device.
pub(crate) fn remember(request: &PageRequest, name: &str, response: &mut Response) -> Result<(), WebError> {
    let PageState { issuer, keys, .. } = &*request.state;
    let device = match KnownDevice::from_request(issuer, request) {
        Some(device) => device,
        None => KnownDevice { id: base64url(&rng::random::<DEVICE_BYTES>()?), codes: Vec::new() },
    };
    let newest = device.code(keys, &account(name));
    let others = device.codes.iter().filter(|code| **code != newest).cloned();
    let codes: Vec<String> = [newest.clone()].into_iter().chain(others).take(MAX_ACCOUNTS).collect();
    let secure = issuer.secure_attribute();
    let text = format!(
        "{}={}.{}; Path=/; HttpOnly; SameSite=Lax; Max-Age={COOKIE_LIFETIME}{secure}",
        cookie_name(issuer),
        device.id,
        codes.join(".")
    );
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
    Ok(())
}

/// The normalized username, whether or not such an account exists.
pub(crate) fn account(typed: &str) -> String {
    match typed.parse::<UserName>() {
        Ok(name) => name.as_str().to_owned(),
        // Not a username. Line breaks are removed: they separate the parts that are hashed.
        Err(_) => typed.chars().filter(|char| !char.is_control()).take(255).collect(),
    }
}

fn cookie_name(issuer: &Issuer) -> String {
    issuer_cookie_name(issuer, "tollgate-device")
}

/// A device, as its cookie identifies it.
struct KnownDevice {
    id: String,
    codes: Vec<String>,
}

impl KnownDevice {
    fn from_request(issuer: &Issuer, request: &PageRequest) -> Option<KnownDevice> {
        let name = cookie_name(issuer);
        cookies::values(&request.caller.headers, &name).find_map(KnownDevice::parse)
    }

    fn parse(text: &str) -> Option<KnownDevice> {
        let mut parts = text.split('.');
        let id = parts.next().filter(|id| from_base64url(id).is_some_and(|bytes| bytes.len() == DEVICE_BYTES))?;
        Some(KnownDevice { id: id.to_owned(), codes: parts.take(MAX_ACCOUNTS).map(str::to_owned).collect() })
    }

    fn is_known_for(&self, keys: &SigningKeys, account: &str) -> bool {
        let expected = self.code(keys, account);
        let fits = |code: &String| bool::from(code.as_bytes().ct_eq(expected.as_bytes()));
        self.codes.iter().fold(false, |known, code| known | fits(code))
    }

    fn code(&self, keys: &SigningKeys, account: &str) -> String {
        let key = keys.current().derive_key("tollgate devices v1");
        base64url(&keyed(&key, &format!("{}\n{account}", self.id))[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_identifies_a_device_and_a_few_accounts() {
        let device = KnownDevice::parse("AAAAAAAAAAAAAAAA.a.b.c.d.e").expect("a device");
        assert_eq!((device.id.as_str(), device.codes.len()), ("AAAAAAAAAAAAAAAA", MAX_ACCOUNTS));
        for text in ["", "AAAA.a", "AAAAAAAAAAAAAAAAAAAA.a", "!"] {
            assert!(KnownDevice::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn usernames_are_normalized_to_one_line() {
        assert_eq!(account(" Ada@Example.org "), "ada@example.org");
        assert_eq!(account("a\nb"), "ab");
        assert_eq!(account(&"x".repeat(1000)).len(), 255);
    }
}
