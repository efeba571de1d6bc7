//! Versions that several files name.

use anyhow::{Context as _, Result};

use super::{deploy, read, root};

/// The text between `start` and the next quote or line break in a file.
fn value(text: &str, start: &str) -> Result<String> {
    let rest = text.split_once(start).with_context(|| format!("no {start}"))?.1;
    Ok(rest.split(['"', '\n', '}']).next().unwrap_or_default().trim().to_owned())
}

#[test]
fn images_chart_and_compose_have_the_version_of_the_programs() -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    for (file, start) in [
        ("Dockerfile", "ARG VERSION="),
        ("helm/tollgate/Chart.yaml", "\nversion: "),
        ("helm/tollgate/Chart.yaml", "\nappVersion: "),
        ("compose.yaml", "tollgate:${TOLLGATE_VERSION:-"),
        ("compose.yaml", "tollgate-edge:${TOLLGATE_VERSION:-"),
    ] {
        assert_eq!(value(&read(&deploy(file))?, start)?, version, "{file}: {start:?}");
    }
    Ok(())
}

#[test]
fn image_is_compiled_with_the_compiler_of_the_project() -> Result<()> {
    let toolchain = value(&read(&root().join("rust-toolchain.toml"))?, "\nchannel = \"")?;
    assert_eq!(value(&read(&deploy("Dockerfile"))?, "ARG RUST_VERSION=")?, toolchain);
    Ok(())
}
