//! Generates JavaScript bindings for a WebAssembly module with the library that wasm-bindgen-cli is
//! made of, which compiles in a tenth of its time.
//!
//! Usage: `xtask-bindgen (web|worker) MODULE FOLDER [NAME]`

use std::env;

use anyhow::{Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [target, module, folder, name @ ..] = arguments.as_slice() else {
        bail!("usage: xtask-bindgen (web|worker) MODULE FOLDER [NAME]");
    };
    let mut bindgen = Bindgen::new();
    match target.as_str() {
        "web" => bindgen.web(true)?,
        // With what edge/worker/shim.js needs to restart the module after a trap.
        "worker" => bindgen.module(true)?.reset_state_function(true).force_enable_abort_handler(true),
        _ => bail!("unknown target {target}: web or worker"),
    };
    bindgen.input_path(module).omit_default_module_path(false);
    if let [name] = name {
        bindgen.out_name(name);
    }
    bindgen.generate(folder)
}
