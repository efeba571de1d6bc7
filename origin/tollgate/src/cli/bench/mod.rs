//! `tollgate bench`: a load generator. Sends one kind of request to an origin and reports
//! latencies, in a closed loop (each connection sends its next request after the response) or in an
//! open loop (requests are due at a fixed rate).
//!
//! Never: a request without credentials that the caller has named; a latency that hides a wait. In
//! the open loop, latency counts from the time at which the request was due, so that a slow
//! response makes those behind it slow, too (no coordinated omission).

mod failure;
mod load;
mod recording;
mod report;
mod session;
mod target;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use tokio_util::sync::CancellationToken;
use tollgate_model::{IssuerUrl, Scope};
use tollgate_system::files;
use zeroize::Zeroizing;

use self::load::{End, Load, Pace};
use self::report::Report;
use self::target::{Credentials, Target};
use self::worker::Worker;
use super::output::Output;

const CLIENT_SECRET: &str = "TOLLGATE_BENCH_CLIENT_SECRET";
const PASSWORD: &str = "TOLLGATE_BENCH_PASSWORD";

/// Measure an origin with one kind of request, and report rates, errors and latencies
///
/// Without --rate, each connection sends its next request after the response (closed loop). With
/// --rate, requests are due at that rate (open loop), and latency counts from when a request was
/// due. Needs a client of the origin, by --client and --client-secret-file or
/// TOLLGATE_BENCH_CLIENT_SECRET; device, refresh and sign-in also a user, by --user and
/// --password-file or TOLLGATE_BENCH_PASSWORD. The origin's rate limits apply: switch them off in a
/// test deployment. Everything that is issued stays until it expires.
#[derive(Debug, clap::Args)]
pub(super) struct BenchFlags {
    /// URL of the origin
    #[arg(long, value_name = "URL")]
    target: IssuerUrl,
    /// What to measure
    #[arg(long, value_enum, default_value_t = Scenario::ClientCredentials)]
    scenario: Scenario,
    /// client_id of a client with the grant types of the scenario
    #[arg(long, value_name = "ID")]
    client: String,
    /// File whose first line is the client's secret [default: TOLLGATE_BENCH_CLIENT_SECRET]
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// Username, for refresh, device and sign-in
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// File whose first line is the user's password [default: TOLLGATE_BENCH_PASSWORD]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Scope value to request; repeatable, or separate values by spaces [default: the client's]
    #[arg(long)]
    scope: Vec<String>,
    /// Connections, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Requests per second of the open loop [default: closed loop]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Seconds to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: u64,
    /// Measure this number of requests instead of a time
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Seconds of requests before those that are measured
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=3600))]
    warm_up: u64,
    /// Write a plot of the latencies to this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Do not print progress
    #[arg(long)]
    quiet: bool,
}

/// What a worker does again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scenario {
    /// A token by client credentials
    ClientCredentials,
    /// A token by a refresh token, which is rotated; each connection has its own grant
    Refresh,
    /// Introspection of a token
    Introspection,
    /// The device flow: device authorization request, approval by the user, token
    Device,
    /// Sign-in: the page, and the form with the password
    SignIn,
}

impl Scenario {
    fn needs_user(self) -> bool {
        matches!(self, Scenario::Refresh | Scenario::Device | Scenario::SignIn)
    }
}

impl BenchFlags {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<ExitCode> {
        crate::server::install_tls_provider();
        let runtime = tokio::runtime::Runtime::new().context("cannot start the asynchronous runtime")?;
        let report = runtime.block_on(Box::pin(self.measure()))?;
        if let Some(file) = &self.plot {
            report.plot().save(file)?;
        }
        output.print(&report, Report::to_text)?;
        Ok(if report.has_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        let target = Arc::new(Target::new(self.target.as_str(), self.credentials()?, self.connections as usize)?);
        let stop = CancellationToken::new();
        let workers = tokio::select! {
            workers = Worker::prepare_all(&target, self.scenario, self.connections) => workers?,
            _ = tokio::signal::ctrl_c() => bail!("interrupted before the measurement"),
        };
        let stop_at_signal = stop.clone();
        tokio::spawn(async move {
            // Without a handler, Ctrl-C ends the program without a report.
            if tokio::signal::ctrl_c().await.is_ok() {
                stop_at_signal.cancel();
            }
        });
        let pace = self.rate.map_or(Pace::Closed, |rate| Pace::Open { per_second: f64::from(rate) });
        let warm_up = Load { pace, end: End::After(Duration::from_secs(self.warm_up)), label: "warm-up" };
        let end = match self.requests {
            Some(requests) => End::Requests(requests),
            None => End::After(Duration::from_secs(self.duration)),
        };
        let (workers, warmed_up) = warm_up.run(workers, &stop, self.quiet).await?;
        let load = Load { pace, end, label: "measuring" };
        let (_, recording) = load.run(workers, &stop, self.quiet).await?;
        Ok(Report::new(self, &recording, warmed_up.requests()))
    }

    fn credentials(&self) -> anyhow::Result<Credentials> {
        let user = match (&self.user, self.scenario.needs_user()) {
            (Some(name), true) => {
                Some((name.clone(), secret(self.password_file.as_ref(), "--password-file", PASSWORD)?))
            }
            (None, true) => bail!("this scenario signs a user in: add --user"),
            (_, false) => None,
        };
        Ok(Credentials {
            client: self.client.clone(),
            secret: secret(self.client_secret_file.as_ref(), "--client-secret-file", CLIENT_SECRET)?,
            scope: Scope::from_arguments(&self.scope)?.to_string(),
            user,
        })
    }
}

/// A secret from the first line of a file, or else from the environment: never from the command
/// line, which other users of the machine can read.
fn secret(file: Option<&PathBuf>, flag: &str, variable: &str) -> anyhow::Result<Zeroizing<String>> {
    let text = match file {
        Some(file) => {
            let text = files::read_secret(file).map(Zeroizing::new);
            text.with_context(|| format!("{flag}: cannot read {}", file.display()))?
        }
        None => {
            let text = std::env::var(variable).map(Zeroizing::new);
            text.ok().with_context(|| format!("set {variable}, or add {flag}"))?
        }
    };
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Zeroizing::new(line.to_owned())),
        _ => bail!("{} is empty", if file.is_some() { flag } else { variable }),
    }
}
