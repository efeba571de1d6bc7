//! The checks as a module for V8. The host measures the time.

use wasm_bindgen::prelude::wasm_bindgen;

use crate::{Backend, Checks, Kit, checks, repeat};

/// The checks of one kit.
#[wasm_bindgen]
pub struct Lane {
    checks: Checks,
}

#[wasm_bindgen]
impl Lane {
    /// Reads the kit.
    ///
    /// # Errors
    /// If a library refuses a valid token.
    #[wasm_bindgen(constructor)]
    pub fn new(kit: &str) -> Result<Lane, String> {
        let kit: Kit = serde_json::from_str(kit).map_err(|error| error.to_string())?;
        let checks = checks(&kit, Backend::RustCrypto).map_err(|error| format!("{error:#}"))?;
        Ok(Lane { checks })
    }

    /// Runs a check `count` times.
    ///
    /// # Errors
    /// If the check is unknown or refuses a token.
    pub fn run(&self, name: &str, count: u32) -> Result<(), String> {
        let check = self.checks.get(name).ok_or_else(|| format!("unknown check {name}"))?;
        match repeat(check, count) {
            0 => Ok(()),
            refused => Err(format!("{name} refused {refused} of {count}")),
        }
    }
}
