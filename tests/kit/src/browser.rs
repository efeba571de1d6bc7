//! A browser without scripts: keeps cookies, follows redirects one by one, and fills in forms for a
//! user. It never leaves the origin: a redirect to another site is returned to the caller.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Url};

/// More pages than any sign-in has. Beyond it the pages redirect in a circle.
const MAX_PAGES: usize = 12;

/// An HTTP response.
#[derive(Debug, Clone)]
pub struct Page {
    /// URL of the request.
    pub url: Url,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Page {
    /// Reads the whole response.
    pub async fn read(answer: reqwest::Response) -> Result<Self> {
        let (url, status, headers) = (answer.url().clone(), answer.status().as_u16(), answer.headers().clone());
        Ok(Self { url, status, headers, body: answer.text().await? })
    }

    /// Target of a redirect, as an absolute URL.
    pub fn location(&self) -> Option<Url> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        self.url.join(location).ok()
    }

    /// Target of a redirect, as the response names it.
    pub fn redirect(&self) -> Option<String> {
        Some(self.headers.get(LOCATION)?.to_str().ok()?.to_owned())
    }

    /// The value of the first field with this name.
    pub fn field(&self, name: &str) -> Option<String> {
        field(&self.body, name)
    }

    /// A parameter in the query of the redirect's target.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let location = self.location()?;
        location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// How a user answers the forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Username at `/login`.
    pub username: String,
    /// Password at `/login`.
    pub password: String,
    /// Button pressed where a page asks for consent: `allow` or `deny`.
    pub decision: &'static str,
    /// User code typed where a page asks for one.
    pub user_code: Option<String>,
}

impl Person {
    /// A user who signs in with these credentials and allows everything.
    pub fn new(username: &str, password: &str) -> Self {
        Self { username: username.to_owned(), password: password.to_owned(), decision: "allow", user_code: None }
    }

    /// The same user, who denies everything.
    pub fn denying(&self) -> Self {
        Self { decision: "deny", ..self.clone() }
    }
}

/// A browser at one origin.
#[derive(Debug)]
pub struct Browser {
    http: reqwest::Client,
    origin: String,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Clone for Browser {
    /// Another browser with the same cookies at first.
    fn clone(&self) -> Self {
        Self { http: self.http.clone(), origin: self.origin.clone(), cookies: Mutex::new(self.lock_cookies().clone()) }
    }
}

impl Browser {
    /// A browser without cookies. `origin`: scheme, host and port of the origin.
    pub fn new(origin: &str) -> Result<Self> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self::with_client(origin, http))
    }

    /// A browser without cookies that sends its requests by this client, which must not follow
    /// redirects.
    pub fn with_client(origin: &str, http: reqwest::Client) -> Self {
        Self { http, origin: origin.trim_end_matches('/').to_owned(), cookies: Mutex::default() }
    }

    /// Opens a URL and fills in the forms as the user, until the browser is sent to another site,
    /// no form of the page is for the user, or a page reports an error.
    pub async fn visit(&self, url: &str, person: &Person) -> Result<Page> {
        let page = self.open(url).await?;
        self.complete_forms(page, person).await
    }

    /// Fills in the forms as the user, from this page on.
    pub async fn complete_forms(&self, mut page: Page, person: &Person) -> Result<Page> {
        for _ in 0..MAX_PAGES {
            if page.status != 200 {
                return Ok(page);
            }
            let Some(fields) = forms(&page.body).iter().find_map(|form| form.fill_in(person)) else { return Ok(page) };
            page = self.submit(&page, &fields).await?;
        }
        bail!("no end after {MAX_PAGES} pages, the last at {}", page.url)
    }

    /// Opens a URL and follows redirects within the origin to the first page.
    pub async fn open(&self, url: &str) -> Result<Page> {
        let page = self.send(self.http.get(url)).await?;
        self.follow(page).await
    }

    /// Posts a form to a URL and follows redirects within the origin.
    pub async fn post(&self, url: &str, fields: &[(String, String)]) -> Result<Page> {
        let page = self.send(self.http.post(url).form(fields)).await?;
        self.follow(page).await
    }

    /// Opens a page, submits its form with these fields to the same URL, and follows redirects.
    ///
    /// # Errors
    /// If the page has no form with a CSRF token, or the result is not 200.
    pub async fn submit_form(&self, url: &str, fields: &[(&str, &str)]) -> Result<Page> {
        let page = self.open(url).await?;
        let csrf = field(&page.body, "csrf").with_context(|| format!("no form: {}", page.body))?;
        let all = fields.iter().copied().chain([("csrf", csrf.as_str())]);
        let all: Vec<(String, String)> = all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let page = self.post(url, &all).await?;
        ensure!(page.status == 200, "{} {}", page.status, page.body);
        Ok(page)
    }

    async fn submit(&self, page: &Page, submission: &FormSubmission) -> Result<Page> {
        let mut url = page.url.join(&submission.action)?;
        if submission.post {
            return self.post(url.as_str(), &submission.fields).await;
        }
        url.query_pairs_mut().clear().extend_pairs(&submission.fields);
        self.open(url.as_str()).await
    }

    /// Follows redirects within the origin.
    pub async fn follow(&self, mut page: Page) -> Result<Page> {
        for _ in 0..MAX_PAGES {
            match page.location() {
                Some(next) if (300..400).contains(&page.status) && self.is_same_origin(&next) => {
                    // 307 and 308 would send the form again; no page of the origin may ask for
                    // that.
                    ensure!(page.status < 307, "{} redirects by {}", page.url, page.status);
                    page = self.send(self.http.get(next)).await?;
                }
                _ => return Ok(page),
            }
        }
        bail!("redirected {MAX_PAGES} times, the last to {}", page.url)
    }

    fn is_same_origin(&self, url: &Url) -> bool {
        url.origin().ascii_serialization() == self.origin
    }

    /// Sends one request with the cookies, and stores those that the response sets.
    pub async fn send(&self, request: RequestBuilder) -> Result<Page> {
        let request = match self.cookie_header() {
            Some(cookies) => request.header(COOKIE, cookies),
            None => request,
        };
        let page = Page::read(request.send().await?).await?;
        for cookie in page.headers.get_all(SET_COOKIE) {
            self.store_cookie(cookie.to_str()?)?;
        }
        Ok(page)
    }

    /// A browser with the same cookies at first that sends its requests by another client.
    pub fn with_other_client(&self, http: reqwest::Client) -> Self {
        Self { http, ..self.clone() }
    }

    pub fn delete_cookie(&self, name: &str) {
        self.lock_cookies().remove(name);
    }

    /// The `Cookie` header of the next request, if the browser has cookies.
    pub fn cookie_header(&self) -> Option<String> {
        let cookies = self.lock_cookies();
        let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// A request of this browser, to be modified and sent with [`Browser::send`].
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    fn store_cookie(&self, cookie: &str) -> Result<()> {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let (name, value) = pair.split_once('=').context("a cookie without a name")?;
        for required in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            ensure!(attributes.contains(required), "a cookie without {required}: {cookie}");
        }
        if attributes.to_ascii_lowercase().contains("max-age=0") {
            self.lock_cookies().remove(name.trim());
        } else {
            self.lock_cookies().insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(())
    }

    fn lock_cookies(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of the first field with this name.
pub fn field(html: &str, name: &str) -> Option<String> {
    let rest = html.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
    Some(rest.split('"').next()?.to_owned())
}

/// A form of a page.
struct Form {
    action: String,
    post: bool,
    /// Name, type and value of each input and button.
    inputs: Vec<(String, String, String)>,
}

/// A form's submission.
struct FormSubmission {
    action: String,
    post: bool,
    fields: Vec<(String, String)>,
}

impl Form {
    /// Fills in the form as this user; none if the user has no answer to it.
    fn fill_in(&self, person: &Person) -> Option<FormSubmission> {
        let has = |name: &str| self.inputs.iter().any(|(input, ..)| input == name);
        let asks = has("password") || has("decision") || has("user_code") && person.user_code.is_some();
        if !asks {
            return None;
        }
        let mut fields = Vec::new();
        for (name, kind, value) in &self.inputs {
            let value = match (name.as_str(), kind.as_str()) {
                ("", _) | (_, "checkbox" | "radio") => continue,
                ("username", _) => &person.username,
                ("password", _) => &person.password,
                ("user_code", kind) if kind != "hidden" => person.user_code.as_ref().unwrap_or(value),
                ("decision", _) if value != person.decision => continue,
                (name, "submit" | "button") if name != "decision" => continue,
                _ => value,
            };
            fields.push((name.clone(), value.clone()));
        }
        Some(FormSubmission { action: self.action.clone(), post: self.post, fields })
    }
}

/// Parses the forms of a page. Reads only what the origin's templates write: attributes in double
/// quotes.
fn forms(html: &str) -> Vec<Form> {
    let parts = html.split("<form").skip(1);
    parts
        .map(|part| {
            let inside = part.split("</form>").next().unwrap_or_default();
            let (head, body) = inside.split_once('>').unwrap_or((inside, ""));
            let tags = body.split('<').filter(|tag| tag.starts_with("input") || tag.starts_with("button"));
            let inputs = tags
                .map(|tag| {
                    let tag = tag.split('>').next().unwrap_or_default();
                    let kind = if tag.starts_with("button") { "submit" } else { "text" };
                    let text = |name| attribute(tag, name).unwrap_or_default();
                    (text("name"), attribute(tag, "type").unwrap_or_else(|| kind.to_owned()), text("value"))
                })
                .collect();
            let post = attribute(head, "method").is_some_and(|method| method.eq_ignore_ascii_case("post"));
            Form { action: attribute(head, "action").unwrap_or_default(), post, inputs }
        })
        .collect()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\"")).map(|at| at + name.len() + 3)?;
    let value = tag[start..].split('"').next()?;
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#x27;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&#38;", "&")
            .replace("&amp;", "&"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_parsed_and_filled_in() {
        let page = r#"<form action="/consent?a=1&amp;b=2" method="post"><input type="hidden" name="csrf" value="x&quot;y">
            <button name="decision" value="allow">Yes</button><button name="decision" value="deny">No</button></form>"#;
        let person = Person::new("alice", "secret");
        let submission = forms(page)[0].fill_in(&person.denying()).expect("the form asks for a decision");
        assert_eq!((submission.action.as_str(), submission.post), ("/consent?a=1&b=2", true));
        let pairs: Vec<(&str, &str)> = submission.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(pairs, [("csrf", "x\"y"), ("decision", "deny")]);
        assert!(forms("<form action=\"/search\"><input name=\"q\"></form>")[0].fill_in(&person).is_none());
    }
}
