//! Optimises a component after linking: runs binaryen's wasm-opt over each core module in it and
//! removes the custom sections (function names, producers).
//!
//! wasm-opt reads only core modules. A component has the same binary form: a preamble, then
//! sections of an ID, a length in LEB128 and content, where a core module is one kind of section.
//! The rest of the component refers to a module only by names and types of imports and exports,
//! which wasm-opt keeps. So each module is taken out, optimised and put back.

use std::{fs, path::Path, time::SystemTime};

use anyhow::{Context, Result, bail};

use crate::{
    progress,
    workspace::{TempFolder, Workspace, command},
};

/// `-Oz` would save one kilobyte in 250.
const OPTIONS: [&str; 4] = ["-O3", "--strip-debug", "--strip-producers", "--strip-target-features"];
/// WebAssembly features that rustc and wasi-libc use. Modules declare them, except those after
/// wasm-bindgen and some that the linker adds to a component.
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

/// Replaces the component that cargo linked with the optimised one. Cargo puts its own there at
/// each build, so the optimised one is kept in `target/optimised` and made again only when cargo's,
/// or the tools, are newer.
pub(crate) fn component(workspace: &Workspace, linked: &Path) -> Result<()> {
    let kept = workspace.target.join("optimised").join(linked.file_name().context("a file")?);
    let tools = workspace.tools().join("npm/installed.json");
    if !(newer(&kept, linked) && newer(&kept, &tools)) {
        let folder = TempFolder::new("optimise")?;
        let optimised = optimise_component(workspace, &folder, &fs::read(linked)?)?;
        fs::create_dir_all(workspace.target.join("optimised"))?;
        fs::write(&kept, optimised)?;
    }
    // Cargo's file is a hard link to the one in `deps`: replace it, do not write into it.
    let replacement = linked.with_extension("optimised");
    fs::copy(&kept, &replacement)?;
    Ok(fs::rename(replacement, linked)?)
}

/// Whether `result` was written after `source`.
pub(crate) fn newer(result: &Path, source: &Path) -> bool {
    let time = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    matches!((time(result), time(source)), (Some(result), Some(source)) if result > source)
}

fn optimise_component(workspace: &Workspace, folder: &TempFolder, component: &[u8]) -> Result<Vec<u8>> {
    let Some(mut rest) = component.strip_prefix(&PREAMBLE) else { bail!("not a WebAssembly component") };
    let mut optimised = PREAMBLE.to_vec();
    while let Some((&id, after)) = rest.split_first() {
        let (length, after) = read_length(after).context("invalid section length")?;
        let (content, after) = after.split_at_checked(length).context("truncated section")?;
        rest = after;
        let content = match id {
            CUSTOM => continue,
            CORE_MODULE => optimise_module(workspace, folder, content)?,
            COMPONENT => optimise_component(workspace, folder, content)?,
            _ => content.to_vec(),
        };
        optimised.push(id);
        write_length(content.len(), &mut optimised);
        optimised.extend(content);
    }
    Ok(optimised)
}

fn optimise_module(workspace: &Workspace, folder: &TempFolder, module: &[u8]) -> Result<Vec<u8>> {
    let (before, after) = (folder.0.join("before.wasm"), folder.0.join("after.wasm"));
    fs::write(&before, module)?;
    let mut optimiser = command(workspace.npm_bin().join("wasm-opt"));
    optimiser.args(OPTIONS).args(FEATURES).arg(&before).arg("-o").arg(&after);
    progress::run("optimising a module", &workspace.cache.join("logs"), "wasm-opt", &mut optimiser)?;
    Ok(fs::read(after)?)
}

/// Reads an unsigned LEB128 number of at most 32 bits; returns it and the remaining bytes.
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
    fn lengths_round_trip() {
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
