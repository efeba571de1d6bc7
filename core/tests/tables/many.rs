//! Signatures by the hundred thousand: valid ones, and every way of damaging or forging one that a random choice can make.

use std::ops::Range;
use std::thread;

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::point::AffineCoordinates as _;

use crate::ed25519;
use crate::judge::{Judge, Random, hex};
use crate::p256 as p256_tests;

/// Keys that sign.
const KEYS: usize = 4;
/// Signatures made from one that is valid.
const OF_ONE: usize = 8;

fn wanted(default: usize) -> usize {
    std::env::var("TOLLGATE_TABLES_SIGNATURES").map_or(default, |value| value.parse().expect("a whole number"))
}

/// Runs all seeds on all processors: how many signatures were judged, and how many of them are valid.
fn on_all_processors(seeds: usize, judged: impl Fn(Range<usize>) -> [u64; 2] + Sync) -> [u64; 2] {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(seeds);
    thread::scope(|scope| {
        let judged = &judged;
        let parts: Vec<_> = (0..threads)
            .map(|at| scope.spawn(move || judged(seeds * at / threads..seeds * (at + 1) / threads)))
            .collect();
        let sum = |[a, b]: [u64; 2], [c, d]: [u64; 2]| [a + c, b + d];
        parts.into_iter().map(|part| part.join().expect("no difference")).fold([0; 2], sum)
    })
}

fn totals(judges: &[Judge]) -> [u64; 2] {
    [judges.iter().map(|judge| judge.asked.get()).sum(), judges.iter().map(|judge| judge.accepted.get()).sum()]
}

/// Damage that both algorithms may suffer. The last ones leave the signature to the algorithm's own forgeries.
fn damaged(signature: &mut [u8; 64], message: &mut Vec<u8>, random: &mut Random, ways: usize) -> Option<usize> {
    match random.below(ways + 7) {
        0 => {}
        1 => *signature = random.bytes(),
        2 | 3 => signature[random.below(64)] ^= 1 << random.below(8),
        4 => message.push(0),
        5 => {
            let at = random.below(message.len());
            message[at] ^= 1 << random.below(8);
        }
        6 => signature.rotate_left(32),
        way => return Some(way - 7),
    }
    None
}

#[test]
fn ed25519_signatures_have_one_verdict() {
    let seeds = wanted(100_000).div_ceil(OF_ONE);
    let [judged, valid] = on_all_processors(seeds, |seeds| {
        let keys: [_; KEYS] = std::array::from_fn(|at| ed25519_dalek::SigningKey::from_bytes(&[at as u8 + 1; 32]));
        let judges = keys.each_ref().map(|key| Judge::ed25519(&key.verifying_key().to_bytes()).unwrap());
        for seed in seeds {
            let mut random = Random::new(seed as u64);
            let key = random.below(KEYS);
            let signed = random.bytes::<24>();
            let valid = keys[key].sign(&signed).to_bytes();
            for _ in 0..OF_ONE {
                let (mut signature, mut message, mut judge) = (valid, signed.to_vec(), &judges[key]);
                match damaged(&mut signature, &mut message, &mut random, 5) {
                    Some(0) => judge = &judges[(key + 1) % KEYS],
                    Some(way) => forge_ed25519(&mut signature, way, &mut random),
                    None => {}
                }
                judge.accepts(&message, &signature);
            }
        }
        totals(&judges)
    });
    println!(
        "Ed25519: {judged} random, mutated and forged signatures, {valid} valid, one verdict with and without tables"
    );
    assert!(valid > judged / 20 && valid < judged / 2);
}

fn forge_ed25519(signature: &mut [u8; 64], way: usize, random: &mut Random) {
    let (r, s) = signature.split_first_chunk_mut::<32>().unwrap();
    let torsion = EIGHT_TORSION[random.below(8)];
    match way {
        1 => {
            let carry = s.iter_mut().zip(ed25519::ORDER).fold(0, |carry, (byte, order)| {
                let sum = carry + u16::from(*byte) + u16::from(order);
                *byte = sum as u8;
                sum >> 8
            });
            assert_eq!(carry, 0);
        }
        2 => *r = (CompressedEdwardsY(*r).decompress().unwrap() + torsion).compress().to_bytes(),
        3 => *r = torsion.compress().to_bytes(),
        _ => r[31] ^= 0x80,
    }
}

#[test]
fn p256_signatures_have_one_verdict() {
    let seeds = wanted(30_000).div_ceil(OF_ONE);
    let [judged, valid] = on_all_processors(seeds, |seeds| {
        let keys: [_; KEYS] = std::array::from_fn(|at| SigningKey::from_slice(&[at as u8 + 1; 32]).unwrap());
        let judges = keys.each_ref().map(|key| {
            let point = key.verifying_key().as_affine();
            Judge::p256(&point.x(), &point.y()).unwrap()
        });
        for seed in seeds {
            let mut random = Random::new(seed as u64);
            let key = random.below(KEYS);
            let signed = random.bytes::<24>();
            let valid: Signature = keys[key].sign(&signed);
            for _ in 0..OF_ONE {
                let (mut signature, mut message, mut judge) = (valid.to_bytes().into(), signed.to_vec(), &judges[key]);
                match damaged(&mut signature, &mut message, &mut random, 4) {
                    Some(0) => judge = &judges[(key + 1) % KEYS],
                    Some(way) => forge_p256(&mut signature, &valid, way, &mut random),
                    None => {}
                }
                judge.accepts(&message, &signature);
            }
        }
        totals(&judges)
    });
    println!(
        "P-256: {judged} random, mutated and forged signatures, {valid} valid, one verdict with and without tables"
    );
    assert!(valid > judged / 20 && valid < judged / 2);
}

fn forge_p256(signature: &mut [u8; 64], valid: &Signature, way: usize, random: &mut Random) {
    let (r, s) = valid.split_scalars();
    let half = 32 * random.below(2);
    match way {
        // The other s of the same signature, and r turned over as well half of the time.
        1 => {
            let r = if half == 0 { *r } else { -*r };
            signature.copy_from_slice([r, -*s].map(|number| <[u8; 32]>::from(number.to_bytes())).as_flattened());
        }
        2 => signature[half..half + 32].copy_from_slice(&hex::<32>(p256_tests::ORDER)),
        _ => signature[half..half + 31].fill(0),
    }
}
