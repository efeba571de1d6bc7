//! The client of the MCP SDK against four MCP servers, each a resource server of one origin at
//! which the client registers itself. One of them knows nothing of OAuth: an edge protects it.

use anyhow::Result;
use serde_json::json;
use tempfile::TempDir;
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::client_script;
use tollgate_tests::edge::{EdgeKind, TestEdge};
use tollgate_tests::environment::free_port;

use super::fixture::ClientsFixture;
use super::web_login::report;

/// Name, program and verifier preset of each server that verifies tokens itself: two on the
/// TypeScript SDK, one on FastMCP.
const SERVERS: [(&str, &str, &str); 3] = [
    ("notes", "mcp_server.mjs", "node"),
    ("mail", "mcp_server.mjs", "node"),
    ("fastmcp", "fastmcp_server.py", "python"),
];

#[tokio::test(flavor = "multi_thread")]
async fn mcp_client_registers_once_and_uses_four_servers() -> Result<()> {
    let fixture = ClientsFixture::start().await?;
    let (mut servers, mut programs) = (Vec::new(), Vec::new());
    for (name, script, preset) in SERVERS {
        let port = free_port()?;
        let url = format!("http://127.0.0.1:{port}/mcp");
        let scope = ["--scope", "tools=Use the tools", "--verifier", preset];
        fixture.origin.cli(&[&["resource", "create", &url, "--name", name][..], &scope].concat())?;
        let (mut command, folder) = client_script::command(script)?;
        command.envs([("ISSUER", fixture.origin.server.issuer()), ("AUDIENCE", &url), ("PORT", &port.to_string())]);
        programs.push((ClientProgram::start(command.into_std(), port).await?, folder));
        servers.push(json!({ "name": name, "url": url }));
    }
    let (_edge, (program, folder), url) = start_edge_with_server(&fixture).await?;
    programs.push((program, folder));
    servers.push(json!({ "name": "edge", "url": url }));
    let settings = json!({ "servers": servers });
    let done = client_script::run("mcp_client.mjs", &settings, &fixture.browser()?, &fixture.alice).await?;
    let mut wanted: Vec<String> = Vec::new();
    for name in SERVERS.map(|(name, ..)| name).into_iter().chain(["edge"]) {
        wanted.extend([format!("{name}: sign-in and tool call"), format!("{name}: refresh")]);
    }
    wanted.push("each server refuses another's token".to_owned());
    assert_eq!(done, wanted, "every step, in order");
    report("MCP SDK's client", "registration, resource indicators, tools of four servers, refresh", "works");
    Ok(())
}

/// Starts a server without OAuth behind an edge that publishes its metadata. Returns both, and the
/// server's URL at the edge.
async fn start_edge_with_server(fixture: &ClientsFixture) -> Result<(TestEdge, (ClientProgram, TempDir), String)> {
    let (port, edge_port) = (free_port()?, free_port()?);
    let public_url = format!("http://127.0.0.1:{edge_port}");
    let url = format!("{public_url}/mcp");
    let scope = ["--scope", "tools=Use the tools", "--verifier", "node"];
    fixture.origin.cli(&[&["resource", "create", &url, "--name", "edge"][..], &scope].concat())?;
    fixture.origin.cli(&["route", "add", "--path", "/mcp", "--scope", "tools"])?;
    let (mut command, folder) = client_script::command("mcp_server_behind_edge.mjs")?;
    command.env("PORT", port.to_string());
    let program = ClientProgram::start(command.into_std(), port).await?;
    let mut settings = fixture.origin.edge_settings(&format!("http://127.0.0.1:{port}")).await?;
    settings.extend([
        ("TOLLGATE_EDGE_LISTEN", format!("127.0.0.1:{edge_port}")),
        ("TOLLGATE_EDGE_ISSUER", fixture.origin.server.issuer().to_owned()),
        ("TOLLGATE_EDGE_PUBLIC_URL", public_url),
        ("TOLLGATE_EDGE_AUDIENCE", url.clone()),
    ]);
    Ok((TestEdge::start(EdgeKind::Runner, &settings).await?, (program, folder), url))
}
