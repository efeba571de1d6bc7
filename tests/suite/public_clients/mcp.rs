//! The client of the MCP SDK against three MCP servers, each a resource server of one origin at
//! which the client registers itself.

use anyhow::Result;
use serde_json::json;
use tollgate_tests::client_program::ClientProgram;
use tollgate_tests::client_script;
use tollgate_tests::environment::free_port;

use super::fixture::ClientsFixture;
use super::web_login::report;

/// Name, program and verifier preset of each server: two on the TypeScript SDK, one on FastMCP.
const SERVERS: [(&str, &str, &str); 3] = [
    ("notes", "mcp_server.mjs", "node"),
    ("mail", "mcp_server.mjs", "node"),
    ("fastmcp", "fastmcp_server.py", "python"),
];

#[tokio::test(flavor = "multi_thread")]
async fn mcp_client_registers_once_and_uses_three_servers() -> Result<()> {
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
    let settings = json!({ "servers": servers });
    let done = client_script::run("mcp_client.mjs", &settings, &fixture.browser()?, &fixture.alice).await?;
    let mut wanted: Vec<String> = Vec::new();
    for (name, ..) in SERVERS {
        wanted.extend([format!("{name}: sign-in and tool call"), format!("{name}: refresh")]);
    }
    wanted.push("each server refuses another's token".to_owned());
    assert_eq!(done, wanted, "every step, in order");
    report("MCP SDK's client", "registration, resource indicators, tools of three servers, refresh", "works");
    Ok(())
}
