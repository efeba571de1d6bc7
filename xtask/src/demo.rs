//! `demo`: issues, uses and revokes tokens at each edge; checks and times each step.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    arguments::Edge,
    build,
    demo_client::DemoClient,
    postgres::free_port,
    progress, setup,
    stack::{Ports, Stack},
    workspace::{TempFolder, Workspace},
};

/// From the acknowledgement of a revocation to the refusal at every edge.
const MAX_REVOCATION_DELAY: Duration = Duration::from_secs(1);

/// Fails if any step at any of these edges is wrong.
pub(crate) fn demo(workspace: &Workspace, edges: &[Edge]) -> Result<()> {
    let start = Instant::now();
    setup::for_edges(workspace, edges)?;
    build::stack(workspace, edges)?;
    let state = TempFolder::new("demo")?;
    let mut stack = Stack::start(workspace, &state.0, &Ports::free()?)?;
    let edges =
        edges.iter().map(|edge| Ok((*edge, stack.start_edge(*edge, free_port()?)?))).collect::<Result<Vec<_>>>()?;
    for (edge, url) in &edges {
        println!("\n{} at {url}", edge.name());
        run(&stack.client, url).with_context(|| format!("at the edge ({})", edge.name()))?;
    }
    stack.check_alive()?;
    println!("\nrevocation works at {} edges; {} in all", edges.len(), progress::seconds(start));
    Ok(())
}

fn run(client: &DemoClient, edge: &str) -> Result<()> {
    let [token, other] = [timed("token issued", || client.token())?, timed("another token issued", || client.token())?];
    timed("call with the token: 200", || expect(client, edge, &token, 200))?;
    timed("call with the other: 200", || expect(client, edge, &other, 200))?;
    timed("call with no valid token: 401", || expect(client, edge, "not-a-token", 401))?;
    timed("revoked at the origin", || client.revoke(&token))?;
    let refused = client.call_until(edge, &token, 401, MAX_REVOCATION_DELAY).context("after the revocation")?;
    println!("  {:<32} {:>8.1} ms after the revocation", "call with the token: 401", millis(refused));
    let limit = MAX_REVOCATION_DELAY;
    ensure!(refused < limit, "refused only after {:.1} ms, more than {} ms", millis(refused), limit.as_millis());
    timed("once more: 401", || expect(client, edge, &token, 401))?;
    timed("call with the other: still 200", || expect(client, edge, &other, 200))
}

fn expect(client: &DemoClient, edge: &str, token: &str, expected: u16) -> Result<()> {
    let status = client.call(edge, token)?;
    ensure!(status == expected, "status {status}, expected {expected}");
    Ok(())
}

/// Runs a step and prints its time.
fn timed<T>(what: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = step().with_context(|| what.to_owned())?;
    println!("  {what:<32} {:>8.1} ms", millis(start.elapsed()));
    Ok(result)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
