//! `/openapi.json` describes what the origin does: unmodified schemathesis sends valid and invalid
//! requests derived from the document, and finds no 5xx and no response that the document does not
//! describe.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use tollgate_tests::client::TestClient;
use tollgate_tests::environment::required_env;
use tollgate_tests::origin::TestOrigin;

/// Checks of schemathesis: no 5xx, and every response as described.
const CHECKS: &str = "\
    not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,response_headers_conformance";
/// Maximum generated requests for each operation, in addition to those that cover each parameter's
/// limits.
const MAX_EXAMPLES: &str = "10";
/// Operations that need an administrator's token.
const ADMIN_PATHS: &str = "^/admin/";
/// Administration operations that may revoke the test's own token. Each group runs with a token of
/// its own, so that the others are not merely refused.
const TOKEN_REVOKING_PATHS: &str = "^/admin/api/(revocations|keys)";
/// Disables the test's own client: schemathesis takes client IDs from earlier responses.
const CLIENT_DISABLING_OPERATION: &str = "DELETE /admin/api/clients/{id}";
/// Operations that accept any bearer token.
const BEARER_PATHS: &str = "^/(oauth/(token|user)info|validate|ssf/)";
/// Grant types of the client.
const GRANTS: [&str; 3] = ["client_credentials", "authorization_code", "urn:ietf:params:oauth:grant-type:device_code"];
/// Operations excluded from the client's run: those for others, and those that long-poll.
const EXCLUDED_PATHS: &str = "^/(admin/|edge/v1/deltas|ssf/poll)";

/// Runs schemathesis on these operations, deterministically, so that a failure is reproducible.
async fn conforms(document: &str, arguments: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut tool = Command::new(Path::new(&required_env("TOLLGATE_TEST_PYTHON")).with_file_name("schemathesis"));
    tool.args(["run", document, "--no-color", "--generation-deterministic", "--continue-on-failure"]);
    tool.args(["--phases", "examples,coverage,fuzzing", "--max-examples", MAX_EXAMPLES, "--checks", CHECKS]);
    tool.args(["--suppress-health-check", "all"]).args(arguments);
    let output = tool.current_dir(folder.path()).output().await?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    ensure!(output.status.success(), "schemathesis: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_is_described_in_openapi_json() -> Result<()> {
    let origin = TestOrigin::start_with(&[("TOLLGATE_REGISTRATION", "open")]).await?;
    let mut options = vec!["--scope", "read", "--redirect-uri", "https://client.example/back"];
    options.extend(GRANTS.iter().flat_map(|grant| ["--grant", *grant]));
    let client = TestClient::register_with_cli(&origin, "schemathesis", &options)?;
    let document = format!("{}/openapi.json", origin.server.url());
    let described: Value = reqwest::get(&document).await?.json().await?;
    ensure!(described["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "OpenAPI 3.1");
    let paths = described["paths"].as_object().map_or(0, serde_json::Map::len);
    ensure!(paths >= 15, "the document describes {paths} paths");

    let basic = format!("{}:{}", client.id, client.secret());
    conforms(&document, &["--exclude-path-regex", EXCLUDED_PATHS, "--auth", &basic]).await?;
    let bearer = administrator(&origin, "reader").await?;
    conforms(&document, &["--include-path-regex", BEARER_PATHS, "--header", &bearer]).await?;
    let bearer = administrator(&origin, "administrator").await?;
    let most = ["--include-path-regex", ADMIN_PATHS, "--exclude-path-regex", TOKEN_REVOKING_PATHS];
    let most = [&most[..], &["--exclude-name", CLIENT_DISABLING_OPERATION, "--header", &bearer]].concat();
    conforms(&document, &most).await?;
    let (name, value) = bearer.split_once(": ").context("a header")?;
    let after = origin.http.get(origin.url("/admin/api/keys")).header(name, value).send().await?;
    assert_eq!(after.status(), 200, "the token was valid to the end, so the operations were reached");
    let bearer = administrator(&origin, "disabled").await?;
    conforms(&document, &["--include-name", CLIENT_DISABLING_OPERATION, "--header", &bearer]).await?;
    let bearer = administrator(&origin, "revoked").await?;
    conforms(&document, &["--include-path-regex", TOKEN_REVOKING_PATHS, "--header", &bearer]).await
}

/// The header that authenticates a new client as an administrator.
async fn administrator(origin: &TestOrigin, name: &str) -> Result<String> {
    let options = ["--scope", "tollgate:admin", "--admin", "--audience", origin.server.issuer()];
    let token = TestClient::register_with_cli(origin, name, &options)?.token("tollgate:admin").await?;
    Ok(format!("Authorization: Bearer {token}"))
}
