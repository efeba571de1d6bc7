//! Tables of figures without targets: all libraries in all environments, tokens of all sizes, the
//! slowest refusals.

use std::path::Path;

use anyhow::Result;
use tollgate_bench::bars::{self, Group};
use tollgate_bench::callgrind::Callgrind;
use tollgate_bench::figures::{Part, Table, number, time};
use tollgate_bench::measure::seconds;
use tollgate_bench::plot::{Axis, Plot, Scale, Series};

use tollgate_bench_lane::BATCH_TOKENS;
use tollgate_core::TableSize;

use super::{ALGORITHMS, Run};

/// A row of a table: its name, the lane and the first part of the checks' names.
type Row = (&'static str, &'static str, &'static str);

const NATIVE_ROWS: [Row; 9] = [
    ("Tollgate", "native", "check"),
    ("Tollgate, cache hit", "native", "cache"),
    ("Tollgate, small tables", "native", "small"),
    ("Tollgate, large tables", "native", "large"),
    ("signature only, by Tollgate's libraries", "native", "bare"),
    ("jwt-compact", "native-peers", "jwt-compact"),
    ("jsonwebtoken on aws-lc", "native-aws-lc", "jsonwebtoken"),
    ("jsonwebtoken on RustCrypto", "native-peers", "jsonwebtoken"),
    ("jwt-simple, pure Rust", "native-peers", "jwt-simple"),
];

const WEBASSEMBLY_ROWS: [Row; 25] = [
    ("wasmtime: Tollgate", "wasmtime", "check"),
    ("wasmtime: Tollgate, cache hit", "wasmtime", "cache"),
    ("wasmtime: Tollgate, small tables", "wasmtime", "small"),
    ("wasmtime: Tollgate, large tables", "wasmtime", "large"),
    ("wasmtime: signature only", "wasmtime", "bare"),
    ("wasmtime: jwt-compact", "wasmtime-peers", "jwt-compact"),
    ("wasmtime: jsonwebtoken", "wasmtime-peers", "jsonwebtoken"),
    ("wasmtime: jwt-simple", "wasmtime-peers", "jwt-simple"),
    ("Node: Tollgate", "node", "check"),
    ("Node: Tollgate, cache hit", "node", "cache"),
    ("Node: Tollgate, small tables", "node", "small"),
    ("Node: Tollgate, large tables", "node", "large"),
    ("Node: signature only, in Tollgate's module", "node", "bare"),
    ("Node: jsonwebtoken as WebAssembly", "node", "jsonwebtoken"),
    ("Node: jose", "node", "jose"),
    ("Node: fast-jwt", "node", "fast-jwt"),
    ("Node: fast-jwt, cache hit", "node", "fast-jwt-cache"),
    ("Node: WebCrypto, signature only", "node", "webcrypto"),
    ("workerd: Tollgate", "workerd", "check"),
    ("workerd: Tollgate, cache hit", "workerd", "cache"),
    ("workerd: Tollgate, small tables", "workerd", "small"),
    ("workerd: Tollgate, large tables", "workerd", "large"),
    ("workerd: jose", "workerd", "jose"),
    ("workerd: jsonwebtoken as WebAssembly", "workerd", "jsonwebtoken"),
    ("workerd: WebCrypto, signature only", "workerd", "webcrypto"),
];

/// Checks of which instructions are counted: those of native lanes.
const COUNTED_ROWS: [Row; 7] = [
    ("Tollgate", "native", "check"),
    ("Tollgate, large tables", "native", "large"),
    ("signature only, by Tollgate's libraries", "native", "bare"),
    ("jwt-compact", "native-peers", "jwt-compact"),
    ("jsonwebtoken on aws-lc", "native-aws-lc", "jsonwebtoken"),
    ("jsonwebtoken on RustCrypto", "native-peers", "jsonwebtoken"),
    ("jwt-simple, pure Rust", "native-peers", "jwt-simple"),
];

/// The parts with the names of their files.
pub(crate) fn parts(run: &Run<'_>, plots: &Path) -> Result<Vec<(Part, &'static str)>> {
    Ok(vec![
        (native(run, plots)?, "2-native"),
        (instructions(run)?, "3-instructions"),
        (webassembly(run, plots)?, "4-wasm"),
        (memory(run)?, "5-memory"),
        (sizes(run, plots)?, "6-sizes"),
        (refusals(run)?, "7-refusals"),
    ])
}

fn native(run: &Run<'_>, plots: &Path) -> Result<Part> {
    let mut part = Part::new(
        "Natively, compared with other libraries",
        "Each library checks signature, exp, nbf, iss and aud and parses the claims into a struct, with its key prepared. Only \
         Tollgate checks revocation. A table is computed once for each key.",
    );
    part.tables.push(rows_table(run, &NATIVE_ROWS));
    let file = "token-native.svg";
    bars::save("A token check natively, by library", &groups(run, &NATIVE_ROWS), "Tollgate", &plots.join(file))?;
    part.plots.push((file.to_owned(), "Cost of a token check natively, by algorithm and library".to_owned()));
    Ok(part)
}

/// Instruction counts, if valgrind is installed.
fn instructions(run: &Run<'_>) -> Result<Part> {
    let Some(callgrind) = Callgrind::find()? else {
        let description = "Not counted: valgrind is not installed (Debian: apt-get install valgrind).";
        return Ok(Part::new("Instructions of a check", description));
    };
    let sha = if callgrind.has_sha_instructions {
        "as the processor runs it"
    } else {
        "as portable code, which is several times as long: valgrind hides the processor's SHA instructions"
    };
    let mut part = Part::new(
        "Instructions of a check",
        format!(
            "Counted by callgrind inside the loop that repeats the check; unlike times, the counts do not depend on other load. \
             SHA-256 is counted {sha}. The difference between the first row and the signature alone is the cost of everything \
             but the signature."
        ),
    );
    let algorithms: &[&str] = if run.quick { &ALGORITHMS[..1] } else { &ALGORITHMS };
    let mut table = Table::new(&[&[""][..], algorithms].concat());
    for (name, lane, library) in COUNTED_ROWS {
        let Some(settings) = run.lanes.get(lane) else { continue };
        let mut cells = Vec::new();
        for algorithm in algorithms {
            let check = format!("{library}/{algorithm}");
            let is_measured = run.benchmark.ns(lane, &check).is_ok();
            cells.push(if is_measured {
                number(callgrind.instructions(settings, &check, run.folder)?, "")
            } else {
                String::new()
            });
        }
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.add_row(name, cells);
        }
    }
    part.tables.push(table);
    Ok(part)
}

fn webassembly(run: &Run<'_>, plots: &Path) -> Result<Part> {
    let mut part = Part::new(
        "In WebAssembly and JavaScript",
        "wasmtime runs components (wasm32-wasip2, simd128, wasm-opt -O3) with the edge's settings. Node and workerd run the same \
         module (wasm32-unknown-unknown, simd128, wasm-opt -O3). jose and fast-jwt have their keys prepared; jose's HS256 key is a \
         CryptoKey, which is faster than raw bytes. In workerd, a request with thousands of checks is timed from outside, and the \
         time of an empty request is subtracted.",
    );
    part.tables.push(rows_table(run, &WEBASSEMBLY_ROWS));
    let file = "token-wasm.svg";
    bars::save("A token check in WebAssembly and JavaScript", &hs256_groups(run), "Tollgate", &plots.join(file))?;
    part.plots.push((file.to_owned(), "Cost of a token check in wasmtime, Node and workerd".to_owned()));
    Ok(part)
}

/// Size of the key tables, and the effect of tables, cache and batches.
fn memory(run: &Run<'_>) -> Result<Part> {
    let mut part = Part::new(
        "Tables and cache",
        "A table is computed once for each public key. The size includes the generator's table, which all keys of a set share. On a \
         cache hit the whole token is compared, and dates, issuer, audience, revocation and scope are checked.",
    );
    let environments =
        [("natively", "native"), ("in wasmtime", "wasmtime"), ("in Node", "node"), ("in workerd", "workerd")];
    let in_environments =
        |check: &str| environments.map(|(_, lane)| run.benchmark.ns(lane, check).map_or(String::new(), time));
    let names = environments.map(|(name, _)| name);
    let mut table = Table::new(&[&["", "bytes", "computed in"][..], &names].concat());
    for algorithm in ["EdDSA", "ES256"] {
        table.add_row(
            format!("{algorithm}, no table"),
            [vec![String::new(); 2], in_environments(&format!("check/{algorithm}")).into()].concat(),
        );
        for (size, word) in [(TableSize::Small, "small"), (TableSize::Large, "large")] {
            let mut keys = run.kit.token(algorithm)?.keys()?;
            let ((), took) = seconds(|| keys.prepare_tables(size));
            let cells = vec![number(keys.table_bytes() as f64, ""), time(took * 1e9)];
            table.add_row(
                format!("{algorithm}, {word} table"),
                [cells, in_environments(&format!("{word}/{algorithm}")).into()].concat(),
            );
        }
    }
    let mut cache = Table::new(&[&[""][..], &names].concat());
    cache.add_row("HS256, full check", in_environments("check/HS256"));
    cache.add_row("HS256, cache hit", in_environments("cache/HS256"));
    let mut calls = Table::new(&["", "natively", "WIT component"]);
    let each = |check: &str| {
        ["native", "component"]
            .map(|lane| run.benchmark.ns(lane, check).map_or(String::new(), |took| time(took / BATCH_TOKENS as f64)))
    };
    calls.add_row(format!("HS256, {BATCH_TOKENS} tokens, one call each: for one token"), each("singles/HS256"));
    calls.add_row(format!("HS256, {BATCH_TOKENS} tokens in one call: for one token"), each("batch/HS256"));
    part.tables = vec![table, cache, calls];
    Ok(part)
}

/// A group of bars for each algorithm.
fn groups(run: &Run<'_>, rows: &[Row]) -> Vec<Group> {
    let bar = |(name, lane, library): &Row, algorithm: &str| {
        Some(((*name).to_owned(), run.benchmark.ns(lane, &format!("{library}/{algorithm}")).ok()?))
    };
    let group = |algorithm: &str| Group {
        name: algorithm.to_owned(),
        bars: rows.iter().filter(|row| row.2 != "bare").filter_map(|row| bar(row, algorithm)).collect(),
    };
    ALGORITHMS.map(group).into()
}

/// A group of bars for HS256 in each environment.
fn hs256_groups(run: &Run<'_>) -> Vec<Group> {
    let group = |environment: &str| {
        let bars = WEBASSEMBLY_ROWS.iter().filter_map(|(name, lane, library)| {
            let name = name.strip_prefix(environment)?.strip_prefix(": ")?;
            let is_whole_check = !["bare", "webcrypto"].contains(library);
            is_whole_check
                .then(|| Some((name.to_owned(), run.benchmark.ns(lane, &format!("{library}/HS256")).ok()?)))
                .flatten()
        });
        Group { name: format!("HS256, {environment}"), bars: bars.collect() }
    };
    ["wasmtime", "Node", "workerd"].map(group).into()
}

fn rows_table(run: &Run<'_>, rows: &[Row]) -> Table {
    let mut table = Table::new(&[&[""][..], &ALGORITHMS].concat());
    for (name, lane, library) in rows {
        let cell =
            |algorithm: &str| run.benchmark.ns(lane, &format!("{library}/{algorithm}")).map_or(String::new(), time);
        let cells = ALGORITHMS.map(cell);
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.add_row(*name, cells);
        }
    }
    table
}

fn sizes(run: &Run<'_>, plots: &Path) -> Result<Part> {
    let mut part = Part::new(
        "Larger tokens",
        "HS256 tokens with longer lists of permissions, up to the limit of 16 KiB, with all checks.",
    );
    let mut points = Vec::new();
    let mut table = Table::new(&["bytes", "check", "for each byte"]);
    for length in run.kit.sized.iter().map(String::len) {
        let took = run.benchmark.ns("native", &format!("size/{length}"))?;
        table.add_row(number(length as f64, ""), [time(took), number(took / length as f64, "ns")]);
        points.push((length as f64 / 1024.0, took / 1e3));
    }
    part.tables.push(table);
    let highest = points.iter().fold(0.0, |highest: f64, (_, took)| highest.max(*took));
    let through_origin = points.last().map_or(0.0, |(size, took)| took / size * 16.0);
    let series = vec![
        Series::line("check, natively", points).with_markers(),
        Series::line("proportional", vec![(0.0, 0.0), (16.0, through_origin)]).as_bound(),
    ];
    let x = Axis::new("size of the token, KiB", Scale::Linear, (0.0, 16.0));
    let y = Axis::new("microseconds", Scale::Linear, (0.0, highest * 1.1));
    Plot { title: "Cost of a check by the size of the token".to_owned(), x, y, series }
        .save(&plots.join("token-size.svg"))?;
    part.plots.push(("token-size.svg".to_owned(), "Cost of a check by the size of the token".to_owned()));
    Ok(part)
}

fn refusals(run: &Run<'_>) -> Result<Part> {
    let mut part = Part::new(
        "Refusing hostile tokens",
        "Natively, the slowest first. Tokens with an error in the claims have a valid signature, because claims are read only after it was checked.",
    );
    let mut refusals = Vec::new();
    for (nth, hostile) in run.kit.hostile.iter().enumerate() {
        refusals.push((run.benchmark.ns("native", &format!("reject/{nth}"))?, hostile));
    }
    refusals.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let mut table = Table::new(&["", "bytes", "time to refusal"]);
    for (took, hostile) in refusals {
        table.add_row(hostile.name.clone(), [number(hostile.token.text.len() as f64, ""), time(took)]);
    }
    part.tables.push(table);
    Ok(part)
}
