//! Conventions that need the built programs to check. Those of the source text are in
//! xtask/src/conventions.rs.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use tollgate_tests::environment::required_env;

/// Size limits of the WIT component in bytes: an edge fetches and compiles it at each start. They
/// leave room for rules, DPoP, introspection and CORS, which every edge decides in the component.
const MAX_COMPONENT_BYTES: usize = 480_000;
const MAX_COMPRESSED_COMPONENT_BYTES: usize = 210_000;

#[test]
fn component_stays_within_its_size_limits() -> Result<()> {
    let component = fs::read(Path::new(&required_env("TOLLGATE_TEST_WASM_DIR")).join("tollgate_component.wasm"))?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&component)?;
    let (bytes, compressed) = (component.len(), gzip.finish()?.len());
    println!("the component has {bytes} bytes, {compressed} gzipped");
    assert!(bytes <= MAX_COMPONENT_BYTES, "{bytes} bytes, more than {MAX_COMPONENT_BYTES}");
    assert!(
        compressed <= MAX_COMPRESSED_COMPONENT_BYTES,
        "{compressed} bytes gzipped, more than {MAX_COMPRESSED_COMPONENT_BYTES}"
    );
    Ok(())
}

#[test]
fn every_setting_is_documented_with_its_default() -> Result<()> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md"))?;
    for (name, _) in tollgate_gate::SETTINGS {
        assert!(page.contains(name), "docs/settings.md does not document {name}");
    }
    for setting in tollgate_edge::RUNNER_SETTINGS {
        let row = page.lines().find(|line| line.starts_with("| ") && line.contains(&format!("`{}`", setting.name)));
        assert!(row.is_some(), "docs/settings.md does not document {}", setting.name);
    }
    for setting in tollgate_config::all() {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", setting.name)));
        let row = row.with_context(|| format!("docs/settings.md does not document {}", setting.name))?;
        if let tollgate_config::DefaultValue::Value(value) = setting.default {
            let documented = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
            assert!(
                documented.contains(value),
                "docs/settings.md has another default for {}: {documented}",
                setting.name
            );
        }
        if let Some(former) = setting.former {
            let row = format!("| `{}` | `{}` |", former.name, setting.name);
            assert!(page.contains(&row), "docs/settings.md does not document the deprecated name: {row}");
        }
    }
    Ok(())
}
