//! Counts that lie: the message is well signed, and asks for gigabytes.
//!
//! That none is given is shown from outside: the test runs once more as a process that may have little memory, where a single
//! buffer of a claimed size would end it.

use std::process::Command;

use tollgate_core::{Deltas, Snapshot, WireError};

use crate::plain;
use crate::sample::{COVERED, pins, real_deltas, real_snapshot};
use crate::targets::signed_anew;

/// Memory that the second process may have, KiB: a quarter of what the smallest lie asks for.
const LIMIT_KIB: u64 = 256 * 1024;
/// Claimed counts; times the smallest element (a byte of the configuration) the least of them is a gigabyte.
const LIES: [u32; 7] = [0x4000_0000, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xc000_0000, 0xffff_fff0, u32::MAX];
const LIMITED: &str = "TOLLGATE_ATTACK_LIMITED";

fn with(message: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut changed = message.to_vec();
    changed[at..at + bytes.len()].copy_from_slice(bytes);
    signed_anew(&changed)
}

fn refused(message: Vec<u8>) -> WireError {
    Snapshot::decode(message, &pins()).expect_err("refused")
}

/// Where the two functions begin. The second is found by what it must look like: values of one bit, for more ids than are revoked
/// and fewer than are covered, in cells that fill the message to its end.
fn functions(message: &[u8]) -> [usize; 2] {
    let first = plain::Snapshot::read(message).expect("a real one").covered + 1;
    let end = message.len() - 64;
    let is_function = |at: usize| {
        let ids = u64::from(u32::from_be_bytes(message[at + 2..at + 6].try_into().expect("four bytes")));
        let slots = 8 * (end - at - 6) as u64;
        message[at + 1] == 1 && (COVERED / 10..COVERED).contains(&ids) && (ids * 9 / 8..ids * 2).contains(&slots)
    };
    let second = (first + 6..end - 6).find(|&at| is_function(at)).expect("a second function");
    [first, second]
}

fn try_all() -> u64 {
    let mut cases = 0;
    let message = real_snapshot();
    let sections = plain::Snapshot::read(&message).expect("a real one");
    let functions = functions(&message);
    for at in sections.counts.iter().copied().chain(functions.map(|function| function + 2)) {
        for lie in LIES {
            assert_eq!(refused(with(&message, at, &lie.to_be_bytes())), WireError::Truncated, "{lie:#x} at {at}");
            cases += 1;
        }
        // One more or one less is no gigabyte, and yet nothing that comes after stands where it should.
        let count = u32::from_be_bytes(message[at..at + 4].try_into().expect("four bytes"));
        let is_config = at == sections.counts[0];
        for lie in [count - 1, count + 1] {
            let answer = Snapshot::decode(with(&message, at, &lie.to_be_bytes()), &pins());
            // The number of slots is the same for neighbouring numbers of ids.
            assert!(answer.is_err() || functions.contains(&(at - 2)) && !is_config, "{lie} for {count} at {at}");
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
    let count = plain::Deltas::read(&message).expect("a real one").count;
    for lie in LIES {
        let answer = Deltas::decode(&with(&message, count, &lie.to_be_bytes()), &pins());
        assert_eq!(answer.expect_err("refused"), WireError::Truncated);
        cases += 1;
    }
    cases
}

#[test]
fn counts_that_ask_for_gigabytes_are_refused() {
    println!("{} well signed messages with lying counts refused", try_all());
    if std::env::var_os(LIMITED).is_some() {
        let mut gigabyte = Vec::<u8>::new();
        assert!(gigabyte.try_reserve_exact(LIES[0] as usize).is_err(), "the limit holds");
    }
}

#[cfg(unix)]
#[test]
fn and_refused_with_little_memory_at_hand() {
    let this = std::env::current_exe().expect("this program");
    let script =
        format!("ulimit -v {LIMIT_KIB} && exec \"$0\" --exact lengths::counts_that_ask_for_gigabytes_are_refused");
    let limited = Command::new("sh").arg("-c").arg(script).arg(this).env(LIMITED, "1").output().expect("a shell");
    assert!(
        limited.status.success(),
        "{}{}",
        String::from_utf8_lossy(&limited.stdout),
        String::from_utf8_lossy(&limited.stderr)
    );
    assert!(String::from_utf8_lossy(&limited.stdout).contains("1 passed"));
    println!("the same with {} MiB of memory in all", LIMIT_KIB / 1024);
}

#[test]
fn sections_out_of_order_are_refused() {
    let message = real_snapshot();
    let sections = plain::Snapshot::read(&message).expect("a real one");
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
    for way in 2..=u8::MAX {
        let why = WireError::Malformed("unknown encoding of the covered tokens");
        assert_eq!(refused(with(&message, sections.covered, &[way])), why);
        cases += 1;
    }
    for kind in (0..=u8::MAX).filter(|kind| !(1..=6).contains(kind)) {
        let message = real_deltas();
        let first = plain::Deltas::read(&message).expect("a real one").count + 4;
        let why = Deltas::decode(&with(&message, first, &[kind]), &pins()).expect_err("refused");
        assert_eq!(why, WireError::Malformed("unknown kind of a delta"));
        cases += 1;
    }
    println!("{cases} well signed messages out of order or of unknown kinds refused");
}
