//! What a first run creates, with the secrets, in a file that only its owner can read. It exists
//! from before the first change until the secrets were printed.

use std::collections::BTreeMap;
use std::fs::DirEntry;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tollgate_model::encoding::{base64url, from_base64url};
use tollgate_model::{Audience, ClientId, Secret, SecretKind, UserName, Verifier};
use tollgate_system::files::{self, Access};
use tollgate_system::rng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Objects without a flag are created only where there is none of their kind yet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// Settings of the settings file, by name. Those that are set elsewhere are not among them.
    pub(super) settings: BTreeMap<String, String>,
    pub(super) admin: PlannedAdmin,
    pub(super) client: PlannedClient,
    /// None for the public URL.
    pub(super) resource: Option<Audience>,
    pub(super) verifier: Verifier,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedAdmin {
    pub(super) name: UserName,
    /// Whether a flag or an answer names the administrator, instead of the default.
    pub(super) is_explicit: bool,
    pub(super) password: PlannedSecret,
    /// Whether the password was generated, so that it must be printed.
    pub(super) is_generated: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedClient {
    pub(super) id: ClientId,
    /// Whether a flag or an answer names the client, instead of the default.
    pub(super) is_explicit: bool,
    /// The random bytes of its secret, in base64url.
    secret: PlannedSecret,
}

/// A secret of the plan, wiped when dropped.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub(super) struct PlannedSecret(String);

impl PlannedSecret {
    pub(super) fn new(text: &str) -> PlannedSecret {
        PlannedSecret(text.to_owned())
    }

    /// Random bytes in base64url.
    pub(super) fn random<const N: usize>() -> anyhow::Result<PlannedSecret> {
        let bytes = Zeroizing::new(rng::random::<N>()?);
        Ok(PlannedSecret(base64url(bytes.as_slice())))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl PlannedClient {
    pub(super) fn new(id: ClientId, is_explicit: bool) -> anyhow::Result<PlannedClient> {
        Ok(PlannedClient { id, is_explicit, secret: PlannedSecret::random::<32>()? })
    }

    pub(super) fn secret(&self) -> anyhow::Result<Secret> {
        let bytes = from_base64url(self.secret.reveal()).map(Zeroizing::new);
        let bytes: [u8; 32] =
            bytes.and_then(|bytes| bytes.as_slice().try_into().ok()).context("the plan is damaged")?;
        let bytes = Zeroizing::new(bytes);
        Ok(Secret::new(SecretKind::Client, &bytes))
    }
}

/// The file of the plan, `tollgate.init` in the folder of the first run.
pub(super) struct PlanFile(PathBuf);

impl PlanFile {
    pub(super) fn new(folder: &Path) -> PlanFile {
        PlanFile(folder.join("tollgate.init"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The plan of a run that was interrupted.
    pub(super) fn read(&self) -> anyhow::Result<Option<Plan>> {
        let text = match std::fs::read(&self.0) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.0.display())),
        };
        // The parser's error could quote a secret.
        match serde_json::from_slice(&text) {
            Ok(plan) => Ok(Some(plan)),
            Err(_) => bail!("{} is not the plan of a first run: remove it to start over", self.0.display()),
        }
    }

    /// Stores a new plan, durable when this returns. If an interrupted run may have created the
    /// same administrator or client, their secrets are kept. A plan that another process stored
    /// meanwhile is not replaced.
    pub(super) fn write(&self, mut plan: Plan, interrupted: Option<Plan>) -> anyhow::Result<Plan> {
        if let Some(interrupted) = &interrupted {
            if interrupted.admin.name == plan.admin.name && plan.admin.is_generated {
                plan.admin.password = interrupted.admin.password.clone();
                plan.admin.is_generated = interrupted.admin.is_generated;
            }
            if interrupted.client.id == plan.client.id {
                plan.client.secret = interrupted.client.secret.clone();
            }
        }
        let text = Zeroizing::new(serde_json::to_vec_pretty(&plan)?);
        let written = match interrupted {
            Some(_) => files::replace(&self.0, &text, Access::Owner),
            None => files::create(&self.0, &text, Access::Owner),
        };
        match written {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("another `tollgate init` is at work in this folder: wait for it, and run this again")
            }
            written => written.with_context(|| format!("cannot write {}", self.0.display()))?,
        }
        Ok(plan)
    }

    /// Removes the plan, after its secrets were printed, and what an interrupted write has left.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        let is_remainder = |entry: &DirEntry| entry.file_name().to_string_lossy().starts_with(&format!(".{name}."));
        let entries = self.0.parent().and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        let remainders = entries.filter(is_remainder).map(|entry| entry.path());
        for path in remainders.chain([self.0.clone()]) {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let shown = path.display();
                    return Err(error).with_context(|| format!("cannot remove {shown}, which contains secrets"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
