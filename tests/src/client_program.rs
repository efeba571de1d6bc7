//! Client applications as their users run them: programs with pages of their own, and a browser
//! that goes back and forth between their pages and the origin's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use reqwest::Url;
use reqwest::header::{ACCEPT, COOKIE, SET_COOKIE};
use tempfile::TempDir;

use crate::browser::{Browser, Page, Person};
use crate::process::ChildProcess;

/// Longest wait for an application to start, on a busy machine: Keycloak builds itself first.
const START_TIMEOUT: Duration = Duration::from_secs(300);
/// More redirects between two sites than any sign-in has.
const MAX_REDIRECTS: usize = 30;

/// A running application. It ends when dropped.
pub struct ClientProgram {
    /// Its base URL.
    pub url: String,
    process: ChildProcess,
    folder: TempDir,
}

impl ClientProgram {
    /// Starts the application, and waits until it answers at this port of 127.0.0.1.
    ///
    /// # Errors
    /// If it exits, or does not answer in time.
    pub async fn start(mut command: Command, port: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let log = File::create(folder.path().join("log"))?;
        command.stdout(log.try_clone()?).stderr(log);
        let process = ChildProcess::start(&mut command)?;
        let mut program = Self { url: format!("http://127.0.0.1:{port}"), process, folder };
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let started = Instant::now();
        while http.get(&program.url).send().await.is_err() {
            if let Some(status) = program.process.exit_status()? {
                bail!("the application exited with {status}:\n{}", program.log_tail());
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("the application does not answer:\n{}", program.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(program)
    }

    /// Everything that it printed.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("log"))?)
    }

    /// The last 40 lines that it printed.
    pub fn log_tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// A browser of one user: at the origin it fills in the forms, at other sites it follows redirects.
pub struct UserBrowser {
    /// The part that is at the origin.
    pub origin: Browser,
    person: Person,
    site: Url,
    http: reqwest::Client,
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

impl UserBrowser {
    /// A browser without cookies.
    ///
    /// # Errors
    /// If the URL of the origin is invalid.
    pub fn new(origin: &str, person: Person) -> Result<Self> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let (site, cookies) = (Url::parse(origin)?, Mutex::default());
        Ok(Self { origin: Browser::new(origin)?, person, site, http, cookies })
    }

    /// Opens a URL and follows redirects across sites; the user signs in and consents at the
    /// origin. Returns the page where this ends, or a redirect to a site whose host ends in
    /// `.example`, where nobody listens.
    ///
    /// # Errors
    /// If a site does not answer, or redirects without end.
    pub async fn visit(&self, url: &str) -> Result<Page> {
        let mut url = Url::parse(url)?;
        for _ in 0..MAX_REDIRECTS {
            let page = match url.origin() == self.site.origin() {
                true => self.origin.visit(url.as_str(), &self.person).await?,
                false => self.open(&url).await?,
            };
            match page.location().filter(|_| (300..400).contains(&page.status)) {
                Some(next) if next.host_str().is_some_and(|host| host.ends_with(".example")) => return Ok(page),
                Some(next) => url = next,
                None => return Ok(page),
            }
        }
        bail!("redirected {MAX_REDIRECTS} times, the last to {url}")
    }

    async fn open(&self, url: &Url) -> Result<Page> {
        let site = url.origin().ascii_serialization();
        let mut request = self.http.get(url.clone()).header(ACCEPT, "text/html,*/*;q=0.8");
        if let Some(cookies) = self.cookie_header(&site) {
            request = request.header(COOKIE, cookies);
        }
        let page = Page::read(request.send().await?).await?;
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        for cookie in page.headers.get_all(SET_COOKIE) {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').context("a cookie without a name")?;
            let key = (site.clone(), name.trim().to_owned());
            match value.trim() {
                "" => cookies.remove(&key),
                value => cookies.insert(key, value.to_owned()),
            };
        }
        drop(cookies);
        Ok(page)
    }

    fn cookie_header(&self, site: &str) -> Option<String> {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        let own = cookies.iter().filter(|((owner, _), _)| owner == site);
        let pairs: Vec<String> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}
