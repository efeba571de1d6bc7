//! A flood of sign-ins at an origin in its own process, and how the origin copes; for a test and
//! for the benchmark.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::browser::Page;
use crate::client::TestClient;
use crate::database::TestDatabase;
use crate::origin_process::OriginProcess;
use crate::users::PASSWORD;

/// Password hashing threads.
const WORKERS: u32 = 2;
/// Password hashes that may wait for a thread.
const QUEUE: u32 = 32;
/// Sign-ins sent per second, as a multiple of what the threads can hash.
const OVERLOAD_FACTOR: f64 = 10.0;
/// Maximum concurrent requests of the flood. Further ones are not sent: they would only wait in
/// this process.
const MAX_CONCURRENT: usize = 512;
/// Longest wait for a sign-in to succeed, on a busy machine.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(60);
const MIB: u64 = 1024 * 1024;

/// Measurements of a flood.
pub struct FloodReport {
    /// Duration of the flood.
    pub lasted: Duration,
    /// Duration of one sign-in without load.
    pub alone: Duration,
    /// Sign-ins whose password was hashed.
    pub hashed: usize,
    /// Response times of the sign-ins refused with 503, sorted.
    pub refused: Vec<Duration>,
    /// Sign-ins not sent because `MAX_CONCURRENT` were in progress.
    pub unsent: usize,
    /// Times in which a client got a token and introspected it, sorted.
    pub services: Vec<Duration>,
    /// Resident memory before the flood, in bytes.
    pub memory_before: u64,
    /// Peak resident memory, in bytes.
    pub memory: u64,
    /// Duration of the first sign-in served after the flood.
    pub recovered: Duration,
}

/// Floods a new origin for this long. Rate limits are off, so that the password hashing pool is
/// what limits.
pub async fn run(lasted: Duration) -> Result<FloodReport> {
    let mut served = OriginProcess::new(TestDatabase::Sqlite)?;
    let http = reqwest::Client::new();
    served.set("TOLLGATE_LIMITS", "off");
    served.set("TOLLGATE_HASH_WORKERS", &WORKERS.to_string());
    served.set("TOLLGATE_HASH_QUEUE", &QUEUE.to_string());
    served.start(&http).await?;
    served.cli_with(&["user", "create", "alice", "--password-stdin"], PASSWORD)?;
    let client =
        TestClient::from_cli_output(&served.url, &served.cli(&["client", "create", "--json", "--name", "service"])?)?;
    let form = SignInForm::of(&served.url).await?;

    // Warms up: the threads allocate their memory once.
    time_sign_in(&form, "wrong password", 403).await?;
    let alone = time_sign_in(&form, "wrong password", 403).await?;
    let rate = OVERLOAD_FACTOR * f64::from(WORKERS) / alone.as_secs_f64();
    let memory_before = served.resident_memory()?;
    let flood = tokio::spawn(flood(form.clone(), rate, lasted));
    let (mut services, mut memory) = (Vec::new(), memory_before);
    while !flood.is_finished() {
        let asked = Instant::now();
        let token = client.token("").await?;
        ensure!(client.introspect(&token).await?["active"] == true, "introspection answers during the flood");
        services.push(asked.elapsed());
        memory = memory.max(served.resident_memory()?);
        sleep(Duration::from_millis(50)).await;
    }
    let mut answers = flood.await??;
    let over = Instant::now();
    time_sign_in(&form, PASSWORD, 303).await?;
    let recovered = over.elapsed();
    served.delete().await?;
    answers.refused.sort();
    services.sort();
    let Answers { hashed, refused, unsent } = answers;
    Ok(FloodReport { lasted, alone, hashed, refused, unsent, services, memory_before, memory, recovered })
}

impl FloodReport {
    /// Memory growth allowed: the pool's, plus a share for each connection.
    pub fn memory_bound(&self) -> u64 {
        u64::from(WORKERS) * 19 * MIB + MAX_CONCURRENT as u64 * 256 * 1024 + 32 * MIB
    }
}

impl fmt::Display for FloodReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity = f64::from(WORKERS) / self.alone.as_secs_f64();
        writeln!(f, "{WORKERS} threads, {:.1?} a sign-in, hence about {capacity:.0} a second", self.alone)?;
        writeln!(
            f,
            "{:.0?} of flood at {OVERLOAD_FACTOR} times that: {} hashed, {} refused with 503, {} not sent while {MAX_CONCURRENT} were in progress",
            self.lasted,
            self.hashed,
            self.refused.len(),
            self.unsent
        )?;
        let [median, most] = [50, 99].map(|percent| percentile(&self.refused, percent));
        writeln!(f, "a 503 took {median:.1?} at the median, {most:.1?} for 99 %")?;
        let [median, most] = [50, 99].map(|percent| percentile(&self.services, percent));
        let count = self.services.len();
        writeln!(
            f,
            "{count} clients got a token and introspected it: {median:.1?} at the median, {most:.1?} for 99 %"
        )?;
        let [before, most] = [self.memory_before, self.memory].map(|bytes| bytes / MIB);
        writeln!(f, "memory: {before} MiB before, {most} MiB at most; the pool takes {} MiB", WORKERS * 19)?;
        write!(f, "the first sign-in afterwards took {:.1?}", self.recovered)
    }
}

/// Counts of the flood's responses.
#[derive(Default)]
struct Answers {
    hashed: usize,
    refused: Vec<Duration>,
    unsent: usize,
}

/// The sign-in form of one browser.
#[derive(Clone)]
pub struct SignInForm {
    http: reqwest::Client,
    url: String,
    cookie: String,
    csrf: String,
}

impl SignInForm {
    /// Fetches the sign-in form as a browser without cookies gets it.
    pub async fn of(origin: &str) -> Result<Self> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let url = format!("{origin}/login");
        let page = Page::read(http.get(&url).send().await?).await?;
        let cookie = page.headers.get("set-cookie").context("a cookie")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let csrf = page.body.split(r#"name="csrf" value=""#).nth(1).and_then(|rest| rest.split('"').next());
        Ok(Self { csrf: csrf.context("a form")?.to_owned(), http, url, cookie })
    }

    /// The request that submits the form.
    pub fn request(&self, name: &str, password: &str) -> reqwest::RequestBuilder {
        let form = [("csrf", self.csrf.as_str()), ("username", name), ("password", password)];
        self.http.post(&self.url).header("cookie", &self.cookie).form(&form)
    }
}

/// Sends `rate` sign-ins per second.
async fn flood(form: SignInForm, rate: f64, duration: Duration) -> Result<Answers> {
    let (began, slots) = (Instant::now(), Arc::new(Semaphore::new(MAX_CONCURRENT)));
    let (mut answers, mut sent, mut asking) = (Answers::default(), 0, JoinSet::new());
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while began.elapsed() < duration {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * rate) as usize;
        for nth in sent..due {
            let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                answers.unsent += 1;
                continue;
            };
            let request = form.request(&format!("user {nth}"), "wrong password");
            asking.spawn(async move {
                let asked = Instant::now();
                let answer = request.send().await?;
                let response =
                    (answer.status().as_u16(), answer.headers().contains_key("retry-after"), asked.elapsed());
                drop((answer.bytes().await?, slot));
                Ok::<_, reqwest::Error>(response)
            });
        }
        sent = due;
        while let Some(response) = asking.try_join_next() {
            answers.count(response??)?;
        }
    }
    while let Some(response) = asking.join_next().await {
        answers.count(response??)?;
    }
    Ok(answers)
}

impl Answers {
    fn count(&mut self, (status, says_when, took): (u16, bool, Duration)) -> Result<()> {
        match status {
            403 => self.hashed += 1,
            503 if says_when => self.refused.push(took),
            other => anyhow::bail!("a sign-in was answered {other}"),
        }
        Ok(())
    }
}

/// Retries a sign-in while the answer is 503, and returns how long the last attempt took.
pub async fn time_sign_in(form: &SignInForm, password: &str, expected: u16) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        let status = form.request("alice", password).send().await?.status().as_u16();
        if status == expected {
            return Ok(asked.elapsed());
        }
        ensure!(status == 503 && began.elapsed() < SIGN_IN_TIMEOUT, "a sign-in was answered {status}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The value at this percentile of a sorted list.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
