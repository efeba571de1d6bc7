//! The core's checks: the whole strict profile and a `Clear` from a snapshot of a million revocations.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use anyhow::{Result, ensure};
use tollgate_core::{
    KeySet, Replica, ReplicaView, Snapshot, TableSize, TokenRequirements, UnknownStatusPolicy, Verifier, verify,
    verify_all,
};

use crate::{Check, Checks, Kit, bare};

/// Tokens of a batch.
pub const BATCH: usize = 32;

/// Tokens that the cache has room for.
const CACHED: usize = 1024;

/// Where the tokens are judged.
struct Ground {
    replica: Replica,
    issuer: String,
    audience: String,
}

impl Ground {
    fn expected(&self) -> TokenRequirements<'_> {
        expected(&self.issuer, &self.audience)
    }

    fn view(&self) -> ReplicaView<'_> {
        ReplicaView { replica: &self.replica, is_fresh: true }
    }
}

/// What a token must be for.
pub fn expected<'a>(issuer: &'a str, audience: &'a str) -> TokenRequirements<'a> {
    TokenRequirements {
        issuer,
        audience,
        scope: &[],
        leeway: 30,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    }
}

/// All checks of a kit, each tried once.
///
/// # Errors
/// When a key or the snapshot cannot be read, or a check comes out wrong.
pub fn checks(kit: &Kit, snapshot: Vec<u8>) -> Result<Checks> {
    let replica = Replica::new(Snapshot::decode(snapshot, &[kit.snapshot_key])?, &kit.issuer)?;
    let ground = Rc::new(Ground { replica, issuer: kit.issuer.clone(), audience: kit.audience.clone() });
    let mut checks = Checks::new();
    bare::add(kit, &mut checks)?;
    checks.insert("clock".to_owned(), Box::new(|| black_box(now()) > 0));
    for (name, token) in &kit.tokens {
        let keys = Rc::new(token.keys()?);
        checks.insert(format!("check/{name}"), passes(&ground, &keys, &token.text));
    }
    for (size, word) in [(TableSize::Small, "small"), (TableSize::Large, "large")] {
        for algorithm in ["EdDSA", "ES256"] {
            let token = kit.token(algorithm)?;
            let mut keys = token.keys()?;
            keys.prepare_tables(size);
            checks.insert(format!("{word}/{algorithm}"), passes(&ground, &Rc::new(keys), &token.text));
        }
    }
    let hs256 = kit.token("HS256")?;
    checks.insert("cache/HS256".to_owned(), remembered(&ground, hs256.keys()?, &hs256.text));
    let keys = Rc::new(hs256.keys()?);
    let many = Rc::new(KeySet::from_jwks(kit.many_keys.to_string().as_bytes())?);
    checks.insert("keys/1".to_owned(), passes(&ground, &keys, &hs256.text));
    checks.insert(format!("keys/{}", many.len()), passes(&ground, &many, &hs256.text));
    for text in &kit.sized {
        checks.insert(format!("size/{}", text.len()), passes(&ground, &keys, text));
    }
    checks.insert("singles/HS256".to_owned(), singles(&ground, &keys, kit));
    checks.insert("batch/HS256".to_owned(), together(&ground, &keys, kit));
    for (nth, hostile) in kit.hostile.iter().enumerate() {
        let passes = passes(&ground, &Rc::new(hostile.token.keys()?), &hostile.token.text);
        checks.insert(format!("reject/{nth}"), Box::new(move || !passes()));
    }
    let wrong = checks.iter().find(|(_, check)| !check()).map(|(name, _)| name);
    ensure!(wrong.is_none(), "{wrong:?} comes out wrong");
    Ok(checks)
}

/// One token, judged as an edge judges it, the clock read for each.
fn passes(ground: &Rc<Ground>, keys: &Rc<KeySet>, text: &str) -> Check {
    let (ground, keys, text) = (Rc::clone(ground), Rc::clone(keys), text.as_bytes().to_vec());
    Box::new(move || verify(black_box(&text), &keys, &ground.expected(), &ground.view(), now()).is_ok())
}

/// A token that a verifier has seen before, among many others.
fn remembered(ground: &Rc<Ground>, keys: KeySet, text: &str) -> Check {
    let (ground, text) = (Rc::clone(ground), text.as_bytes().to_vec());
    let verifier = RefCell::new(Verifier::new(keys, CACHED, TableSize::None));
    Box::new(move || {
        let mut verifier = verifier.borrow_mut();
        verifier.verify(black_box(&text), &ground.expected(), &ground.view(), now()).is_ok()
    })
}

/// The tokens of a batch, one by one.
fn singles(ground: &Rc<Ground>, keys: &Rc<KeySet>, kit: &Kit) -> Check {
    let (ground, keys, batch) = (Rc::clone(ground), Rc::clone(keys), kit.batch.clone());
    Box::new(move || {
        let (expected, view, now) = (ground.expected(), ground.view(), now());
        batch.iter().all(|text| verify(black_box(text.as_bytes()), &keys, &expected, &view, now).is_ok())
    })
}

/// The tokens of a batch at once.
fn together(ground: &Rc<Ground>, keys: &Rc<KeySet>, kit: &Kit) -> Check {
    let (ground, keys, batch) = (Rc::clone(ground), Rc::clone(keys), kit.batch.clone());
    Box::new(move || {
        let tokens: Vec<&[u8]> = batch.iter().map(String::as_bytes).collect();
        let verdicts = verify_all(black_box(&tokens), &keys, &ground.expected(), &ground.view(), now());
        verdicts.iter().all(Result::is_ok)
    })
}

/// Unix seconds, by the clock.
#[expect(clippy::disallowed_methods, reason = "the bench's clock")]
#[cfg(not(target_family = "wasm"))]
fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// Unix seconds. A component is told the time with each token and reads no clock: here it is told once.
#[expect(clippy::disallowed_methods, reason = "the bench's clock")]
#[cfg(target_os = "wasi")]
fn now() -> u64 {
    static NOW: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |since| since.as_secs())
    });
    *NOW
}

/// Unix seconds, by the host's clock, as the Worker reads it.
#[cfg(target_os = "unknown")]
fn now() -> u64 {
    (js_sys::Date::now() / 1000.0) as u64
}
