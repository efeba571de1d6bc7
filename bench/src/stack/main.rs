//! Benchmarks over the network: delivery of revocations to edges, revocations per second, tokens
//! per second, and requests per second through edges. `cargo xtask bench` builds and runs it.

mod delivery;
mod edge;
mod http_connection;
mod issuing;
mod rs256;
mod throughput;

use std::env;
use std::path::Path;

use anyhow::{Result, bail};
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The same allocator as in the program `tollgate`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [subject, folder, plots, quick @ ..] = arguments.as_slice() else {
        bail!(
            "usage: tollgate-bench-stack revocation|issuing|edge FOLDER PLOTS [--quick] (started by `cargo xtask bench`)"
        );
    };
    let (folder, plots, quick) = (Path::new(folder), Path::new(plots), quick == ["--quick"]);
    // Without this the log would be searched for secrets, as in the tests.
    tracing_subscriber::registry().with(LevelFilter::OFF).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match subject.as_str() {
            "issuing" => {
                issuing::measure(quick).await?.finish(folder, "1-issuing")?;
                rs256::measure(quick).await?.finish(folder, "2-rs256")
            }
            "edge" => {
                let [runner, worker] = edge::measure(quick).await?;
                runner.finish(folder, "1-runner")?;
                worker.finish(folder, "2-worker")
            }
            _ => {
                delivery::measure(plots, quick).await?.finish(folder, "4-delivery")?;
                throughput::measure(plots, quick).await?.finish(folder, "5-throughput")
            }
        }
    })
}
