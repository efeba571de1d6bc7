//! The measured checks of the core: the strict profile and a revocation lookup in a snapshot of a
//! million revocations.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use anyhow::{Result, ensure};
use tollgate_core::{
    KeySet, Replica, ReplicaView, Snapshot, TableSize, TokenRequirements, UnknownStatusPolicy, Verifier, verify,
    verify_all,
};

use crate::{Check, Checks, Kit, bare};

/// Number of tokens of a batch.
pub const BATCH_TOKENS: usize = 32;

/// Size of the token cache.
const CACHED_TOKENS: usize = 1024;

/// What the checks verify tokens against.
struct Context {
    replica: Replica,
    issuer: String,
    audience: String,
}

impl Context {
    fn requirements(&self) -> TokenRequirements<'_> {
        requirements(&self.issuer, &self.audience)
    }

    fn view(&self) -> ReplicaView<'_> {
        ReplicaView { replica: &self.replica, is_fresh: true }
    }
}

/// Requirements for the tokens of the kit.
pub fn requirements<'a>(issuer: &'a str, audience: &'a str) -> TokenRequirements<'a> {
    TokenRequirements {
        issuer,
        audience,
        scope: &[],
        rules: None,
        leeway: 30,
        allow_plain_jwt: false,
        on_stale: UnknownStatusPolicy::Deny,
        on_not_covered: UnknownStatusPolicy::Deny,
    }
}

/// All checks of a kit. Each is run once.
///
/// # Errors
/// If a key or the snapshot cannot be read, or a check gives a wrong answer.
pub fn checks(kit: &Kit, snapshot: Vec<u8>) -> Result<Checks> {
    let replica = Replica::new(Snapshot::decode(snapshot, &[kit.snapshot_key])?, &kit.issuer)?;
    let context = Rc::new(Context { replica, issuer: kit.issuer.clone(), audience: kit.audience.clone() });
    let mut checks = Checks::new();
    bare::add(kit, &mut checks)?;
    checks.insert("clock".to_owned(), Box::new(|| black_box(now()) > 0));
    for (name, token) in &kit.tokens {
        let keys = Rc::new(token.keys()?);
        checks.insert(format!("check/{name}"), verify_check(&context, &keys, &token.text));
    }
    for (size, word) in [(TableSize::Small, "small"), (TableSize::Large, "large")] {
        for algorithm in ["EdDSA", "ES256"] {
            let token = kit.token(algorithm)?;
            let mut keys = token.keys()?;
            keys.prepare_tables(size);
            checks.insert(format!("{word}/{algorithm}"), verify_check(&context, &Rc::new(keys), &token.text));
        }
    }
    let hs256 = kit.token("HS256")?;
    checks.insert("cache/HS256".to_owned(), cached_check(&context, hs256.keys()?, &hs256.text));
    let keys = Rc::new(hs256.keys()?);
    let many = Rc::new(KeySet::from_jwks(kit.many_keys.to_string().as_bytes())?);
    checks.insert("keys/1".to_owned(), verify_check(&context, &keys, &hs256.text));
    checks.insert(format!("keys/{}", many.len()), verify_check(&context, &many, &hs256.text));
    for text in &kit.sized {
        checks.insert(format!("size/{}", text.len()), verify_check(&context, &keys, text));
    }
    checks.insert("singles/HS256".to_owned(), single_calls_check(&context, &keys, kit));
    checks.insert("batch/HS256".to_owned(), batch_check(&context, &keys, kit));
    for (nth, hostile) in kit.hostile.iter().enumerate() {
        let is_accepted = verify_check(&context, &Rc::new(hostile.token.keys()?), &hostile.token.text);
        checks.insert(format!("reject/{nth}"), Box::new(move || !is_accepted()));
    }
    let wrong = checks.iter().find(|(_, check)| !check()).map(|(name, _)| name);
    ensure!(wrong.is_none(), "the check {wrong:?} gives a wrong answer");
    Ok(checks)
}

/// One token, verified as by an edge; the clock is read each time.
fn verify_check(context: &Rc<Context>, keys: &Rc<KeySet>, text: &str) -> Check {
    let (context, keys, text) = (Rc::clone(context), Rc::clone(keys), text.as_bytes().to_vec());
    Box::new(move || verify(black_box(&text), &keys, &context.requirements(), &context.view(), now()).is_ok())
}

/// A token that the verifier has in its cache.
fn cached_check(context: &Rc<Context>, keys: KeySet, text: &str) -> Check {
    let (context, text) = (Rc::clone(context), text.as_bytes().to_vec());
    let verifier = RefCell::new(Verifier::new(keys, CACHED_TOKENS, TableSize::None));
    Box::new(move || {
        let mut verifier = verifier.borrow_mut();
        verifier.verify(black_box(&text), &context.requirements(), &context.view(), now()).is_ok()
    })
}

/// The tokens of a batch, in single calls.
fn single_calls_check(context: &Rc<Context>, keys: &Rc<KeySet>, kit: &Kit) -> Check {
    let (context, keys, batch) = (Rc::clone(context), Rc::clone(keys), kit.batch.clone());
    Box::new(move || {
        let (requirements, view, now) = (context.requirements(), context.view(), now());
        batch.iter().all(|text| verify(black_box(text.as_bytes()), &keys, &requirements, &view, now).is_ok())
    })
}

/// The tokens of a batch, in one call.
fn batch_check(context: &Rc<Context>, keys: &Rc<KeySet>, kit: &Kit) -> Check {
    let (context, keys, batch) = (Rc::clone(context), Rc::clone(keys), kit.batch.clone());
    Box::new(move || {
        let tokens: Vec<&[u8]> = batch.iter().map(String::as_bytes).collect();
        let verdicts = verify_all(black_box(&tokens), &keys, &context.requirements(), &context.view(), now());
        verdicts.iter().all(Result::is_ok)
    })
}

/// Unix seconds by the system clock.
#[expect(clippy::disallowed_methods, reason = "the bench's clock")]
#[cfg(not(target_family = "wasm"))]
fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

/// Unix seconds, read once: a component gets the time from its host and reads no clock.
#[expect(clippy::disallowed_methods, reason = "the bench's clock")]
#[cfg(target_os = "wasi")]
fn now() -> u64 {
    static NOW: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |since| since.as_secs())
    });
    *NOW
}

/// Unix seconds by the host's clock, as in the Worker.
#[cfg(target_os = "unknown")]
fn now() -> u64 {
    (js_sys::Date::now() / 1000.0) as u64
}
