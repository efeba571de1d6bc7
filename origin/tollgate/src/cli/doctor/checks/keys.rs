//! Keys: whether the master key opens them, each algorithm has a signing key, and rotation works.

use tollgate_keys::{KeyRing, KeyRingError, PublicKey};
use tollgate_model::error_chain::with_causes;
use tollgate_model::{KeyState, TokenAlg};

use super::{Deployment, Finding};

/// Seconds after which a rotation that was due is a problem: an origin looks more often.
const ROTATION_MARGIN: u64 = 60 * 60;
/// Seconds: without rotation, a key should be replaced by hand within a year.
const OLD_KEY: u64 = 365 * 24 * 60 * 60;
const DAY: u64 = 24 * 60 * 60;

pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let Some(store) = &deployment.store else {
        return vec![Finding::skipped("the database cannot be read: see above")];
    };
    let stored = match store.get_stored_keys().await {
        Ok(stored) => stored,
        Err(error) => {
            return vec![Finding::fault(
                with_causes(&error),
                "The keys cannot be read.",
                "Look at the log of the database.",
            )];
        }
    };
    if stored.keys.is_empty() {
        return vec![Finding::skipped("there are no keys yet: `tollgate init` or the first start creates them")];
    }
    // The database contains keys, so no master key may be created.
    let master = match deployment.settings.master_key.load(false) {
        Ok(master) => master,
        Err(error) => {
            return vec![Finding::fault(
                error.to_string(),
                "Without the master key no private key can be decrypted, and the origin does not start.",
                "Restore the file from your backup, or let TOLLGATE_MASTER_KEY_FILE name it.",
            )];
        }
    };
    match KeyRing::open(&master, &stored.keys, stored.revoked, deployment.clock.now()) {
        Ok(keys) => judge(&keys, deployment),
        Err(error) => vec![explain(&error)],
    }
}

fn explain(error: &KeyRingError) -> Finding {
    match error {
        KeyRingError::WrongMasterKey { .. } => Finding::fault(
            error.to_string(),
            "The keys in this database were encrypted with another master key, so the origin does not start.",
            "Use the master key that belongs to this database: TOLLGATE_MASTER_KEY or TOLLGATE_MASTER_KEY_FILE.",
        ),
        _ => Finding::fault(
            error.to_string(),
            "The keys in the database are damaged or incomplete, so the origin does not start.",
            "Restore the database from a backup.",
        ),
    }
}

fn judge(keys: &KeyRing, deployment: &Deployment) -> Vec<Finding> {
    let (now, rotation) = (deployment.clock.now(), deployment.settings.keys.rotation);
    let mut findings = Vec::new();
    for alg in [TokenAlg::EdDsa, TokenAlg::Es256, TokenAlg::Rs256] {
        if keys.signing_key(alg).is_none() {
            findings.push(Finding::fault(
                format!("no key signs {alg}"),
                "Tokens with this algorithm cannot be issued.",
                "A running origin creates the key within a minute; otherwise run `tollgate key rotate --now`.",
            ));
        }
    }
    let is_signing = |key: &&PublicKey| key.state == KeyState::Active && key.purpose == "token";
    for key in keys.listing().iter().filter(is_signing) {
        let age = now.saturating_sub(key.signs_from.unwrap_or(key.created_at));
        match rotation {
            Some(rotation) if age > rotation.saturating_add(ROTATION_MARGIN) => findings.push(Finding::warning(
                format!(
                    "the {} key {} signs since {} days, and should have been replaced",
                    key.alg,
                    key.kid,
                    age / DAY
                ),
                "No origin has run the rotation: it runs in `tollgate serve`.",
                "Look for errors about keys in the log of the origin.",
            )),
            None if age > OLD_KEY => findings.push(Finding::warning(
                format!("the {} key {} signs since {} days, and rotation is off", key.alg, key.kid, age / DAY),
                "The longer a key is used, the more a stolen copy is worth.",
                "Set TOLLGATE_KEY_ROTATION, or run `tollgate key rotate` now and then.",
            )),
            _ => {}
        }
    }
    Finding::or_ok(findings, "the master key opens all keys, and each algorithm has a signing key")
}
