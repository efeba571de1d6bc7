//! Embeds the WebAssembly components in the program if [`FOLDER`] names the folder that holds them,
//! as `cargo xtask dist` does. Otherwise the program reads them from files.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Environment variable with the folder of the components to embed.
const FOLDER: &str = "TOLLGATE_EDGE_EMBEDDED_COMPONENTS";
const COMPONENTS: [(&str, &str); 2] =
    [("COMPONENT", "tollgate_component.wasm"), ("SPIN_COMPONENT", "tollgate_spin.wasm")];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed={FOLDER}");
    let folder = env::var_os(FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let mut constants = String::new();
    for (constant, file) in COMPONENTS {
        let value = folder.as_deref().map_or(Ok("None".to_owned()), |folder| embedded(&folder.join(file)))?;
        constants.push_str(&format!("pub(crate) const {constant}: Option<&[u8]> = {value};\n"));
    }
    let output = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?);
    Ok(fs::write(output.join("embedded_components.rs"), constants)?)
}

/// The expression that embeds `file`.
fn embedded(file: &Path) -> Result<String, Box<dyn Error>> {
    let file = file.canonicalize().map_err(|error| format!("{FOLDER}: {}: {error}", file.display()))?;
    println!("cargo:rerun-if-changed={}", file.display());
    Ok(format!("Some(include_bytes!({file:?}))"))
}
