//! Profiles of a running origin, as `go tool pprof` reads them.

use std::io::Read as _;

use anyhow::{Result, ensure};
use flate2::read::GzDecoder;
use reqwest::{Client, StatusCode};
use tollgate_tests::browser::{Browser, Person};
use tollgate_tests::database::TestDatabase;
use tollgate_tests::environment::free_port;
use tollgate_tests::origin_process::OriginProcess;
use tollgate_tests::otlp_collector::values;
use tollgate_tests::wait::wait_until;

/// A profile: its strings, and the values of its samples.
struct Profile {
    strings: Vec<String>,
    samples: Vec<Vec<u8>>,
}

async fn profile(http: &Client, url: &str) -> Result<Profile> {
    let response = http.get(url).send().await?;
    ensure!(response.status() == 200, "{url}: {} {}", response.status(), response.text().await?);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    let (bytes, mut message) = (response.bytes().await?, Vec::new());
    GzDecoder::new(&bytes[..]).read_to_end(&mut message)?;
    // Profile.string_table is field 6, sample field 2.
    let strings = values(&message, &[6]).into_iter().map(String::from_utf8).collect::<Result<_, _>>()?;
    Ok(Profile { strings, samples: values(&message, &[2]) })
}

impl Profile {
    fn has(&self, text: &str) -> bool {
        self.strings.iter().any(|string| string.contains(text))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_listener_serves_profiles_if_they_are_on() -> Result<()> {
    let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
    let metrics = format!("127.0.0.1:{}", free_port()?);
    origin.set("TOLLGATE_METRICS_LISTEN", &metrics);
    let http = Client::new();
    origin.start(&http).await?;
    let url = |name: &str| format!("http://{metrics}/debug/pprof/{name}");
    assert_eq!(http.get(url("tasks")).send().await?.status(), 404, "off by default");
    origin.kill();

    origin.set("TOLLGATE_PROFILES", "true");
    origin.start(&http).await?;
    assert_eq!(http.get(format!("{}/debug/pprof/tasks", origin.url)).send().await?.status(), 404, "for clients");
    for (path, status) in [
        ("unknown", StatusCode::NOT_FOUND),
        ("profile?seconds=0", StatusCode::BAD_REQUEST),
        ("profile?seconds=1000", StatusCode::BAD_REQUEST),
        ("heap", StatusCode::NOT_IMPLEMENTED),
        ("allocs", StatusCode::NOT_IMPLEMENTED),
    ] {
        assert_eq!(http.get(url(path)).send().await?.status(), status, "{path}");
    }
    assert_eq!(http.post(url("tasks")).send().await?.status(), StatusCode::METHOD_NOT_ALLOWED);

    // Password hashes take processor time, for as long as the profile is taken.
    let browser = Browser::new(&origin.url)?;
    let login = format!("{}/login", origin.url);
    let load = async {
        loop {
            let page = browser.visit(&login, &Person::new("nobody", "wrong")).await?;
            ensure!(matches!(page.status, 403 | 429), "{} {}", page.status, page.body);
        }
    };
    let sampling = url("profile?seconds=2");
    let sampled = tokio::select! {
        sampled = profile(&http, &sampling) => sampled?,
        failed = load => return failed,
    };
    ensure!(sampled.has("cpu") && sampled.has("nanoseconds") && !sampled.samples.is_empty(), "{:?}", sampled.strings);
    ensure!(sampled.has("argon2"), "{:?}", sampled.strings);

    let contention = profile(&http, &url("contention")).await?;
    ensure!(contention.has("hashing") && contention.has("database read"), "{:?}", contention.strings);
    let requests = profile(&http, &url("requests")).await?;
    ensure!(requests.has("/login") && requests.has(&origin.url), "{:?}", requests.strings);
    let tasks = profile(&http, &url("tasks")).await?;
    ensure!(tasks.has("runtime tasks") && !tasks.samples.is_empty(), "{:?}", tasks.strings);
    let idle = profile(&http, &url("requests?seconds=1")).await?;
    ensure!(!idle.has("/login"), "no sign-in within that second: {:?}", idle.strings);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_profile_of_the_processor_is_taken_at_a_time() -> Result<()> {
    let mut origin = OriginProcess::new(TestDatabase::Sqlite)?;
    let metrics = format!("127.0.0.1:{}", free_port()?);
    origin.set("TOLLGATE_METRICS_LISTEN", &metrics);
    origin.set("TOLLGATE_PROFILES", "true");
    let http = Client::new();
    origin.start(&http).await?;
    let url = format!("http://{metrics}/debug/pprof/profile");
    let status = async |seconds: u64| {
        Ok::<_, reqwest::Error>(http.get(format!("{url}?seconds={seconds}")).send().await?.status())
    };
    // Of two requests one is refused. The other is cancelled: its client goes.
    let first = tokio::select! {
        first = status(60) => first?,
        second = status(60) => second?,
    };
    assert_eq!(first, StatusCode::CONFLICT);
    wait_until("a profile whose client has gone ends", async || status(1).await.is_ok_and(|status| status == 200))
        .await;
    origin.terminate()?;
    assert_eq!(origin.wait_for_exit().await?, Some(0));
    Ok(())
}
