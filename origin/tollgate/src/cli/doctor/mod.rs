//! `tollgate doctor`: checks a deployment and explains each fault.
//!
//! Never: a change of settings, files, keys or schema, or a secret in the output. Each check is a
//! function of its own in `checks`, and has a bounded time. The only trace of a diagnosis is one
//! failed client authentication in the audit log, which shows the address that the origin sees.

mod checks;
mod deployment;
mod finding;
mod http;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::{BoxFuture, join_all};
use serde::Serialize;
use tokio::time::timeout;
use tollgate_config::{Settings, Sources};
use tollgate_model::{EdgeUrl, IssuerUrl};

use self::deployment::Deployment;
use self::finding::{Finding, Status};
use super::CommonFlags;
use super::output::Output;

/// Longest duration of one check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// Check a deployment: settings, files, clocks, DNS, TLS, proxies, database, Redis, edges, keys
///
/// Run it where the origin runs, with the same settings. Exit codes: 0 without a fault, 1 with a
/// fault, 2 for invalid arguments. It changes nothing, except that one failed client authentication
/// is recorded in the audit log, by which it finds out which client address the origin sees.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorFlags {
    /// URL at which to ask the running origin [default: the public URL]
    #[arg(long, value_name = "URL")]
    url: Option<IssuerUrl>,
    /// URL of an edge to check, in addition to the registered ones; repeatable
    #[arg(long, value_name = "URL")]
    edge: Vec<EdgeUrl>,
    /// Exit with 1 for warnings, too
    #[arg(long)]
    strict: bool,
}

/// The result: all findings, and the worst of their verdicts.
#[derive(Serialize)]
struct DiagnosisView {
    status: Status,
    findings: Vec<FindingView>,
}

#[derive(Serialize)]
struct FindingView {
    check: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

impl DoctorFlags {
    pub(super) fn run(self, common: &CommonFlags, output: &Output) -> anyhow::Result<ExitCode> {
        if common.issuer.is_some() {
            bail!("doctor checks the default issuer: remove --issuer");
        }
        crate::server::install_tls_provider();
        let runtime = tokio::runtime::Runtime::new().context("cannot start the asynchronous runtime")?;
        let strict = self.strict;
        let findings = runtime.block_on(Box::pin(self.diagnose(common)));
        // Does not wait for a name server that does not answer.
        runtime.shutdown_background();
        let findings = findings?;
        let status = findings.iter().map(|view| view.finding.status).max().unwrap_or(Status::Ok);
        output.print(&DiagnosisView { status, findings }, DiagnosisView::to_text)?;
        let is_bad = status == Status::Fault || strict && status == Status::Warning;
        Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn diagnose(self, common: &CommonFlags) -> anyhow::Result<Vec<FindingView>> {
        let file = common.config.clone().unwrap_or_else(|| PathBuf::from("tollgate.toml"));
        let read = Sources::read(common.settings.settings(), common.config.as_deref());
        let parsed = read.and_then(|sources| Ok((Settings::from_sources(&sources)?, sources)));
        let (settings, sources) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                let finding = Finding::fault(
                    error.to_string(),
                    "No command starts with these settings, and nothing else can be checked.",
                    "Correct the setting: `tollgate serve --help` explains all of them.",
                );
                return Ok(vec![FindingView { check: "settings", finding }]);
            }
        };
        let url = self.url.map(|url| url.to_string());
        let edges = self.edge.iter().map(EdgeUrl::to_string).collect();
        let deployment = Deployment::open(sources, settings, file, url, edges).await?;
        let checks = checks::all(&deployment).into_iter().map(|(name, check)| run_check(name, check));
        let findings = join_all(checks).await.into_iter().flatten().collect();
        if let Some(store) = &deployment.store {
            store.close().await;
        }
        Ok(findings)
    }
}

async fn run_check(check: &'static str, work: BoxFuture<'_, Vec<Finding>>) -> Vec<FindingView> {
    let findings = timeout(CHECK_TIMEOUT, work).await.unwrap_or_else(|_| {
        vec![Finding::fault(
            format!("the check took longer than {} s", CHECK_TIMEOUT.as_secs()),
            "Something that it asks does not answer.",
            "See the other findings, and run `tollgate doctor` again.",
        )]
    });
    findings.into_iter().map(|finding| FindingView { check, finding }).collect()
}

impl DiagnosisView {
    fn to_text(&self) -> String {
        let mut lines = Vec::new();
        for FindingView { check, finding } in &self.findings {
            let status = match finding.status {
                Status::Ok => "ok",
                Status::Skipped => "-",
                Status::Warning => "warning",
                Status::Fault => "FAULT",
            };
            lines.push(format!("{status:8} {check:14} {}", finding.text));
            let details = [&finding.meaning, &finding.action].into_iter().flatten();
            lines.extend(details.map(|detail| format!("{:24}{detail}", "")));
        }
        let count = |status| self.findings.iter().filter(|view| view.finding.status == status).count();
        lines.push(format!("\nfaults: {}, warnings: {}", count(Status::Fault), count(Status::Warning)));
        lines.join("\n")
    }
}
