//! `demo`: the road without a person, at every edge, each step timed and checked.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    build::{self, Part},
    postgres::free_port,
    progress,
    road::Road,
    setup,
    stack::{Edge, Ports, Stack},
    workspace::{Scratch, Workspace},
};

/// What is promised: refused at every edge this soon after the revocation was acknowledged.
const PROMISE: Duration = Duration::from_secs(1);

/// Walks the road at these edges; an error if any step is wrong.
pub(crate) fn demo(workspace: &Workspace, edges: &[Edge]) -> Result<()> {
    let start = Instant::now();
    setup::for_edges(workspace, edges)?;
    build::build(workspace, Part::Native)?;
    build::edges(workspace, edges)?;
    let state = Scratch::new("demo")?;
    let mut stack = Stack::start(workspace, &state.0, &Ports::free()?)?;
    let edges =
        edges.iter().map(|edge| Ok((*edge, stack.start_edge(*edge, free_port()?)?))).collect::<Result<Vec<_>>>()?;
    for (edge, url) in &edges {
        println!("\n{} at {url}", edge.name());
        walk(&stack.road, url).with_context(|| format!("the road is broken at the edge ({})", edge.name()))?;
    }
    stack.check_alive()?;
    println!("\nthe whole road works at {} edges; {} in all", edges.len(), progress::seconds(start));
    Ok(())
}

fn walk(road: &Road, edge: &str) -> Result<()> {
    let [token, other] = [timed("token issued", || road.token())?, timed("another token issued", || road.token())?];
    timed("call with the token: 200", || expect(road, edge, &token, 200))?;
    timed("call with the other: 200", || expect(road, edge, &other, 200))?;
    timed("call with no valid token: 401", || expect(road, edge, "not-a-token", 401))?;
    timed("revoked at the origin", || road.revoke(&token))?;
    let refused = road.call_until(edge, &token, 401, PROMISE).context("after the revocation")?;
    println!("  {:<32} {:>8.1} ms after the revocation's answer", "call with the token: 401", millis(refused));
    ensure!(refused < PROMISE, "refused only after {:.1} ms; {} ms are promised", millis(refused), PROMISE.as_millis());
    timed("once more: 401", || expect(road, edge, &token, 401))?;
    timed("call with the other: still 200", || expect(road, edge, &other, 200))
}

fn expect(road: &Road, edge: &str, token: &str, wanted: u16) -> Result<()> {
    let status = road.call(edge, token)?;
    ensure!(status == wanted, "{wanted} wanted, {status} came");
    Ok(())
}

/// Takes a step and prints its time.
fn timed<T>(what: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = step().with_context(|| what.to_owned())?;
    println!("  {what:<32} {:>8.1} ms", millis(start.elapsed()));
    Ok(result)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
