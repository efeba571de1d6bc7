//! The tables beside the targets: every library in every place, tokens of every size, the slowest refusals.

use std::path::Path;

use anyhow::Result;
use tollgate_bench::bars::{self, Group};
use tollgate_bench::counts::Callgrind;
use tollgate_bench::figures::{Part, Table, number, time};
use tollgate_bench::measure::seconds;
use tollgate_bench::plot::{Axis, Plot, Scale, Series};

use tollgate_bench_lane::BATCH;
use tollgate_core::TableSize;

use super::{ALGORITHMS, Run};

/// A line of a table: its name, the lane and what the checks begin with.
type Line = (&'static str, &'static str, &'static str);

const NATIVE: [Line; 9] = [
    ("Tollgate", "native", "check"),
    ("Tollgate, a hit of its cache", "native", "cache"),
    ("Tollgate, small tables", "native", "small"),
    ("Tollgate, large tables", "native", "large"),
    ("the signature alone, as Tollgate's libraries check it", "native", "bare"),
    ("jwt-compact", "native-peers", "jwt-compact"),
    ("jsonwebtoken on aws-lc", "native-aws-lc", "jsonwebtoken"),
    ("jsonwebtoken on RustCrypto", "native-peers", "jsonwebtoken"),
    ("jwt-simple, pure Rust", "native-peers", "jwt-simple"),
];

const WEBASSEMBLY: [Line; 25] = [
    ("wasmtime: Tollgate", "wasmtime", "check"),
    ("wasmtime: Tollgate, a hit of its cache", "wasmtime", "cache"),
    ("wasmtime: Tollgate, small tables", "wasmtime", "small"),
    ("wasmtime: Tollgate, large tables", "wasmtime", "large"),
    ("wasmtime: the signature alone", "wasmtime", "bare"),
    ("wasmtime: jwt-compact", "wasmtime-peers", "jwt-compact"),
    ("wasmtime: jsonwebtoken", "wasmtime-peers", "jsonwebtoken"),
    ("wasmtime: jwt-simple", "wasmtime-peers", "jwt-simple"),
    ("Node: Tollgate", "node", "check"),
    ("Node: Tollgate, a hit of its cache", "node", "cache"),
    ("Node: Tollgate, small tables", "node", "small"),
    ("Node: Tollgate, large tables", "node", "large"),
    ("Node: the signature alone, in Tollgate's module", "node", "bare"),
    ("Node: jsonwebtoken as WebAssembly", "node", "jsonwebtoken"),
    ("Node: jose", "node", "jose"),
    ("Node: fast-jwt", "node", "fast-jwt"),
    ("Node: fast-jwt, a hit of its cache", "node", "fast-jwt-cache"),
    ("Node: WebCrypto, the signature alone", "node", "webcrypto"),
    ("workerd: Tollgate", "workerd", "check"),
    ("workerd: Tollgate, a hit of its cache", "workerd", "cache"),
    ("workerd: Tollgate, small tables", "workerd", "small"),
    ("workerd: Tollgate, large tables", "workerd", "large"),
    ("workerd: jose", "workerd", "jose"),
    ("workerd: jsonwebtoken as WebAssembly", "workerd", "jsonwebtoken"),
    ("workerd: WebCrypto, the signature alone", "workerd", "webcrypto"),
];

/// What is counted as well as timed: every library's checks that callgrind can look into.
const COUNTED: [Line; 7] = [
    ("Tollgate", "native", "check"),
    ("Tollgate, large tables", "native", "large"),
    ("the signature alone, as Tollgate's libraries check it", "native", "bare"),
    ("jwt-compact", "native-peers", "jwt-compact"),
    ("jsonwebtoken on aws-lc", "native-aws-lc", "jsonwebtoken"),
    ("jsonwebtoken on RustCrypto", "native-peers", "jsonwebtoken"),
    ("jwt-simple, pure Rust", "native-peers", "jwt-simple"),
];

/// The parts with their files' names.
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
        "Natively, beside other libraries",
        "Each library checks signature, exp, nbf, iss and aud and reads the claims into a struct, with its key prepared. None of \
         the others asks whether the token is revoked. A table is computed once for a key; where an algorithm has none, the \
         plain check stands.",
    );
    part.tables.push(of_lines(run, &NATIVE));
    let file = "token-native.svg";
    bars::save("A token check natively, by library", &groups(run, &NATIVE), "Tollgate", &plots.join(file))?;
    part.plots.push((file.to_owned(), "What a token check costs natively, by algorithm and library".to_owned()));
    Ok(part)
}

/// Instructions instead of times, where valgrind is there to count them.
fn instructions(run: &Run<'_>) -> Result<Part> {
    let Some(callgrind) = Callgrind::find()? else {
        let how = "Not counted: valgrind is not installed here (Debian: apt-get install valgrind).";
        return Ok(Part::new("Instructions of a check", how));
    };
    let sha = if callgrind.sees_sha {
        "as the processor runs it"
    } else {
        "as portable code, several times what runs: under valgrind the processor has no SHA instructions"
    };
    let mut part = Part::new(
        "Instructions of a check",
        format!(
            "By callgrind, inside the loop that repeats the check; unlike times they do not depend on what else the machine \
             does. SHA-256 is counted {sha}. What a check does beyond the signature is the difference of the first line and the \
             signature alone."
        ),
    );
    let algorithms: &[&str] = if run.quick { &ALGORITHMS[..1] } else { &ALGORITHMS };
    let mut table = Table::new(&[&[""][..], algorithms].concat());
    for (name, lane, library) in COUNTED {
        let Some(start) = run.starts.get(lane) else { continue };
        let mut cells = Vec::new();
        for algorithm in algorithms {
            let check = format!("{library}/{algorithm}");
            let known = run.race.ns(lane, &check).is_ok();
            cells.push(if known {
                number(callgrind.instructions(start, &check, run.folder)?, "")
            } else {
                String::new()
            });
        }
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.line(name, cells);
        }
    }
    part.tables.push(table);
    Ok(part)
}

fn webassembly(run: &Run<'_>, plots: &Path) -> Result<Part> {
    let mut part = Part::new(
        "In WebAssembly and JavaScript",
        "wasmtime runs components (wasm32-wasip2, simd128, wasm-opt -O3) with the edge's settings. Node and workerd run one \
         module (wasm32-unknown-unknown, simd128, wasm-opt -O3). jose and fast-jwt have their keys prepared; jose's HS256 key is a \
         CryptoKey, which is faster than the bytes that most hand over. In workerd a request with thousands of checks is timed \
         from outside, less an empty request.",
    );
    part.tables.push(of_lines(run, &WEBASSEMBLY));
    let file = "token-wasm.svg";
    bars::save("A token check in WebAssembly and JavaScript", &hs256_groups(run), "Tollgate", &plots.join(file))?;
    part.plots.push((file.to_owned(), "What a token check costs in wasmtime, Node and workerd".to_owned()));
    Ok(part)
}

/// What the tables of a key take, and what they and the cache give.
fn memory(run: &Run<'_>) -> Result<Part> {
    let mut part = Part::new(
        "Tables and cache",
        "A table is computed once for a public key. Its bytes are with the generator's, which all keys of a set share. The cache \
         compares the whole token and judges dates, issuer, audience, revocation and scope anew.",
    );
    let places = [("natively", "native"), ("in wasmtime", "wasmtime"), ("in Node", "node"), ("in workerd", "workerd")];
    let in_places = |check: &str| places.map(|(_, lane)| run.race.ns(lane, check).map_or(String::new(), time));
    let names = places.map(|(name, _)| name);
    let mut table = Table::new(&[&["", "bytes", "computed in"][..], &names].concat());
    for algorithm in ["EdDSA", "ES256"] {
        table.line(
            format!("{algorithm}, no table"),
            [vec![String::new(); 2], in_places(&format!("check/{algorithm}")).into()].concat(),
        );
        for (size, word) in [(TableSize::Small, "small"), (TableSize::Large, "large")] {
            let mut keys = run.kit.token(algorithm)?.keys()?;
            let ((), took) = seconds(|| keys.prepare_tables(size));
            let cells = vec![number(keys.table_bytes() as f64, ""), time(took * 1e9)];
            table.line(
                format!("{algorithm}, a {word} table"),
                [cells, in_places(&format!("{word}/{algorithm}")).into()].concat(),
            );
        }
    }
    let mut more = Table::new(&[&[""][..], &names].concat());
    more.line("HS256, a full check", in_places("check/HS256"));
    more.line("HS256, a hit of the cache", in_places("cache/HS256"));
    let mut calls = Table::new(&["", "natively", "WIT component"]);
    let each = |check: &str| {
        ["native", "component"]
            .map(|lane| run.race.ns(lane, check).map_or(String::new(), |took| time(took / BATCH as f64)))
    };
    calls.line(format!("HS256, one of {BATCH} tokens, a call each"), each("singles/HS256"));
    calls.line(format!("HS256, one of {BATCH} tokens, one call for all"), each("batch/HS256"));
    part.tables = vec![table, more, calls];
    Ok(part)
}

/// A group of bars for each algorithm.
fn groups(run: &Run<'_>, lines: &[Line]) -> Vec<Group> {
    let bar = |(name, lane, library): &Line, algorithm: &str| {
        Some(((*name).to_owned(), run.race.ns(lane, &format!("{library}/{algorithm}")).ok()?))
    };
    let group = |algorithm: &str| Group {
        name: algorithm.to_owned(),
        bars: lines.iter().filter(|line| line.2 != "bare").filter_map(|line| bar(line, algorithm)).collect(),
    };
    ALGORITHMS.map(group).into()
}

/// A group of bars for HS256 in each place.
fn hs256_groups(run: &Run<'_>) -> Vec<Group> {
    let group = |place: &str| {
        let of_place = WEBASSEMBLY.iter().filter_map(|(name, lane, library)| {
            let name = name.strip_prefix(place)?.strip_prefix(": ")?;
            let wanted = !["bare", "webcrypto"].contains(library);
            wanted.then(|| Some((name.to_owned(), run.race.ns(lane, &format!("{library}/HS256")).ok()?))).flatten()
        });
        Group { name: format!("HS256, {place}"), bars: of_place.collect() }
    };
    ["wasmtime", "Node", "workerd"].map(group).into()
}

fn of_lines(run: &Run<'_>, lines: &[Line]) -> Table {
    let mut table = Table::new(&[&[""][..], &ALGORITHMS].concat());
    for (name, lane, library) in lines {
        let cell = |algorithm: &str| run.race.ns(lane, &format!("{library}/{algorithm}")).map_or(String::new(), time);
        let cells = ALGORITHMS.map(cell);
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.line(*name, cells);
        }
    }
    table
}

fn sizes(run: &Run<'_>, plots: &Path) -> Result<Part> {
    let mut part = Part::new(
        "Larger tokens",
        "HS256 tokens with ever longer lists of permissions, up to the limit of 16 KiB, checked whole.",
    );
    let mut points = Vec::new();
    let mut table = Table::new(&["bytes", "a check", "a byte"]);
    for length in run.kit.sized.iter().map(String::len) {
        let took = run.race.ns("native", &format!("size/{length}"))?;
        table.line(number(length as f64, ""), [time(took), number(took / length as f64, "ns")]);
        points.push((length as f64 / 1024.0, took / 1e3));
    }
    part.tables.push(table);
    let highest = points.iter().fold(0.0, |highest: f64, (_, took)| highest.max(*took));
    let through_origin = points.last().map_or(0.0, |(size, took)| took / size * 16.0);
    let series = vec![
        Series::line("a check natively", points).marked(),
        Series::line("in proportion", vec![(0.0, 0.0), (16.0, through_origin)]).bound(),
    ];
    let x = Axis::new("KiB of the token", Scale::Linear, (0.0, 16.0));
    let y = Axis::new("microseconds", Scale::Linear, (0.0, highest * 1.1));
    Plot { title: "What a check costs, over the token's size".to_owned(), x, y, series }
        .save(&plots.join("token-size.svg"))?;
    part.plots.push(("token-size.svg".to_owned(), "What a check costs over the token's size".to_owned()));
    Ok(part)
}

fn refusals(run: &Run<'_>) -> Result<Part> {
    let mut part = Part::new(
        "Refusing hostile tokens",
        "Natively, the slowest first. Those whose fault is in the claims carry a good signature: without one no claim is read.",
    );
    let mut refusals = Vec::new();
    for (nth, hostile) in run.kit.hostile.iter().enumerate() {
        refusals.push((run.race.ns("native", &format!("reject/{nth}"))?, hostile));
    }
    refusals.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let mut table = Table::new(&["", "bytes", "refused in"]);
    for (took, hostile) in refusals {
        table.line(hostile.name.clone(), [number(hostile.token.text.len() as f64, ""), time(took)]);
    }
    part.tables.push(table);
    Ok(part)
}
