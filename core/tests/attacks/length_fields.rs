//! Length fields that claim gigabytes, in validly signed messages.
//!
//! To prove that no buffer of a claimed size is allocated, the test runs again in a process with a
//! memory limit below that size.

use std::process::Command;

use tollgate_core::{Deltas, Snapshot, WireError};

use crate::reference_reader;
use crate::sample_messages::{COVERED, pins, real_deltas, real_snapshot};
use crate::targets::re_signed;

/// Memory limit of the second process in KiB: a quarter of the smallest claimed size.
const MEMORY_LIMIT_KIB: u64 = 256 * 1024;
/// False counts. The smallest one claims a gigabyte, even for elements of one byte (the
/// configuration).
const FALSE_COUNTS: [u32; 7] = [0x4000_0000, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xc000_0000, 0xffff_fff0, u32::MAX];
/// Set in the process with the memory limit.
const MEMORY_LIMITED: &str = "TOLLGATE_ATTACK_LIMITED";

fn with(message: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut changed = message.to_vec();
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    re_signed(&changed)
}

fn refused(message: Vec<u8>) -> WireError {
    Snapshot::decode(message, &pins()).expect_err("refused")
}

/// Offsets of the two functions. The second one is searched for: it has values of one bit, more ids
/// than are revoked and fewer than are covered, and cells up to the end of the message.
fn functions(message: &[u8]) -> [usize; 2] {
    let first = reference_reader::Snapshot::read(message).expect("a real one").covered + 1;
    let end = message.len() - 64;
    let is_function = |at: usize| {
        let ids = u64::from(u32::from_be_bytes(message[at + 2..at + 6].try_into().expect("four bytes")));
        let slots = 8 * (end - at - 6) as u64;
        message[at + 1] == 1 && (COVERED / 10..COVERED).contains(&ids) && (ids * 9 / 8..ids * 2).contains(&slots)
    };
    let second = (first + 6..end - 6).find(|&at| is_function(at)).expect("a second function");
    [first, second]
}

/// Tries all false counts, and returns the number of cases.
fn refuse_false_counts() -> u64 {
    let mut cases = 0;
    let message = real_snapshot();
    let sections = reference_reader::Snapshot::read(&message).expect("a real one");
    let functions = functions(&message);
    for at in sections.counts.iter().copied().chain(functions.map(|function| function + 2)) {
        for count in FALSE_COUNTS {
            assert_eq!(refused(with(&message, at, &count.to_be_bytes())), WireError::Truncated, "{count:#x} at {at}");
            cases += 1;
        }
        // One more or one less claims little, but shifts everything that follows.
        let right = u32::from_be_bytes(message[at..at + 4].try_into().expect("four bytes"));
        let is_config = at == sections.counts[0];
        for count in [right - 1, right + 1] {
            let answer = Snapshot::decode(with(&message, at, &count.to_be_bytes()), &pins());
            // A function has the same number of slots for neighbouring numbers of ids.
            assert!(answer.is_err() || functions.contains(&(at - 2)) && !is_config, "{count} for {right} at {at}");
            cases += 1;
        }
    }
    for function in functions {
        for width in (0..=u8::MAX).filter(|width| !(1..=16).contains(width)) {
            let why = WireError::Malformed("invalid width of a function's values");
            assert_eq!(refused(with(&message, function + 1, &[width])), why, "width {width}");
            cases += 1;
        }
    }
    for issuer in [0x7fff_u16, 0xffff] {
        assert_eq!(refused(with(&message, 8, &issuer.to_be_bytes())), WireError::Truncated);
        cases += 1;
    }
    let message = real_deltas();
    let at = reference_reader::Deltas::read(&message).expect("a real one").count;
    for count in FALSE_COUNTS {
        let answer = Deltas::decode(&with(&message, at, &count.to_be_bytes()), &pins());
        assert_eq!(answer.expect_err("refused"), WireError::Truncated);
        cases += 1;
    }
    cases
}

#[test]
fn counts_that_claim_gigabytes_are_refused() {
    println!("{} validly signed messages with false counts refused", refuse_false_counts());
    if std::env::var_os(MEMORY_LIMITED).is_some() {
        let mut gigabyte = Vec::<u8>::new();
        assert!(gigabyte.try_reserve_exact(FALSE_COUNTS[0] as usize).is_err(), "the limit holds");
    }
}

#[cfg(unix)]
#[test]
fn counts_that_claim_gigabytes_are_refused_with_little_memory() {
    let this = std::env::current_exe().expect("this program");
    let script = format!(
        "ulimit -v {MEMORY_LIMIT_KIB} && exec \"$0\" --exact length_fields::counts_that_claim_gigabytes_are_refused"
    );
    let limited =
        Command::new("sh").arg("-c").arg(script).arg(this).env(MEMORY_LIMITED, "1").output().expect("a shell");
    assert!(
        limited.status.success(),
        "{}{}",
        String::from_utf8_lossy(&limited.stdout),
        String::from_utf8_lossy(&limited.stderr)
    );
    assert!(String::from_utf8_lossy(&limited.stdout).contains("1 passed"));
    println!("the same with {} MiB of memory in all", MEMORY_LIMIT_KIB / 1024);
}

#[test]
fn sections_out_of_order_are_refused() {
    let message = real_snapshot();
    let sections = reference_reader::Snapshot::read(&message).expect("a real one");
    let mut cases = 0;
    for (&count, size) in sections.counts[1..5].iter().zip([24; 4]).chain([(&sections.counts[6], 16)]) {
        let first = count + 4;
        let (one, two) = (message[first..first + size].to_vec(), message[first + size..first + 2 * size].to_vec());
        for pair in [[two, one.clone()].concat(), [one.clone(), one].concat()] {
            let why = refused(with(&message, first, &pair));
            assert!(matches!(why, WireError::Malformed(why) if why.ends_with("not in order")), "{why}");
            cases += 1;
        }
    }
    for encoding in 2..=u8::MAX {
        let why = WireError::Malformed("unknown encoding of the covered tokens");
        assert_eq!(refused(with(&message, sections.covered, &[encoding])), why);
        cases += 1;
    }
    for kind in (0..=u8::MAX).filter(|kind| !(1..=6).contains(kind)) {
        let message = real_deltas();
        let first = reference_reader::Deltas::read(&message).expect("a real one").count + 4;
        let why = Deltas::decode(&with(&message, first, &[kind]), &pins()).expect_err("refused");
        assert_eq!(why, WireError::Malformed("unknown kind of a delta"));
        cases += 1;
    }
    println!("{cases} validly signed messages out of order or of unknown kinds refused");
}
