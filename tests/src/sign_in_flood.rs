//! A flood of sign-ins at an origin in a process of its own, and what came of it; for a test and for the bench.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::browser::Page;
use crate::database::TestDatabase;
use crate::origin_process::OriginProcess;
use crate::service_client::ServiceClient;

/// Threads that hash, and hashes that wait for them.
const WORKERS: u32 = 2;
const QUEUE: u32 = 32;
/// How many times as many as can be hashed.
const TIMES: f64 = 10.0;
/// Requests of the flood under way at once; what comes due beyond is not sent, for it would only wait in this process.
const AT_ONCE: usize = 512;
/// How long something that must come may take on a busy machine before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery staple";
const MIB: u64 = 1024 * 1024;

/// What came of a flood.
pub struct FloodReport {
    /// How long it lasted.
    pub lasted: Duration,
    /// How long one sign-in takes when nobody else signs in.
    pub alone: Duration,
    /// Sign-ins that were looked at.
    pub hashed: usize,
    /// How long each that was refused took to be told so; sorted.
    pub refused: Vec<Duration>,
    /// What was not sent, for too many were under way.
    pub unsent: usize,
    /// How long each service took to get a token and to ask about it; sorted.
    pub services: Vec<Duration>,
    /// The resident memory before, in bytes.
    pub memory_before: u64,
    /// The most there was of it.
    pub memory: u64,
    /// How long the first sign-in took that was served when the flood was over.
    pub recovered: Duration,
}

/// Floods a new origin for so long. The limits are off: it is the hashing pool that is meant.
pub async fn run(lasted: Duration) -> Result<FloodReport> {
    let mut served = OriginProcess::new(TestDatabase::Sqlite)?;
    let http = reqwest::Client::new();
    served.set("TOLLGATE_LIMITS", "off");
    served.set("TOLLGATE_HASH_WORKERS", &WORKERS.to_string());
    served.set("TOLLGATE_HASH_QUEUE", &QUEUE.to_string());
    served.start(&http).await?;
    served.cli_with(&["user", "create", "alice", "--password-stdin"], PASSWORD)?;
    let client =
        ServiceClient::created(&served.url, &served.cli(&["client", "create", "--json", "--name", "service"])?)?;
    let form = SignInForm::of(&served.url).await?;

    // Once to have the threads' memory there.
    time_sign_in(&form, "wrong password", 403).await?;
    let alone = time_sign_in(&form, "wrong password", 403).await?;
    let rate = TIMES * f64::from(WORKERS) / alone.as_secs_f64();
    let memory_before = served.resident_memory()?;
    let flood = tokio::spawn(flood(form.clone(), rate, lasted));
    let (mut services, mut memory) = (Vec::new(), memory_before);
    while !flood.is_finished() {
        let asked = Instant::now();
        let token = client.token("").await?;
        ensure!(client.introspect(&token).await?["active"] == true, "a service is told what its token is worth");
        services.push(asked.elapsed());
        memory = memory.max(served.resident_memory()?);
        sleep(Duration::from_millis(50)).await;
    }
    let mut answers = flood.await??;
    let over = Instant::now();
    time_sign_in(&form, PASSWORD, 303).await?;
    let recovered = over.elapsed();
    served.end().await?;
    answers.refused.sort();
    services.sort();
    let Answers { hashed, refused, unsent } = answers;
    Ok(FloodReport { lasted, alone, hashed, refused, unsent, services, memory_before, memory, recovered })
}

impl FloodReport {
    /// What the memory may have grown by: the pool's, and something for each connection.
    pub fn memory_bound(&self) -> u64 {
        u64::from(WORKERS) * 19 * MIB + AT_ONCE as u64 * 256 * 1024 + 32 * MIB
    }
}

impl fmt::Display for FloodReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity = f64::from(WORKERS) / self.alone.as_secs_f64();
        writeln!(f, "{WORKERS} threads, {:.1?} a sign-in, hence about {capacity:.0} a second", self.alone)?;
        writeln!(
            f,
            "{:.0?} of flood at {TIMES} times that: {} looked at, {} told 503, {} not sent while {AT_ONCE} were under way",
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
            "{count} services got a token and asked about it: {median:.1?} at the median, {most:.1?} for 99 %"
        )?;
        let [before, most] = [self.memory_before, self.memory].map(|bytes| bytes / MIB);
        writeln!(f, "memory: {before} MiB before, {most} MiB at most; the pool's part is {} MiB", WORKERS * 19)?;
        write!(f, "the first sign-in after it took {:.1?}", self.recovered)
    }
}

/// What the flood was answered.
#[derive(Default)]
struct Answers {
    hashed: usize,
    refused: Vec<Duration>,
    unsent: usize,
}

/// A browser's form to sign in.
#[derive(Clone)]
pub struct SignInForm {
    http: reqwest::Client,
    url: String,
    cookie: String,
    csrf: String,
}

impl SignInForm {
    /// The form that an origin gives to a browser that comes for the first time.
    pub async fn of(origin: &str) -> Result<Self> {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let url = format!("{origin}/login");
        let page = Page::read(http.get(&url).send().await?).await?;
        let cookie = page.headers.get("set-cookie").context("a cookie")?.to_str()?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let csrf = page.body.split(r#"name="csrf" value=""#).nth(1).and_then(|rest| rest.split('"').next());
        Ok(Self { csrf: csrf.context("a form")?.to_owned(), http, url, cookie })
    }

    /// The request of a try.
    pub fn request(&self, name: &str, password: &str) -> reqwest::RequestBuilder {
        let form = [("csrf", self.csrf.as_str()), ("username", name), ("password", password)];
        self.http.post(&self.url).header("cookie", &self.cookie).form(&form)
    }
}

/// Sends so many sign-ins a second.
async fn flood(form: SignInForm, rate: f64, duration: Duration) -> Result<Answers> {
    let (began, slots) = (Instant::now(), Arc::new(Semaphore::new(AT_ONCE)));
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
                let told = (answer.status().as_u16(), answer.headers().contains_key("retry-after"), asked.elapsed());
                drop((answer.bytes().await?, slot));
                Ok::<_, reqwest::Error>(told)
            });
        }
        sent = due;
        while let Some(told) = asking.try_join_next() {
            answers.count(told??)?;
        }
    }
    while let Some(told) = asking.join_next().await {
        answers.count(told??)?;
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

/// Signs in until it is not told to come back; how long the one took that was looked at.
pub async fn time_sign_in(form: &SignInForm, password: &str, expected: u16) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        let status = form.request("alice", password).send().await?.status().as_u16();
        if status == expected {
            return Ok(asked.elapsed());
        }
        ensure!(status == 503 && began.elapsed() < PATIENCE, "a sign-in was answered {status}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The value that so many percent do not exceed.
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
