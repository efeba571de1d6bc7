//! Benchmarks of password hashing, compared with the argon2 crate alone, and of a flood of
//! sign-ins. `cargo xtask bench accounts` builds and runs it.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use argon2::Argon2;
use tollgate_bench::figures::{Figure, Part};
use tollgate_bench::measure::{percentile, sorted};
use tollgate_config::HashSettings;
use tollgate_services::password_hashing::PasswordHasher;
use tollgate_tests::sign_in_flood;
use zeroize::Zeroizing;

/// Target for the worker pool's rate, as a share of that of the argon2 crate alone.
const MIN_POOL_SHARE: f64 = 0.90;
/// Callers for each thread, so that the queue is never empty.
const CALLERS_PER_THREAD: usize = 4;
const PASSWORD: &str = "correct horse battery staple";
const MIB: f64 = 1024.0 * 1024.0;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, quick @ ..] = arguments.as_slice() else {
        bail!("usage: tollgate-bench-accounts FOLDER [--quick] (started by `cargo xtask bench`)");
    };
    let (folder, quick) = (Path::new(folder), quick == ["--quick"]);
    hashes(quick)?.finish(folder, "1-hashes")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(sign_ins(quick))?.finish(folder, "2-flood")
}

/// Hashes per second by the argon2 crate alone and by the worker pool, measured in alternation.
fn hashes(quick: bool) -> Result<Part> {
    let settings = HashSettings::default();
    let (rounds, length) = if quick { (3, Duration::from_secs(1)) } else { (9, Duration::from_secs(4)) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let password_hasher = PasswordHasher::new(&settings)?;
    // Warm up: the threads allocate their memory.
    pool_rate(&runtime, &password_hasher, settings.workers, Duration::from_millis(200))?;
    let (mut crate_rates, mut pool_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let one = crate_rate(settings.workers, length)?;
        let other = pool_rate(&runtime, &password_hasher, settings.workers, length)?;
        ratios.push(other / one);
        crate_rates.push(one);
        pool_rates.push(other);
    }
    let [crate_rate, pool_rate, ratio] =
        [crate_rates, pool_rates, ratios].map(|values| percentile(&sorted(values), 50.0));
    let quick = if quick { "QUICK: shorter measurement. " } else { "" };
    let mut part = Part::new(
        "Password hashing",
        format!(
            "{quick}Argon2id with 19 MiB and two iterations on {} threads: by the argon2 crate alone, which allocates memory for \
             each hash, and by the worker pool with {} callers; medians of {rounds} rounds of {} s, in alternation.",
            settings.workers,
            settings.workers * CALLERS_PER_THREAD,
            length.as_secs()
        ),
    );
    part.figures = vec![
        Figure::new("argon2 crate alone", crate_rate, "hashes per second"),
        Figure::new("worker pool", pool_rate, "hashes per second"),
        Figure::new("worker pool compared with the crate", ratio, "times").at_least(MIN_POOL_SHARE),
    ];
    Ok(part)
}

/// Hashes per second by the argon2 crate alone.
fn crate_rate(threads: usize, length: Duration) -> Result<f64> {
    let (began, is_over) = (Instant::now(), &AtomicBool::new(false));
    let count = thread::scope(|scope| {
        let hash = |nth: usize| scope.spawn(move || hash_until(salt(nth), is_over));
        let hashing: Vec<_> = (0..threads).map(hash).collect();
        thread::sleep(length);
        is_over.store(true, Ordering::Relaxed);
        hashing.into_iter().map(|thread| thread.join().ok()).sum::<Option<u64>>()
    });
    Ok(count.context("a thread panicked")? as f64 / began.elapsed().as_secs_f64())
}

fn salt(nth: usize) -> [u8; 16] {
    [u8::try_from(nth % 256).unwrap_or_default(); 16]
}

fn hash_until(salt: [u8; 16], is_over: &AtomicBool) -> u64 {
    let (argon2, mut output, mut count) = (Argon2::default(), [0; 32], 0);
    while !is_over.load(Ordering::Relaxed) && argon2.hash_password_into(PASSWORD.as_bytes(), &salt, &mut output).is_ok()
    {
        std::hint::black_box(output);
        count += 1;
    }
    count
}

/// Hashes per second by the worker pool.
fn pool_rate(
    runtime: &tokio::runtime::Runtime,
    password_hasher: &PasswordHasher,
    threads: usize,
    length: Duration,
) -> Result<f64> {
    let (began, is_over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..threads * CALLERS_PER_THREAD)
        .map(|_| {
            let (password_hasher, is_over) = (password_hasher.clone(), Arc::clone(&is_over));
            runtime.spawn(async move {
                let mut count = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    password_hasher.hash(Zeroizing::new(PASSWORD.to_owned())).await?;
                    count += 1;
                }
                anyhow::Ok(count)
            })
        })
        .collect();
    thread::sleep(length);
    is_over.store(true, Ordering::Relaxed);
    let mut count = 0;
    for caller in callers {
        count += runtime.block_on(caller)??;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// The effect of a flood of sign-ins on sign-ins and on other requests.
async fn sign_ins(quick: bool) -> Result<Part> {
    let flood = sign_in_flood::run(Duration::from_secs(if quick { 5 } else { 20 })).await?;
    println!("{flood}");
    let ms = |sorted: &[Duration], percent| sign_in_flood::percentile(sorted, percent).as_secs_f64() * 1e3;
    let quick = if quick { "QUICK: shorter measurement. " } else { "" };
    let mut part = Part::new(
        "A flood of sign-ins",
        format!(
            "{quick}Ten times as many sign-ins as two threads can hash, for {} s, at an origin in a separate process without rate \
             limits; clients and origin on the same cores. A service requests a token by client credentials and introspects it. The \
             worker pool uses 38 MiB of the memory.",
            flood.lasted.as_secs()
        ),
    );
    part.figures = vec![
        Figure::new("single sign-in before the flood", flood.alone.as_secs_f64() * 1e3, "ms"),
        Figure::new("hashed during the flood", flood.hashed as f64, "sign-ins"),
        Figure::new("answered 503", flood.refused.len() as f64, "sign-ins"),
        Figure::new("not sent, because too many were in flight", flood.unsent as f64, "sign-ins"),
        Figure::new("time to the 503, median", ms(&flood.refused, 50), "ms"),
        Figure::new("time to the 503, 99 %", ms(&flood.refused, 99), "ms"),
        Figure::new("a service's token and introspection, median", ms(&flood.services, 50), "ms"),
        Figure::new("a service's token and introspection, 99 %", ms(&flood.services, 99), "ms"),
        Figure::new("memory before the flood", flood.memory_before as f64 / MIB, "MiB"),
        Figure::new("peak memory during the flood", flood.memory as f64 / MIB, "MiB"),
        Figure::new("first sign-in after the flood", flood.recovered.as_secs_f64() * 1e3, "ms"),
    ];
    Ok(part)
}
