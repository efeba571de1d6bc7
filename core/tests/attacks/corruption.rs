//! Messages with a changed byte, truncated, of another version, or signed by a key that is not
//! pinned.

use tollgate_core::{Deltas, MessageKind, Snapshot, SnapshotSigner, WireError};

use crate::sample_messages::{self, pins, real_deltas, real_snapshot};
use crate::setting;
use crate::targets::{ISSUER, re_signed};

fn messages() -> [(MessageKind, Vec<u8>); 2] {
    [(MessageKind::Snapshot, real_snapshot()), (MessageKind::Deltas, real_deltas())]
}

fn read(kind: MessageKind, message: &[u8], pins: &[[u8; 32]]) -> Result<(), WireError> {
    match kind {
        MessageKind::Snapshot => Snapshot::decode(message.to_vec(), pins).map(drop),
        MessageKind::Deltas => Deltas::decode(message, pins).map(drop),
    }
}

#[test]
fn every_truncation_is_refused() {
    let mut cases = 0;
    for (kind, message) in messages() {
        assert_eq!(read(kind, &message, &pins()), Ok(()));
        for length in 0..message.len() {
            assert!(read(kind, &message[..length], &pins()).is_err(), "{kind:?} cut to {length} bytes");
            // Signed after the truncation, so that the reader behind the signature check is tested,
            // too.
            let signed = re_signed(&[&message[..length], [0; 64].as_slice()].concat());
            let cut = length < message.len() - 64;
            assert_eq!(read(kind, &signed, &pins()).is_err(), cut || length > message.len() - 64, "{length} signed");
            cases += 2;
        }
    }
    println!("{cases} truncated messages, half of them signed: all refused but the two that are whole");
}

/// `TOLLGATE_ATTACK_VALUES=255` tries all values of each byte.
#[test]
fn every_changed_byte_is_refused() {
    let values = setting("TOLLGATE_ATTACK_VALUES", 12).min(255) as u8;
    let single_bits = (0..8).map(|bit| 1 << bit);
    let others = (1..=u8::MAX).rev().filter(|flip| !flip.is_power_of_two());
    let flips: Vec<u8> = single_bits.chain(others).take(values.into()).collect();
    let mut cases = 0;
    for (kind, message) in messages() {
        let mut changed = message.clone();
        for at in 0..message.len() {
            for flip in &flips {
                changed[at] = message[at] ^ flip;
                assert!(read(kind, &changed, &pins()).is_err(), "{kind:?} with byte {at} changed by {flip:#x}");
                cases += 1;
            }
            changed[at] = message[at];
        }
        println!("a {kind:?} message of {} bytes", message.len());
    }
    println!("{cases} messages with a changed byte refused");
}

#[test]
fn every_other_version_and_every_reserved_bit_is_refused() {
    let mut cases = 0;
    for (kind, message) in messages() {
        for version in (0..=u8::MAX).filter(|&version| version != message[4]) {
            let mut changed = message.clone();
            changed[4] = version;
            if (kind, version) == (MessageKind::Deltas, 2) {
                assert_eq!(read(kind, &re_signed(&changed), &pins()), Err(WireError::Truncated), "there is no nonce");
                continue;
            }
            if (kind, version) == (MessageKind::Deltas, 3) {
                assert!(read(kind, &re_signed(&changed), &pins()).is_err(), "there is no path");
                continue;
            }
            assert_eq!(read(kind, &re_signed(&changed), &pins()), Err(WireError::UnknownVersion { version }));
            cases += 1;
        }
        for at in 5..8 {
            for bit in 0..8 {
                let mut changed = message.clone();
                changed[at] ^= 1 << bit;
                let refused = Err(WireError::Malformed("a reserved byte is not zero"));
                assert_eq!(read(kind, &re_signed(&changed), &pins()), refused);
                cases += 1;
            }
        }
        for at in 0..4 {
            let mut changed = message.clone();
            changed[at] ^= 0x20;
            assert_eq!(read(kind, &re_signed(&changed), &pins()), Err(WireError::WrongKind));
            cases += 1;
        }
    }
    println!("{cases} validly signed messages of another format refused");
}

#[test]
fn a_signed_message_of_one_kind_is_refused_as_the_other_kind() {
    assert_eq!(read(MessageKind::Snapshot, &real_deltas(), &pins()), Err(WireError::WrongKind));
    assert_eq!(read(MessageKind::Deltas, &real_snapshot(), &pins()), Err(WireError::WrongKind));
    for (kind, other) in [(b"TGSN", real_deltas()), (b"TGDL", real_snapshot())] {
        let relabelled = re_signed(&[kind.as_slice(), &other[4..]].concat());
        let kind = MessageKind::of(&relabelled).expect("a known kind");
        assert!(read(kind, &relabelled, &pins()).is_err(), "a relabelled message");
    }
}

#[test]
fn only_signatures_of_pinned_keys_are_accepted() {
    let mut cases = 0;
    let refused = Err(WireError::BadSignature);
    for n in 0..=u8::MAX {
        let other_signer = SnapshotSigner::from_seed(&[n; 32]);
        if other_signer.public_key() == pins()[0] {
            continue;
        }
        let theirs = sample_messages::snapshot(ISSUER, &sample_messages::history(false), 1, &other_signer);
        assert_eq!(read(MessageKind::Snapshot, &theirs, &pins()), refused);
        assert_eq!(read(MessageKind::Snapshot, &theirs, &[pins()[0], other_signer.public_key()]), Ok(()));
        cases += 1;
    }
    // Points of small order, and bytes that are not a point, verify nothing as pinned keys.
    for pin in [[0; 32], [0xff; 32], std::array::from_fn(|at| u8::from(at == 0))] {
        for (kind, message) in messages() {
            assert_eq!(read(kind, &message, &[pin]), refused);
            let mut forged = message;
            let end = forged.len() - 64;
            forged[end..].fill(0);
            assert_eq!(read(kind, &forged, &[pin]), refused, "a signature of zeros under a weak key");
            forged[end] = 1;
            assert_eq!(read(kind, &forged, &[pin]), refused, "the neutral point under a weak key");
            cases += 3;
        }
    }
    println!("{cases} messages of another signer or under a weak key refused");
}
