//! A person with a browser: keeps cookies, follows redirects one by one, reads the forms of a page and fills them in. It
//! runs no script, and never leaves the origin: a redirect to elsewhere is handed to whoever asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Url};

/// More pages than any sign-in has; past it the pages go round in circles.
const MAX_PAGES: usize = 12;

/// What came back.
#[derive(Debug, Clone)]
pub struct Page {
    /// What was asked for.
    pub url: Url,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Page {
    /// Reads an answer to its end.
    pub async fn read(answer: reqwest::Response) -> Result<Self> {
        let (url, status, headers) = (answer.url().clone(), answer.status().as_u16(), answer.headers().clone());
        Ok(Self { url, status, headers, body: answer.text().await? })
    }

    /// Where a redirect leads, absolute.
    pub fn location(&self) -> Option<Url> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        self.url.join(location).ok()
    }

    /// A parameter of the redirect's query.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let location = self.location()?;
        location.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// What the person does at the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// For `/login`.
    pub username: String,
    /// For `/login`.
    pub password: String,
    /// Pressed where a page asks: `allow` or `deny`.
    pub decision: &'static str,
    /// Typed where a page asks for it.
    pub user_code: Option<String>,
}

impl Person {
    /// Signs in by these and allows everything.
    pub fn new(username: &str, password: &str) -> Self {
        Self { username: username.to_owned(), password: password.to_owned(), decision: "allow", user_code: None }
    }

    /// The same person in a worse mood.
    pub fn denying(&self) -> Self {
        Self { decision: "deny", ..self.clone() }
    }
}

/// A browser with one origin open.
#[derive(Debug, Clone)]
pub struct Browser {
    http: reqwest::Client,
    origin: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// A browser that knows nobody. `origin`: scheme, host and port of the origin.
    pub fn new(origin: &str) -> Result<Self> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { http, origin: origin.trim_end_matches('/').to_owned(), cookies: BTreeMap::new() })
    }

    /// Opens a URL and plays the person at every page, until the browser is sent away from the origin, the person has
    /// nothing to do at a page, or a page says that something is wrong.
    pub async fn visit(&mut self, url: &str, person: &Person) -> Result<Page> {
        let page = self.open(url).await?;
        self.play(page, person).await
    }

    /// Goes on from a page as the person.
    pub async fn play(&mut self, mut page: Page, person: &Person) -> Result<Page> {
        for _ in 0..MAX_PAGES {
            if page.status != 200 {
                return Ok(page);
            }
            let Some(fields) = forms(&page.body).iter().find_map(|form| form.filled(person)) else { return Ok(page) };
            page = self.submit(&page, &fields).await?;
        }
        bail!("{MAX_PAGES} pages and no end, the last at {}", page.url)
    }

    /// Opens a URL and follows redirects within the origin; stops at the first page.
    pub async fn open(&mut self, url: &str) -> Result<Page> {
        let page = self.send(self.http.get(url)).await?;
        self.follow(page).await
    }

    /// Posts a form to a URL and follows redirects within the origin.
    pub async fn post(&mut self, url: &str, fields: &[(String, String)]) -> Result<Page> {
        let page = self.send(self.http.post(url).form(fields)).await?;
        self.follow(page).await
    }

    /// Opens a page, fills these fields into its form and sends it to the same URL; what came back after redirects.
    ///
    /// # Errors
    /// When the page has no form of the origin's, or the origin does not take it.
    pub async fn submit_form(&mut self, url: &str, fields: &[(&str, &str)]) -> Result<Page> {
        let page = self.open(url).await?;
        let csrf = field(&page.body, "csrf").with_context(|| format!("no form: {}", page.body))?;
        let all = fields.iter().copied().chain([("csrf", csrf.as_str())]);
        let all: Vec<(String, String)> = all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let page = self.post(url, &all).await?;
        ensure!(page.status == 200, "{} {}", page.status, page.body);
        Ok(page)
    }

    async fn submit(&mut self, page: &Page, filled: &Filled) -> Result<Page> {
        let mut url = page.url.join(&filled.action)?;
        if filled.post {
            return self.post(url.as_str(), &filled.fields).await;
        }
        url.query_pairs_mut().clear().extend_pairs(&filled.fields);
        self.open(url.as_str()).await
    }

    /// Follows redirects within the origin from an answer.
    pub async fn follow(&mut self, mut page: Page) -> Result<Page> {
        for _ in 0..MAX_PAGES {
            match page.location() {
                Some(next) if (300..400).contains(&page.status) && self.is_home(&next) => {
                    // 307 and 308 would have the form sent again; no page of the origin's may ask for that.
                    ensure!(page.status < 307, "{} redirects by {}", page.url, page.status);
                    page = self.send(self.http.get(next)).await?;
                }
                _ => return Ok(page),
            }
        }
        bail!("redirected {MAX_PAGES} times, the last to {}", page.url)
    }

    fn is_home(&self, url: &Url) -> bool {
        url.origin().ascii_serialization() == self.origin
    }

    /// One request with the cookies, which the answer may change.
    pub async fn send(&mut self, request: RequestBuilder) -> Result<Page> {
        let mut cookies = String::new();
        for (name, value) in &self.cookies {
            let _ = write!(cookies, "{}{name}={value}", if cookies.is_empty() { "" } else { "; " });
        }
        let request = if cookies.is_empty() { request } else { request.header(COOKIE, cookies) };
        let page = Page::read(request.send().await?).await?;
        for cookie in page.headers.get_all(SET_COOKIE) {
            self.keep(cookie.to_str()?)?;
        }
        Ok(page)
    }

    /// A request of this browser's, to be changed and sent.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    fn keep(&mut self, cookie: &str) -> Result<()> {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let (name, value) = pair.split_once('=').context("a cookie without a name")?;
        if attributes.to_ascii_lowercase().contains("max-age=0") {
            self.cookies.remove(name.trim());
        } else {
            self.cookies.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        Ok(())
    }
}

/// The value of the first field of this name.
pub fn field(html: &str, name: &str) -> Option<String> {
    let rest = html.split(&format!("name=\"{name}\" value=\"")).nth(1)?;
    Some(rest.split('"').next()?.to_owned())
}

/// A form as the page has it.
struct Form {
    action: String,
    post: bool,
    /// Name, type and value of each input and button.
    inputs: Vec<(String, String, String)>,
}

/// What is to be sent.
struct Filled {
    action: String,
    post: bool,
    fields: Vec<(String, String)>,
}

impl Form {
    /// The form as this person sends it; none if it asks for nothing that the person knows.
    fn filled(&self, person: &Person) -> Option<Filled> {
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
        Some(Filled { action: self.action.clone(), post: self.post, fields })
    }
}

/// The forms of a page. Enough HTML for pages that are made by templates: attributes in double quotes.
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
    fn a_form_is_read_and_filled_in() {
        let page = r#"<form action="/consent?a=1&amp;b=2" method="post"><input type="hidden" name="csrf" value="x&quot;y">
            <button name="decision" value="allow">Yes</button><button name="decision" value="deny">No</button></form>"#;
        let person = Person::new("alice", "secret");
        let filled = forms(page)[0].filled(&person.denying()).expect("it asks for a decision");
        assert_eq!((filled.action.as_str(), filled.post), ("/consent?a=1&b=2", true));
        let pairs: Vec<(&str, &str)> = filled.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(pairs, [("csrf", "x\"y"), ("decision", "deny")]);
        assert!(forms("<form action=\"/search\"><input name=\"q\"></form>")[0].filled(&person).is_none());
    }
}
