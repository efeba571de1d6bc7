//! `dev`: everything running, and commands to paste.

use std::fs;

use anyhow::Result;

use crate::{
    build::{self, Part},
    process, progress,
    road::{PATH, SCOPE},
    setup,
    stack::{self, Edge, Ports, Stack},
    workspace::Workspace,
};

const PORTS: Ports = Ports { origin: 8080, upstream: 5000 };
const EDGE_PORT: u16 = 8787;

/// Starts all parts on their usual ports and keeps them running until Ctrl-C. State lives in `.tollgate/dev`.
pub(crate) fn dev(workspace: &Workspace, edge: Edge, fresh: bool) -> Result<()> {
    let start = std::time::Instant::now();
    for port in [PORTS.origin, PORTS.upstream, EDGE_PORT] {
        stack::local(port)?; // said now, not after minutes of building
    }
    setup::for_edges(workspace, &[edge])?;
    build::build(workspace, Part::Native)?;
    build::edges(workspace, &[edge])?;
    let state = workspace.root.join(".tollgate/dev");
    if fresh && state.exists() {
        fs::remove_dir_all(&state)?;
    }
    let mut stack = Stack::start(workspace, &state, &PORTS)?;
    let url = stack.start_edge(edge, EDGE_PORT)?;
    println!("serving after {}\n\n{}", progress::seconds(start), commands(&stack, &url));
    while !process::stopping() {
        stack.check_alive()?;
        let _ = process::pause(); // the loop's own condition sees the interruption
    }
    println!("\nstopping …");
    Ok(())
}

fn commands(stack: &Stack<'_>, edge: &str) -> String {
    let (origin, client) = (&stack.road.origin, format!("{}:{}", stack.road.client_id, stack.road.client_secret));
    let call = format!("curl -i -H \"Authorization: Bearer $TOKEN\" {edge}{PATH}");
    format!(
        "# a token for the demo client\n\
         TOKEN=$(curl -s -u '{client}' -d grant_type=client_credentials -d scope={SCOPE} {origin}/oauth/token | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')\n\
         # through the edge to the API: 200\n\
         {call}\n\
         # revoke it at the origin; a second later no edge lets it pass: 401\n\
         curl -s -u '{client}' -d token=$TOKEN {origin}/oauth/revoke; sleep 1\n\
         {call}\n\n\
         Ctrl-C stops everything. The database is kept in .tollgate/dev; `--fresh` begins anew."
    )
}
