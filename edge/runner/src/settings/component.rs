//! The component: embedded in the program, or a file.

use super::table::COMPONENT;
use super::{GateKind, SettingError};
use std::path::{Path, PathBuf};

/// Components from the build script; `None` where the build embeds none.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded_components.rs"));
}

/// Where a component is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComponentSource {
    File(PathBuf),
    /// The bytes that the program was built with.
    Embedded(&'static [u8]),
}

/// Finds the component for `gate`; `set` is the value of `TOLLGATE_EDGE_COMPONENT`.
///
/// # Errors
/// If there is no such file.
pub fn find_component(set: Option<&Path>, gate: GateKind) -> Result<ComponentSource, SettingError> {
    if let Some(path) = set {
        return path
            .is_file()
            .then(|| ComponentSource::File(path.to_owned()))
            .ok_or_else(|| SettingError::new(COMPONENT, format_args!("is not a file: {}", path.display())));
    }
    let (name, embedded) = match gate {
        GateKind::Component => ("tollgate_component.wasm", embedded::COMPONENT),
        GateKind::Spin => ("tollgate_spin.wasm", embedded::SPIN_COMPONENT),
    };
    if let Some(bytes) = embedded {
        return Ok(ComponentSource::Embedded(bytes));
    }
    let executable = std::env::current_exe().unwrap_or_default();
    // Cargo builds executables in target/PROFILE, and tests in target/PROFILE/deps.
    let above = executable.ancestors().skip(1).take(3);
    let candidates = above.flat_map(|folder| [folder.join(name), folder.join("wasm32-wasip2/release").join(name)]);
    candidates.into_iter().find(|path| path.is_file()).map(ComponentSource::File).ok_or_else(|| {
        SettingError::new(
            COMPONENT,
            format_args!(
                "is not set, and this program was built without the component: install a released tollgate-edge, \
                 which contains it, or put {name} into the folder of the program"
            ),
        )
    })
}
