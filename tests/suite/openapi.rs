//! What `/openapi.json` says is what the origin does: schemathesis, unmodified, makes requests from the document, good ones and
//! bad ones, and finds no answer of 5xx and none that the document does not describe.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use tollgate_tests::environment::required_env;
use tollgate_tests::origin::TestOrigin;
use tollgate_tests::service_client::ServiceClient;

/// No 5xx, and nothing that the document does not say.
const CHECKS: &str = "\
    not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,response_headers_conformance";
/// Requests for each operation at most, besides those that cover each parameter's limits.
const EXAMPLES: &str = "10";
/// The paths that need an administrator's token.
const ADMIN: &str = "^/admin/";
/// Those of them that may end that very token: asked last.
const ENDS_TOKENS: &str = "^/admin/api/(revocations|keys)";
/// Those for the bearers of tokens of any kind.
const BEARERS: &str = "^/(oauth/(token|user)info|validate|ssf/)";
/// What the client is registered for.
const GRANTS: [&str; 3] = ["client_credentials", "authorization_code", "urn:ietf:params:oauth:grant-type:device_code"];
/// Paths for others, and those that wait for news: no tool should ask them a thousand times.
const NOT_ADMIN: &str = "^/(admin/|edge/v1/deltas|ssf/poll)";

/// Has the tool ask these operations, the same requests each time: a test that fails once fails every time.
async fn conforms(document: &str, arguments: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut tool = Command::new(Path::new(&required_env("TOLLGATE_TEST_PYTHON")).with_file_name("schemathesis"));
    tool.args(["run", document, "--no-color", "--generation-deterministic", "--continue-on-failure"]);
    tool.args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--checks", CHECKS]);
    tool.args(["--suppress-health-check", "all"]).args(arguments);
    let output = tool.current_dir(folder.path()).output().await?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    ensure!(output.status.success(), "schemathesis: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_outside_the_document() -> Result<()> {
    let origin = TestOrigin::start_with(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    let mut options = vec!["--scope", "read", "--redirect-uri", "https://client.example/back"];
    options.extend(GRANTS.iter().flat_map(|grant| ["--grant", *grant]));
    let client = ServiceClient::register(&origin, "schemathesis", &options)?;
    let document = format!("{}/openapi.json", origin.server.url());
    let described: Value = reqwest::get(&document).await?.json().await?;
    ensure!(described["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "OpenAPI 3.1");
    let paths = described["paths"].as_object().map_or(0, serde_json::Map::len);
    ensure!(paths >= 15, "the document describes {paths} paths");

    let basic = format!("{}:{}", client.id, client.secret);
    conforms(&document, &["--exclude-path-regex", NOT_ADMIN, "--auth", &basic]).await?;
    let issuer = origin.server.issuer();
    let scope = ["--scope", "tollgate:admin", "--admin", "--audience", issuer];
    let bearer = ServiceClient::register(&origin, "administrator", &scope)?.token("tollgate:admin").await?;
    let bearer = format!("Authorization: Bearer {bearer}");
    conforms(&document, &["--include-path-regex", BEARERS, "--header", &bearer]).await?;
    let admin = ["--include-path-regex", ADMIN, "--exclude-path-regex", ENDS_TOKENS, "--header", &bearer];
    conforms(&document, &admin).await?;
    conforms(&document, &["--include-path-regex", ENDS_TOKENS, "--header", &bearer]).await
}
