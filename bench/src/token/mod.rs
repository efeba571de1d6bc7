//! Cost of a token check, compared with other libraries and with the targets.

mod tables;
mod targets;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tollgate_bench::lanes::{self, Benchmark, LaneMap};
use tollgate_bench_lane::Kit;

/// The algorithms, in the order of the tables' columns.
pub(crate) const ALGORITHMS: [&str; 4] = ["HS256", "EdDSA", "ES256", "RS256"];

/// Number of rounds; each runs a batch of every check.
const ROUNDS: usize = 101;
const QUICK_ROUNDS: usize = 21;

/// Checks with a table for the key.
const TABLE_CHECKS: [&str; 4] = ["small/EdDSA", "large/EdDSA", "small/ES256", "large/ES256"];

/// Context of a run.
pub(crate) struct Run<'a> {
    pub(crate) kit: Kit,
    pub(crate) benchmark: Benchmark,
    pub(crate) lanes: &'a LaneMap,
    /// Folder of the results.
    pub(crate) folder: &'a Path,
    /// The component that edges run.
    pub(crate) component: &'a Path,
    pub(crate) quick: bool,
}

/// Measures with the kit and the lanes in `folder`, writes the results there and the plots to
/// `plots`.
pub(crate) fn measure(folder: &Path, plots: &Path, component: &Path, quick: bool) -> Result<()> {
    let kit = fs::read(folder.join("kit.json")).context("cannot read the kit: `tollgate-bench kit` creates it")?;
    let kit: Kit = serde_json::from_slice(&kit)?;
    let lanes = lanes::read(&folder.join("lanes.json"))?;
    let mut run = Run { benchmark: Benchmark::start(&lanes)?, lanes: &lanes, folder, kit, component, quick };
    let rounds = if quick { QUICK_ROUNDS } else { ROUNDS };
    let checks = all_checks(&run.kit, &lanes);
    println!("{} checks in {} lanes, {rounds} rounds …", checks.len(), lanes.len());
    run.benchmark.measure(&checks, rounds)?;
    targets::part(&run)?.finish(folder, "1-targets")?;
    for (part, name) in tables::parts(&run, plots)? {
        part.finish(folder, name)?;
    }
    Ok(())
}

/// All checks of all lanes, `(lane, check)`.
fn all_checks<'a>(kit: &Kit, lanes: &'a LaneMap) -> Vec<(&'a str, String)> {
    lanes.keys().flat_map(|lane| checks(lane, kit).into_iter().map(move |check| (lane.as_str(), check))).collect()
}

/// The checks of a lane.
fn checks(lane: &str, kit: &Kit) -> Vec<String> {
    let each = |library: &str| ALGORITHMS.map(|algorithm| format!("{library}/{algorithm}")).to_vec();
    let own = || [each("check"), each("bare"), TABLE_CHECKS.map(str::to_owned).to_vec()].concat();
    let batch = || ["batch/HS256", "singles/HS256"].map(str::to_owned).to_vec();
    let cache = || vec!["cache/HS256".to_owned()];
    match lane {
        "native" => {
            let sizes = kit.sized.iter().map(|text| format!("size/{}", text.len())).collect();
            let keys = vec!["clock".to_owned(), "keys/1".to_owned(), "keys/64".to_owned()];
            let hostile = (0..kit.hostile.len()).map(|nth| format!("reject/{nth}")).collect();
            [own(), cache(), batch(), keys, sizes, hostile].concat()
        }
        "wasmtime" => [own(), cache()].concat(),
        "component" => batch(),
        "native-peers" | "wasmtime-peers" => ["jsonwebtoken", "jwt-compact", "jwt-simple"].map(each).concat(),
        "native-aws-lc" => each("jsonwebtoken"),
        "node" => {
            let others = ["jsonwebtoken", "jose", "fast-jwt", "fast-jwt-cache", "webcrypto"].map(each).concat();
            [own(), cache(), others].concat()
        }
        "workerd" => {
            [each("check"), TABLE_CHECKS.map(str::to_owned).to_vec(), cache(), each("jose"), each("webcrypto")].concat()
        }
        "origin" => vec!["issue/HS256".to_owned()],
        _ => Vec::new(),
    }
}
