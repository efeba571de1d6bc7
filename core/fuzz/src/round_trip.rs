//! The target `round_trip`: the input chooses what is revoked, and the messages built from it must
//! answer exactly that.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_core::{
    CascadeBuilder, ConfigDigest, Delta, DeltaParts, Deltas, HashChain, MAX_DELTAS, Nonce, RevocationId,
    RevocationKind, RevokedBefore, Snapshot, SnapshotParts, SnapshotSigner, build_deltas, build_snapshot,
};

use crate::reference_reader::CONFIG;
use crate::targets::{ISSUER, Outcome, SEED};

/// Bytes of the input for each entry: one for what it is, 16 for the id.
const ENTRY_BYTES: usize = 17;
const EPOCH: u32 = 5;

#[derive(Default)]
struct Content {
    groups: BTreeMap<(RevocationKind, RevocationId), RevokedBefore>,
    others: BTreeSet<RevocationId>,
    /// The covered tokens, each with whether it is revoked.
    covered: BTreeMap<RevocationId, bool>,
    deltas: Vec<Delta>,
}

/// Builds a snapshot and a message of deltas, reads them, and compares their content.
pub fn round_trip(data: &[u8]) -> Outcome {
    let content = read(data);
    check_snapshot(&content);
    check_deltas(&content);
    Outcome { accepts_as_is: false, accepts_signed: true }
}

fn read(data: &[u8]) -> Content {
    let mut content = Content::default();
    for entry in data.chunks_exact(ENTRY_BYTES).take(MAX_DELTAS) {
        let (what, id) = (entry[0], RevocationId::from_bytes(entry[1..].try_into().expect("16 bytes")));
        let revoked_before = RevokedBefore(u64::from(what / 8));
        match what % 8 {
            nth @ 0..=3 => {
                let kind = RevocationKind::GROUPS[usize::from(nth)];
                content.groups.insert((kind, id), revoked_before);
                let sequence = content.deltas.len() as u64 + 1;
                content.deltas.push(Delta { sequence, kind, id, revoked_before, expires_at: u64::from(entry[1]) });
            }
            4 => drop(content.others.insert(id)),
            5 => drop(content.covered.insert(id, true)),
            _ => drop(content.covered.insert(id, false)),
        }
    }
    content
}

fn check_snapshot(content: &Content) {
    let groups: Vec<_> =
        content.groups.iter().rev().map(|((kind, id), revoked_before)| (*kind, *id, *revoked_before)).collect();
    let others: Vec<_> = content.others.iter().rev().copied().collect();
    let revoked: Vec<_> = content.covered.iter().filter(|(_, revoked)| **revoked).map(|(id, _)| *id).collect();
    let mut cascade = CascadeBuilder::new(revoked.clone(), content.covered.len() as u64).expect("few");
    cascade.add_covered(content.covered.keys().copied()).expect("its own filter");
    let cascade = cascade.finish().expect("few");
    let parts = SnapshotParts::new(ISSUER, 1, 1, HashChain::genesis(ISSUER), CONFIG);
    let parts = SnapshotParts { epoch: EPOCH, groups: &groups, others: &others, covered: Some(&cascade), ..parts };
    let signer = SnapshotSigner::from_seed(&SEED);
    let built = build_snapshot(&parts, &signer).expect("within bounds");
    let snapshot = Snapshot::decode(built, &[signer.public_key()]).expect("what was built");

    for ((kind, id), revoked_before) in &content.groups {
        assert_eq!(snapshot.revoked_before(*kind, *id), *revoked_before);
    }
    for (id, revoked) in &content.covered {
        assert_eq!(snapshot.is_token_revoked(*id, Some(EPOCH)), *revoked, "covered {id:?}");
        assert_eq!(snapshot.is_token_revoked(*id, Some(EPOCH + 1)), content.others.contains(id), "not covered {id:?}");
    }
    assert!(content.others.iter().all(|id| snapshot.is_token_revoked(*id, None)));
    assert_eq!(
        (snapshot.covered_revocation_count(), snapshot.count(RevocationKind::Token)),
        (revoked.len(), others.len())
    );
}

fn check_deltas(content: &Content) {
    let signer = SnapshotSigner::from_seed(&SEED);
    let head = content.deltas.len() as u64;
    let (chain, config) = (HashChain::genesis(ISSUER), ConfigDigest::of(CONFIG));
    for nonce in [None, Some(Nonce::from_bytes([head as u8; Nonce::LEN]))] {
        let deltas = &content.deltas;
        let parts =
            DeltaParts { issuer: ISSUER, after: 0, head, as_of_ms: 1, chain, config, epoch: EPOCH, deltas, nonce };
        let built = build_deltas(&parts, &signer).expect("within bounds");
        let read = Deltas::decode(&built, &[signer.public_key()]).expect("what was built");
        assert_eq!((read.entries(), read.nonce()), (deltas.as_slice(), nonce));
    }
}
