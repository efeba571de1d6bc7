//! Measures the hashing pool beside the bare argon2 crate, and what a flood of sign-ins does. Run it by `cargo xtask bench accounts`,
//! which builds and tells it the parts.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use argon2::Argon2;
use tollgate::forge::Forge;
use tollgate::settings::HashSettings;
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::measure::{percentile, sorted};
use tollgate_tests::sign_in_flood;
use zeroize::Zeroizing;

/// What is promised: this much of what the bare crate does.
const PROMISED: f64 = 0.90;
/// Callers for each thread, so that there is always one who waits.
const CALLERS: usize = 4;
const PASSWORD: &str = "correct horse battery staple";
const MIB: f64 = 1024.0 * 1024.0;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, quick @ ..] = arguments.as_slice() else {
        bail!("it is used so: tollgate-bench-accounts FOLDER [--quick], by `cargo xtask bench`");
    };
    let (folder, quick) = (Path::new(folder), quick == ["--quick"]);
    hashes(quick)?.finish(folder, "1-hashes")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(sign_ins(quick))?.finish(folder, "2-flood")
}

/// Hashes a second, by the crate alone and through the pool, in turn.
fn hashes(quick: bool) -> Result<Part> {
    let settings = HashSettings::default();
    let (rounds, length) = if quick { (3, Duration::from_secs(1)) } else { (9, Duration::from_secs(4)) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let forge = Forge::new(&settings)?;
    // Once, for the threads to have their memory.
    pool(&runtime, &forge, settings.workers, Duration::from_millis(200))?;
    let (mut alone, mut pooled, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let one = bare(settings.workers, length)?;
        let other = pool(&runtime, &forge, settings.workers, length)?;
        ratios.push(other / one);
        alone.push(one);
        pooled.push(other);
    }
    let [alone, pooled, ratio] = [alone, pooled, ratios].map(|values| percentile(&sorted(values), 50.0));
    let quick = if quick { "QUICK: for a short while only. " } else { "" };
    let mut part = Part::new(
        "Hashing passwords",
        format!(
            "{quick}Argon2id with 19 MiB and two passes on {} threads: by the argon2 crate alone, which takes new memory for each \
             hash, and through the pool, asked by {} callers; medians of {rounds} rounds of {} s each, in turn.",
            settings.workers,
            settings.workers * CALLERS,
            length.as_secs()
        ),
    );
    part.figures = vec![
        Figure::new("the argon2 crate alone", alone, "hashes a second"),
        Figure::new("through the pool", pooled, "hashes a second"),
        Figure::new("the pool beside the crate", ratio, "times").at_least(PROMISED),
    ];
    Ok(part)
}

/// Hashes a second by the crate alone.
fn bare(threads: usize, length: Duration) -> Result<f64> {
    let (began, over) = (Instant::now(), &AtomicBool::new(false));
    let count = thread::scope(|scope| {
        let hash = |nth: usize| scope.spawn(move || hash_on(nth_salt(nth), over));
        let hashing: Vec<_> = (0..threads).map(hash).collect();
        thread::sleep(length);
        over.store(true, Ordering::Relaxed);
        hashing.into_iter().map(|thread| thread.join().ok()).sum::<Option<u64>>()
    });
    Ok(count.context("a thread panicked")? as f64 / began.elapsed().as_secs_f64())
}

fn nth_salt(nth: usize) -> [u8; 16] {
    [u8::try_from(nth % 256).unwrap_or_default(); 16]
}

fn hash_on(salt: [u8; 16], over: &AtomicBool) -> u64 {
    let (argon2, mut output, mut count) = (Argon2::default(), [0; 32], 0);
    while !over.load(Ordering::Relaxed) && argon2.hash_password_into(PASSWORD.as_bytes(), &salt, &mut output).is_ok() {
        std::hint::black_box(output);
        count += 1;
    }
    count
}

/// Hashes a second through the pool.
fn pool(runtime: &tokio::runtime::Runtime, forge: &Forge, threads: usize, length: Duration) -> Result<f64> {
    let (began, over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..threads * CALLERS)
        .map(|_| {
            let (forge, over) = (forge.clone(), Arc::clone(&over));
            runtime.spawn(async move {
                let mut count = 0_u64;
                while !over.load(Ordering::Relaxed) {
                    forge.hash(Zeroizing::new(PASSWORD.to_owned())).await?;
                    count += 1;
                }
                anyhow::Ok(count)
            })
        })
        .collect();
    thread::sleep(length);
    over.store(true, Ordering::Relaxed);
    let mut count = 0;
    for caller in callers {
        count += runtime.block_on(caller)??;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// What a flood does to those who sign in, and to those who do not.
async fn sign_ins(quick: bool) -> Result<Part> {
    let flood = sign_in_flood::run(Duration::from_secs(if quick { 5 } else { 20 })).await?;
    println!("{flood}");
    let ms = |sorted: &[Duration], percent| sign_in_flood::percentile(sorted, percent).as_secs_f64() * 1e3;
    let quick = if quick { "QUICK: for a short while only. " } else { "" };
    let mut part = Part::new(
        "A flood of sign-ins",
        format!(
            "{quick}Ten times as many sign-ins as two threads can hash, for {} s, at an origin in a process of its own, with the limits \
             off; senders, services and origin on the same cores. A service gets a token by its client credentials and asks what it \
             is worth. The pool's part of the memory is 38 MiB.",
            flood.lasted.as_secs()
        ),
    );
    part.figures = vec![
        Figure::new("a sign-in when nobody else signs in", flood.alone.as_secs_f64() * 1e3, "ms"),
        Figure::new("looked at during the flood", flood.hashed as f64, "sign-ins"),
        Figure::new("told 503", flood.refused.len() as f64, "sign-ins"),
        Figure::new("not sent, for too many were under way", flood.unsent as f64, "sign-ins"),
        Figure::new("until the 503, median", ms(&flood.refused, 50), "ms"),
        Figure::new("until the 503, 99 %", ms(&flood.refused, 99), "ms"),
        Figure::new("a service's token and question, median", ms(&flood.services, 50), "ms"),
        Figure::new("a service's token and question, 99 %", ms(&flood.services, 99), "ms"),
        Figure::new("memory before the flood", flood.memory_before as f64 / MIB, "MiB"),
        Figure::new("memory during the flood, at most", flood.memory as f64 / MIB, "MiB"),
        Figure::new("the first sign-in after the flood", flood.recovered.as_secs_f64() * 1e3, "ms"),
    ];
    Ok(part)
}
