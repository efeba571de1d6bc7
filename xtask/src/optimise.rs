//! Makes a component smaller and faster than the compiler leaves it: binaryen's optimiser over each module in it, and no custom
//! section (names of functions, who made it) left.
//!
//! The optimiser reads modules alone. But a component has a module's form: a preamble, then sections, each an identifier, its
//! length as LEB128 and its bytes; and one kind of section is a whole module. What stands around a module refers to it by the
//! names and types of its imports and exports, which the optimiser leaves as they are. So the modules are taken out, optimised
//! and put back, and nothing else is touched.

use std::{fs, path::Path, time::SystemTime};

use anyhow::{Context, Result, bail};

use crate::{
    progress,
    workspace::{Scratch, Workspace, command},
};

/// `-Oz` would save one kilobyte in 250.
const OPTIONS: [&str; 4] = ["-O3", "--strip-debug", "--strip-producers", "--strip-target-features"];
/// What rustc and its C library use of WebAssembly. Modules say so themselves, except some of those that others put into a component,
/// and those that wasm-bindgen went over.
pub(crate) const FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-simd",
];
const PREAMBLE: [u8; 8] = *b"\0asm\x0d\0\x01\0";
const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// Replaces the component that cargo linked by an optimised one. Cargo links its own there again at each build, so the optimised
/// one is kept in `target/optimised` and made only when cargo's, or the tools, are newer.
pub(crate) fn component(workspace: &Workspace, linked: &Path) -> Result<()> {
    let kept = workspace.target.join("optimised").join(linked.file_name().context("a file")?);
    let tools = workspace.tools().join("npm/installed.json");
    if !(newer(&kept, linked) && newer(&kept, &tools)) {
        let scratch = Scratch::new("optimise")?;
        let optimised = slim(workspace, &scratch, &fs::read(linked)?)?;
        fs::create_dir_all(workspace.target.join("optimised"))?;
        fs::write(&kept, optimised)?;
    }
    // Cargo's file is a link to one that it keeps: it must be replaced, not written into.
    let beside = linked.with_extension("optimised");
    fs::copy(&kept, &beside)?;
    Ok(fs::rename(beside, linked)?)
}

/// Whether `result` was written after `source`.
pub(crate) fn newer(result: &Path, source: &Path) -> bool {
    let time = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    matches!((time(result), time(source)), (Some(result), Some(source)) if result > source)
}

fn slim(workspace: &Workspace, scratch: &Scratch, component: &[u8]) -> Result<Vec<u8>> {
    let Some(mut rest) = component.strip_prefix(&PREAMBLE) else { bail!("this is no WebAssembly component") };
    let mut slim = PREAMBLE.to_vec();
    while let Some((&id, after)) = rest.split_first() {
        let (length, after) = read_length(after).context("a section's length")?;
        let (content, after) = after.split_at_checked(length).context("a section is cut short")?;
        rest = after;
        let content = match id {
            CUSTOM => continue,
            CORE_MODULE => module(workspace, scratch, content)?,
            COMPONENT => self::slim(workspace, scratch, content)?,
            _ => content.to_vec(),
        };
        slim.push(id);
        write_length(content.len(), &mut slim);
        slim.extend(content);
    }
    Ok(slim)
}

fn module(workspace: &Workspace, scratch: &Scratch, module: &[u8]) -> Result<Vec<u8>> {
    let (before, after) = (scratch.0.join("before.wasm"), scratch.0.join("after.wasm"));
    fs::write(&before, module)?;
    let mut optimiser = command(workspace.npm_bin().join("wasm-opt"));
    optimiser.args(OPTIONS).args(FEATURES).arg(&before).arg("-o").arg(&after);
    progress::run("optimising a module", &workspace.cache.join("logs"), "wasm-opt", &mut optimiser)?;
    Ok(fs::read(after)?)
}

/// An unsigned LEB128 number of at most 32 bits, and what follows it.
fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((length, bytes.split_at(index + 1).1));
        }
    }
    None
}

fn write_length(mut length: usize, bytes: &mut Vec<u8>) {
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_they_were_written() {
        for length in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 493_651, u32::MAX as usize] {
            let mut bytes = Vec::new();
            write_length(length, &mut bytes);
            bytes.push(7);
            assert_eq!(read_length(&bytes), Some((length, &[7][..])));
        }
        assert_eq!(read_length(&[0x80; 9]), None);
        assert_eq!(read_length(&[0x80]), None);
    }
}
