//! `dev`: runs origin, API and edge, and prints commands to paste.

use std::{fs, time::Instant};

use anyhow::Result;

use crate::{
    arguments::Edge,
    build,
    demo_client::{PATH, SCOPE},
    process, progress, setup,
    stack::{self, Ports, Stack},
    workspace::Workspace,
};

const PORTS: Ports = Ports { origin: 8080, upstream: 5000 };
const EDGE_PORT: u16 = 8787;

/// Runs until Ctrl-C. State is kept in `.tollgate/dev`.
pub(crate) fn dev(workspace: &Workspace, edge: Edge, fresh: bool) -> Result<()> {
    let start = Instant::now();
    for port in [PORTS.origin, PORTS.upstream, EDGE_PORT] {
        stack::local(port)?; // fails now, not after minutes of building
    }
    setup::for_edges(workspace, &[edge])?;
    build::stack(workspace, &[edge])?;
    let state = workspace.root.join(".tollgate/dev");
    if fresh && state.exists() {
        fs::remove_dir_all(&state)?;
    }
    let mut stack = Stack::start(workspace, &state, &PORTS)?;
    let url = stack.start_edge(edge, EDGE_PORT)?;
    progress::summary(start);
    println!("\nserving after {}\n\n{}", progress::seconds(start), commands(&stack, &url));
    while !process::is_stopping() {
        stack.check_alive()?;
        let _ = process::poll_delay(); // the loop's condition sees Ctrl-C
    }
    println!("\nstopping …");
    Ok(())
}

fn commands(stack: &Stack<'_>, edge: &str) -> String {
    let (origin, client) = (&stack.client.origin, format!("{}:{}", stack.client.client_id, stack.client.client_secret));
    let call = format!("curl -i -H \"Authorization: Bearer $TOKEN\" {edge}{PATH}");
    format!(
        "# a token for the demo client\n\
         TOKEN=$(curl -s -u '{client}' -d grant_type=client_credentials -d scope={SCOPE} {origin}/oauth/token | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')\n\
         # through the edge to the API: 200\n\
         {call}\n\
         # revoke it at the origin: within a second every edge refuses it, 401\n\
         curl -s -u '{client}' -d token=$TOKEN {origin}/oauth/revoke; sleep 1\n\
         {call}\n\n\
         Ctrl-C stops everything. The database is kept in .tollgate/dev; `--fresh` deletes it."
    )
}
