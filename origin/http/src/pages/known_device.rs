//! Tries at a password, and the cookie by which a browser shows that its user signed in there before: so that a limit on strangers
//! is none on them ([`tollgate_services::rate_limit`] tells why).
//!
//! The cookie names the device by random bytes, and carries for each of the last accounts a code that only this origin can make of
//! both. It opens nothing, tells nobody whose it is, and outlives the session.

use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use subtle::ConstantTimeEq as _;
use tollgate_model::UserName;
use tollgate_model::encoding::{base64url, from_base64url};
use tollgate_model::secret::keyed;
use tollgate_services::rate_limit::Attempt;
use tollgate_system::ambient;

use super::browser::cookie_named;
use super::page::WebError;
use super::visit::Visit;
use crate::{App, AppState, cookies};

/// Accounts that a device is known for.
const ACCOUNTS: usize = 4;
/// How long a browser keeps the cookie, in seconds: a year.
const LIFETIME: u64 = 365 * 24 * 60 * 60;
const DEVICE_BYTES: usize = 12;

/// Counts a try at the password of the account of this name, which need not exist. To be called before the password is looked at,
/// and to be told how it went.
pub(crate) async fn begin<'a>(app: &'a AppState, visit: &Visit, name: &str) -> Result<Attempt<'a>, WebError> {
    app.forge.has_room()?;
    let (account, address) = (account(name), visit.caller.address(&app.grants.trusted_proxies));
    let device = Device::of(app, visit).filter(|device| device.is_known_for(app, &account));
    Ok(app.guard.sign_in(&account, address, device.map(|device| device.id).as_deref()).await?)
}

/// Has the browser show from now on that the user of this account signed in there.
pub(crate) fn remember(visit: &Visit, name: &str, response: &mut Response) -> Result<(), WebError> {
    let app = &visit.app;
    let device = match Device::of(app, visit) {
        Some(device) => device,
        None => Device { id: base64url(&ambient::random::<DEVICE_BYTES>()?), codes: Vec::new() },
    };
    let newest = device.code(app, &account(name));
    let others = device.codes.iter().filter(|code| **code != newest).cloned();
    let codes: Vec<String> = [newest.clone()].into_iter().chain(others).take(ACCOUNTS).collect();
    let secure = if app.issuer.starts_with("https://") { "; Secure" } else { "" };
    let text = format!(
        "{}={}.{}; Path=/; HttpOnly; SameSite=Lax; Max-Age={LIFETIME}{secure}",
        cookie_name(app),
        device.id,
        codes.join(".")
    );
    if let Ok(mut value) = HeaderValue::try_from(text) {
        value.set_sensitive(true);
        response.headers_mut().append(SET_COOKIE, value);
    }
    Ok(())
}

/// The name as accounts have it, whether there is such an account or not.
fn account(typed: &str) -> String {
    match typed.parse::<UserName>() {
        Ok(name) => name.as_str().to_owned(),
        // No account has it; a line break would make it a part of another name.
        Err(_) => typed.chars().filter(|char| !char.is_control()).take(255).collect(),
    }
}

fn cookie_name(app: &App) -> String {
    cookie_named(app, "tollgate-device")
}

/// What a browser shows.
struct Device {
    id: String,
    codes: Vec<String>,
}

impl Device {
    fn of(app: &App, visit: &Visit) -> Option<Device> {
        let name = cookie_name(app);
        cookies::named(&visit.caller.headers, &name).find_map(Device::read)
    }

    fn read(text: &str) -> Option<Device> {
        let mut parts = text.split('.');
        let id = parts.next().filter(|id| from_base64url(id).is_some_and(|bytes| bytes.len() == DEVICE_BYTES))?;
        Some(Device { id: id.to_owned(), codes: parts.take(ACCOUNTS).map(str::to_owned).collect() })
    }

    fn is_known_for(&self, app: &App, account: &str) -> bool {
        let expected = self.code(app, account);
        let fits = |code: &String| bool::from(code.as_bytes().ct_eq(expected.as_bytes()));
        self.codes.iter().fold(false, |known, code| known | fits(code))
    }

    fn code(&self, app: &App, account: &str) -> String {
        let key = app.keys.current().derived("tollgate devices v1");
        base64url(&keyed(&key, &format!("{}\n{account}", self.id))[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_names_a_device_and_a_few_accounts() {
        let device = Device::read("AAAAAAAAAAAAAAAA.a.b.c.d.e").expect("a device");
        assert_eq!((device.id.as_str(), device.codes.len()), ("AAAAAAAAAAAAAAAA", ACCOUNTS));
        for text in ["", "AAAA.a", "AAAAAAAAAAAAAAAAAAAA.a", "!"] {
            assert!(Device::read(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_name_is_one_line_however_it_is_typed() {
        assert_eq!(account(" Ada@Example.org "), "ada@example.org");
        assert_eq!(account("a\nb"), "ab");
        assert_eq!(account(&"x".repeat(1000)).len(), 255);
    }
}
