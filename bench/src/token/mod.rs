//! What a token check costs, here and beside other libraries, against the targets.

mod tables;
mod targets;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tollgate_bench::lanes::{self, Race, Starts};
use tollgate_bench_lane::Kit;

/// The algorithms, in the order of the tables.
pub(crate) const ALGORITHMS: [&str; 4] = ["HS256", "EdDSA", "ES256", "RS256"];

/// Rounds, of each of which a batch of everything is part.
const ROUNDS: usize = 101;
const QUICK_ROUNDS: usize = 21;

/// Checks with tables computed for the key.
const TABLES: [&str; 4] = ["small/EdDSA", "large/EdDSA", "small/ES256", "large/ES256"];

/// What the measuring needs to know of a run.
pub(crate) struct Run<'a> {
    pub(crate) kit: Kit,
    pub(crate) race: Race,
    pub(crate) starts: &'a Starts,
    /// Where the parts go.
    pub(crate) folder: &'a Path,
    /// The component that edges run.
    pub(crate) component: &'a Path,
    pub(crate) quick: bool,
}

/// Measures with the kit and the lanes in `folder`, keeps the parts there and draws into `plots`.
pub(crate) fn measure(folder: &Path, plots: &Path, component: &Path, quick: bool) -> Result<()> {
    let kit = fs::read(folder.join("kit.json")).context("there is no kit: `tollgate-bench kit` makes one")?;
    let kit: Kit = serde_json::from_slice(&kit)?;
    let starts = lanes::read(&folder.join("lanes.json"))?;
    let mut run = Run { race: Race::start(&starts)?, starts: &starts, folder, kit, component, quick };
    let rounds = if quick { QUICK_ROUNDS } else { ROUNDS };
    let wanted = wanted(&run.kit, &starts);
    println!("{} checks in {} lanes, {rounds} rounds …", wanted.len(), starts.len());
    run.race.measure(&wanted, rounds)?;
    targets::part(&run)?.finish(folder, "1-targets")?;
    for (part, name) in tables::parts(&run, plots)? {
        part.finish(folder, name)?;
    }
    Ok(())
}

/// Everything that is measured in turn, `(lane, check)`.
fn wanted<'a>(kit: &Kit, starts: &'a Starts) -> Vec<(&'a str, String)> {
    starts.keys().flat_map(|lane| checks(lane, kit).into_iter().map(move |check| (lane.as_str(), check))).collect()
}

/// What is asked of a lane.
fn checks(lane: &str, kit: &Kit) -> Vec<String> {
    let each = |library: &str| ALGORITHMS.map(|algorithm| format!("{library}/{algorithm}")).to_vec();
    let own = || [each("check"), each("bare"), TABLES.map(str::to_owned).to_vec()].concat();
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
            [each("check"), TABLES.map(str::to_owned).to_vec(), cache(), each("jose"), each("webcrypto")].concat()
        }
        "origin" => vec!["issue/HS256".to_owned()],
        _ => Vec::new(),
    }
}
