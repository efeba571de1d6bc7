//! Hundreds of thousands of signatures: valid ones, and random mutations and forgeries of them.

use std::ops::Range;
use std::thread;

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::elliptic_curve::point::AffineCoordinates as _;

use crate::ed25519;
use crate::key_variants::{KeyVariants, Random, hex};
use crate::p256 as p256_tests;

/// Number of signing keys.
const KEYS: usize = 4;
/// Signatures derived from one valid signature.
const MUTATIONS_PER_SIGNATURE: usize = 8;

fn signature_count(default: usize) -> usize {
    std::env::var("TOLLGATE_TABLES_SIGNATURES").map_or(default, |value| value.parse().expect("a whole number"))
}

/// Runs all seeds on all processors. Returns the numbers of checked and of valid signatures.
fn on_all_processors(seeds: usize, check: impl Fn(Range<usize>) -> [u64; 2] + Sync) -> [u64; 2] {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(seeds);
    thread::scope(|scope| {
        let check = &check;
        let parts: Vec<_> = (0..threads)
            .map(|at| scope.spawn(move || check(seeds * at / threads..seeds * (at + 1) / threads)))
            .collect();
        let sum = |[a, b]: [u64; 2], [c, d]: [u64; 2]| [a + c, b + d];
        parts.into_iter().map(|part| part.join().expect("no difference")).fold([0; 2], sum)
    })
}

fn totals(all_variants: &[KeyVariants]) -> [u64; 2] {
    [
        all_variants.iter().map(|variants| variants.checked.get()).sum(),
        all_variants.iter().map(|variants| variants.accepted.get()).sum(),
    ]
}

/// Mutates signature or message in a way that applies to both algorithms, or returns the number of
/// a forgery of the algorithm.
fn mutate(signature: &mut [u8; 64], message: &mut Vec<u8>, random: &mut Random, forgeries: usize) -> Option<usize> {
    match random.below(forgeries + 7) {
        0 => {}
        1 => *signature = random.bytes(),
        2 | 3 => signature[random.below(64)] ^= 1 << random.below(8),
        4 => message.push(0),
        5 => {
            let at = random.below(message.len());
            message[at] ^= 1 << random.below(8);
        }
        6 => signature.rotate_left(32),
        number => return Some(number - 7),
    }
    None
}

#[test]
fn tables_do_not_change_the_answer_for_ed25519_signatures() {
    let seeds = signature_count(100_000).div_ceil(MUTATIONS_PER_SIGNATURE);
    let [checked, valid] = on_all_processors(seeds, |seeds| {
        let keys: [_; KEYS] = std::array::from_fn(|at| ed25519_dalek::SigningKey::from_bytes(&[at as u8 + 1; 32]));
        let all_variants = keys.each_ref().map(|key| KeyVariants::ed25519(&key.verifying_key().to_bytes()).unwrap());
        for seed in seeds {
            let mut random = Random::new(seed as u64);
            let key = random.below(KEYS);
            let signed = random.bytes::<24>();
            let valid = keys[key].sign(&signed).to_bytes();
            for _ in 0..MUTATIONS_PER_SIGNATURE {
                let (mut signature, mut message, mut variants) = (valid, signed.to_vec(), &all_variants[key]);
                match mutate(&mut signature, &mut message, &mut random, 5) {
                    Some(0) => variants = &all_variants[(key + 1) % KEYS],
                    Some(forgery) => forge_ed25519(&mut signature, forgery, &mut random),
                    None => {}
                }
                variants.accepts(&message, &signature);
            }
        }
        totals(&all_variants)
    });
    println!(
        "Ed25519: {checked} random, mutated and forged signatures, {valid} valid, the same answer with and without tables"
    );
    assert!(valid > checked / 20 && valid < checked / 2);
}

fn forge_ed25519(signature: &mut [u8; 64], forgery: usize, random: &mut Random) {
    let (r, s) = signature.split_first_chunk_mut::<32>().unwrap();
    let torsion = EIGHT_TORSION[random.below(8)];
    match forgery {
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
fn tables_do_not_change_the_answer_for_p256_signatures() {
    let seeds = signature_count(30_000).div_ceil(MUTATIONS_PER_SIGNATURE);
    let [checked, valid] = on_all_processors(seeds, |seeds| {
        let keys: [_; KEYS] = std::array::from_fn(|at| SigningKey::from_slice(&[at as u8 + 1; 32]).unwrap());
        let all_variants = keys.each_ref().map(|key| {
            let point = key.verifying_key().as_affine();
            KeyVariants::p256(&point.x(), &point.y()).unwrap()
        });
        for seed in seeds {
            let mut random = Random::new(seed as u64);
            let key = random.below(KEYS);
            let signed = random.bytes::<24>();
            let valid: Signature = keys[key].sign(&signed);
            for _ in 0..MUTATIONS_PER_SIGNATURE {
                let (mut signature, mut message, mut variants) =
                    (valid.to_bytes().into(), signed.to_vec(), &all_variants[key]);
                match mutate(&mut signature, &mut message, &mut random, 4) {
                    Some(0) => variants = &all_variants[(key + 1) % KEYS],
                    Some(forgery) => forge_p256(&mut signature, &valid, forgery, &mut random),
                    None => {}
                }
                variants.accepts(&message, &signature);
            }
        }
        totals(&all_variants)
    });
    println!(
        "P-256: {checked} random, mutated and forged signatures, {valid} valid, the same answer with and without tables"
    );
    assert!(valid > checked / 20 && valid < checked / 2);
}

fn forge_p256(signature: &mut [u8; 64], valid: &Signature, forgery: usize, random: &mut Random) {
    let (r, s) = valid.split_scalars();
    let half = 32 * random.below(2);
    match forgery {
        // The other s of the same signature, and half of the time the negative of r, too.
        1 => {
            let r = if half == 0 { *r } else { -*r };
            signature.copy_from_slice([r, -*s].map(|number| <[u8; 32]>::from(number.to_bytes())).as_flattened());
        }
        2 => signature[half..half + 32].copy_from_slice(&hex::<32>(p256_tests::ORDER)),
        _ => signature[half..half + 31].fill(0),
    }
}
