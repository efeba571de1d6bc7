//! What `/openapi.json` says is what the origin does: schemathesis, unmodified, makes requests from the document, good ones and
//! bad ones, and finds no answer of 5xx and none that the document does not describe.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use tollgate_tests::client::Client;
use tollgate_tests::stack::{Origin, given};

/// No 5xx, and nothing that the document does not say.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance";
/// Requests for each operation at most, besides those that cover each parameter's limits.
const EXAMPLES: &str = "20";
/// Always the same requests: a test that fails once fails every time.
const SEED: &str = "1";
/// Those that wait for news are not for a tool that asks a thousand times.
const WAITING: &str = "^/(edge/v1/deltas|ssf/poll)";

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_outside_the_document() -> Result<()> {
    let origin = Origin::start_with(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    let client = Client::register(&origin, "schemathesis", &["--scope", "read"])?;
    let document = format!("{}/openapi.json", origin.server.url());
    let described: Value = reqwest::get(&document).await?.json().await?;
    ensure!(described["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "OpenAPI 3.1");
    let operations = described["paths"].as_object().map_or(0, serde_json::Map::len);
    ensure!(operations >= 15, "the document describes {operations} paths");

    let folder = tempfile::tempdir()?;
    let mut tool = Command::new(Path::new(&given("TOLLGATE_TEST_PYTHON")).with_file_name("schemathesis"));
    tool.args(["run", &document, "--no-color", "--generation-database", "none", "--checks", CHECKS]);
    tool.args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", SEED]);
    tool.args(["--exclude-path-regex", WAITING, "--auth", &format!("{}:{}", client.id, client.secret)]);
    tool.args(["--generation-deterministic", "--suppress-health-check", "all", "--continue-on-failure"]);
    let output = tool.current_dir(folder.path()).output().await?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    ensure!(output.status.success(), "schemathesis: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
