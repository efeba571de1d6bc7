//! The checks as a module for V8. The host measures the time.

use wasm_bindgen::prelude::wasm_bindgen;

use crate::{Checks, checks, repeat};

/// The checks of one kit.
#[wasm_bindgen]
pub struct Lane {
    checks: Checks,
}

#[wasm_bindgen]
impl Lane {
    /// Reads kit and snapshot.
    ///
    /// # Errors
    /// If they cannot be read, or a check gives a wrong answer.
    #[wasm_bindgen(constructor)]
    pub fn new(kit: &str, snapshot: Vec<u8>) -> Result<Lane, String> {
        let kit = serde_json::from_str(kit).map_err(|error| error.to_string())?;
        let checks = checks(&kit, snapshot).map_err(|error| format!("{error:#}"))?;
        Ok(Lane { checks })
    }

    /// Runs a check `count` times.
    ///
    /// # Errors
    /// If the check is unknown or gives a wrong answer.
    pub fn run(&self, name: &str, count: u32) -> Result<(), String> {
        let check = self.checks.get(name).ok_or_else(|| format!("unknown check {name}"))?;
        match repeat(check, count) {
            0 => Ok(()),
            wrong => Err(format!("{name} gave {wrong} wrong answers of {count}")),
        }
    }
}
