//! Embeds the WebAssembly components in the program: those of the folder that [`FOLDER`] names, as
//! `cargo xtask dist` does, and otherwise, in release builds, those that cargo has built already. A
//! program without them reads them from files.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Environment variable with the folder of the components to embed.
const FOLDER: &str = "TOLLGATE_EDGE_EMBEDDED_COMPONENTS";
/// Where cargo builds components, in its target folder.
const BUILT: &str = "wasm32-wasip2/release";
const COMPONENTS: [(&str, &str); 2] =
    [("COMPONENT", "tollgate_component.wasm"), ("SPIN_COMPONENT", "tollgate_spin.wasm")];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed={FOLDER}");
    println!("cargo:rerun-if-changed=build.rs");
    let folder = env::var_os(FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let output = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?);
    let mut constants = String::new();
    for (constant, name) in COMPONENTS {
        let file = match &folder {
            Some(folder) => Some(folder.join(name)),
            None => built_component(&output, name),
        };
        let value = file.map_or(Ok("None".to_owned()), |file| embedded(&file))?;
        constants.push_str(&format!("pub(crate) const {constant}: Option<&[u8]> = {value};\n"));
    }
    Ok(fs::write(output.join("embedded_components.rs"), constants)?)
}

/// The component that was built before. None in builds for development, which would otherwise be
/// linked again after each change of a component.
fn built_component(output: &Path, name: &str) -> Option<PathBuf> {
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let mut candidates = output.ancestors().map(|folder| folder.join(BUILT).join(name));
    candidates.find(|file| is_release && file.is_file())
}

/// The expression that embeds `file`.
fn embedded(file: &Path) -> Result<String, Box<dyn Error>> {
    let file = file.canonicalize().map_err(|error| format!("{FOLDER}: {}: {error}", file.display()))?;
    println!("cargo:rerun-if-changed={}", file.display());
    Ok(format!("Some(include_bytes!({file:?}))"))
}
