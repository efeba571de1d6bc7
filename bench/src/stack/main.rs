//! Measures what crosses the network: how fast a revocation reaches the edges, how many a second an origin takes, and how many tokens
//! a second it gives. Run it by `cargo xtask bench`, which builds and tells it the parts.

mod delivery;
mod issuing;
mod throughput;
mod wire;

use std::env;
use std::path::Path;

use anyhow::{Result, bail};
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// As in the command `tollgate`.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [subject, folder, plots, quick @ ..] = arguments.as_slice() else {
        bail!("it is used so: tollgate-bench-stack revocation|issuing FOLDER PLOTS [--quick], by `cargo xtask bench`");
    };
    let (folder, plots, quick) = (Path::new(folder), Path::new(plots), quick == ["--quick"]);
    // Else the servers would be read along for secrets, as in the tests.
    tracing_subscriber::registry().with(LevelFilter::OFF).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if subject == "issuing" {
            return issuing::measure(quick).await?.finish(folder, "1-issuing");
        }
        delivery::measure(plots, quick).await?.finish(folder, "4-delivery")?;
        throughput::measure(plots, quick).await?.finish(folder, "5-throughput")
    })
}
