//! A signed-in browser, as far as the scenarios need one: cookies, and the CSRF token of forms.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{RequestBuilder, Response};

use super::failure::Failure;
use super::target::Target;

/// Cookies of a browser.
#[derive(Clone, Default)]
pub(super) struct Session {
    cookies: BTreeMap<String, String>,
    /// CSRF token of the device page, for approvals.
    csrf: String,
}

impl Session {
    /// Opens the sign-in page and sends its form, as one operation of the scenario `sign-in`.
    pub(super) async fn sign_in(target: &Target) -> Result<Session, Failure> {
        let (name, password) = target.credentials.user.as_ref().ok_or(Failure::Lacks("a user"))?;
        let mut session = Session::default();
        let page = session.send(target.http.get(target.at("/login"))).await?;
        let csrf = csrf_token(page).await?;
        let form = [("csrf", csrf.as_str()), ("username", name.as_str()), ("password", password.as_str())];
        let answer = session.send(target.http.post(target.at("/login")).form(&form)).await?;
        match answer.status().is_redirection() {
            true => Ok(session),
            false => Err(Failure::of_status(answer.status().as_u16(), b"")),
        }
    }

    /// Signs in, and opens the device page for the CSRF token of approvals.
    pub(super) async fn for_devices(target: &Target) -> Result<Session, Failure> {
        let mut session = Session::sign_in(target).await?;
        let page = session.send(target.http.get(target.at("/device"))).await?;
        session.csrf = csrf_token(page).await?;
        Ok(session)
    }

    /// Approves a device, as its user does after comparing the code.
    pub(super) async fn approve(&mut self, target: &Target, user_code: &str) -> Result<(), Failure> {
        let csrf = self.csrf.clone();
        let form = [("csrf", csrf.as_str()), ("user_code", user_code), ("decision", "allow")];
        let answer = self.send(target.http.post(target.at("/device")).form(&form)).await?;
        let status = answer.status().as_u16();
        // Read whole, so that the connection can be used again.
        let body = answer.bytes().await?;
        if status == 200 { Ok(()) } else { Err(Failure::of_status(status, &body)) }
    }

    async fn send(&mut self, request: RequestBuilder) -> Result<Response, Failure> {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header(COOKIE, cookies.join("; ")) };
        let response = request.send().await?;
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().ok().and_then(|cookie| cookie.split(';').next()?.split_once('='));
            if let Some((name, value)) = pair {
                self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        Ok(response)
    }
}

/// The hidden field `csrf` of a page with status 200.
async fn csrf_token(page: Response) -> Result<String, Failure> {
    let (status, body) = (page.status().as_u16(), page.bytes().await?);
    if status != 200 {
        return Err(Failure::of_status(status, &body));
    }
    find_csrf_token(&String::from_utf8_lossy(&body)).ok_or(Failure::Lacks("a form"))
}

fn find_csrf_token(html: &str) -> Option<String> {
    let (_, rest) = html.split_once("name=\"csrf\" value=\"")?;
    rest.split_once('"').map(|(token, _)| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_of_a_form_is_found() {
        let html = r#"<form method="post"><input type="hidden" name="csrf" value="abc-_1"><input name="x"></form>"#;
        assert_eq!(find_csrf_token(html).as_deref(), Some("abc-_1"));
        assert_eq!(find_csrf_token("<form></form>"), None);
    }
}
