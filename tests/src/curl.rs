//! curl over HTTP/2: curl 7.88 of Debian 12 loses responses to requests whose bodies were not read.

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

/// Whether there is a curl that speaks HTTP/2.
pub async fn speaks_http2() -> bool {
    let version = Command::new("curl").arg("--version").output().await;
    version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("HTTP2"))
}

/// Sends a request with a JSON body by HTTP/2 with prior knowledge, and returns the status.
///
/// # Errors
/// If no response arrives, or one by another version.
pub async fn send_over_http2(method: &str, url: &str, body: &str) -> Result<String> {
    let output = Command::new("curl")
        .args(["--silent", "--http2-prior-knowledge", "--max-time", "20", "--request", method])
        .args(["--header", "content-type: application/json", "--data", body])
        .args(["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}", url])
        .output()
        .await?;
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{method} {url}: curl ends with {}", output.status);
    Ok(answer.strip_prefix("2 ").with_context(|| format!("not HTTP/2: {answer}"))?.to_owned())
}
