//! The last target: the input chooses what is revoked, and the messages made of it must tell exactly that.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_core::{
    CascadeBuilder, ConfigDigest, Delta, DeltaParts, Deltas, HashChain, MAX_DELTAS, Nonce, RevocationId,
    RevocationKind, RevokedBefore, Snapshot, SnapshotParts, SnapshotSigner, build_deltas, build_snapshot,
};

use crate::plain::CONFIG;
use crate::targets::{Accepted, ISSUER, SEED};

/// Bytes of the input for each thing that is said: what it is, and its id.
const ENTRY_BYTES: usize = 17;
const EPOCH: u32 = 5;

#[derive(Default)]
struct Said {
    groups: BTreeMap<(RevocationKind, RevocationId), RevokedBefore>,
    others: BTreeSet<RevocationId>,
    /// The covered tokens, and whether each is revoked.
    covered: BTreeMap<RevocationId, bool>,
    deltas: Vec<Delta>,
}

/// What is built says what went into it, of snapshots and of deltas.
pub fn round_trip(data: &[u8]) -> Accepted {
    let said = read(data);
    snapshot(&said);
    deltas(&said);
    Accepted { as_sent: false, signed_anew: true }
}

fn read(data: &[u8]) -> Said {
    let mut said = Said::default();
    for entry in data.chunks_exact(ENTRY_BYTES).take(MAX_DELTAS) {
        let (what, id) = (entry[0], RevocationId::from_bytes(entry[1..].try_into().expect("16 bytes")));
        let mark = RevokedBefore(u64::from(what / 8));
        match what % 8 {
            nth @ 0..=3 => {
                let kind = RevocationKind::GROUPS[usize::from(nth)];
                said.groups.insert((kind, id), mark);
                let sequence = said.deltas.len() as u64 + 1;
                said.deltas.push(Delta { sequence, kind, id, revoked_before: mark, expires_at: u64::from(entry[1]) });
            }
            4 => drop(said.others.insert(id)),
            5 => drop(said.covered.insert(id, true)),
            _ => drop(said.covered.insert(id, false)),
        }
    }
    said
}

fn snapshot(said: &Said) {
    let groups: Vec<_> = said.groups.iter().rev().map(|((kind, id), mark)| (*kind, *id, *mark)).collect();
    let others: Vec<_> = said.others.iter().rev().copied().collect();
    let revoked: Vec<_> = said.covered.iter().filter(|(_, revoked)| **revoked).map(|(id, _)| *id).collect();
    let mut cascade = CascadeBuilder::new(revoked.clone(), said.covered.len() as u64).expect("few");
    cascade.add_covered(said.covered.keys().copied()).expect("its own filter");
    let cascade = cascade.finish().expect("few");
    let parts = SnapshotParts::new(ISSUER, 1, 1, HashChain::genesis(ISSUER), CONFIG);
    let parts = SnapshotParts { epoch: EPOCH, groups: &groups, others: &others, covered: Some(&cascade), ..parts };
    let signer = SnapshotSigner::from_seed(&SEED);
    let built = build_snapshot(&parts, &signer).expect("within bounds");
    let snapshot = Snapshot::decode(built, &[signer.public_key()]).expect("what was built");

    for ((kind, id), mark) in &said.groups {
        assert_eq!(snapshot.revoked_before(*kind, *id), *mark);
    }
    for (id, revoked) in &said.covered {
        assert_eq!(snapshot.is_token_revoked(*id, Some(EPOCH)), *revoked, "of the covered ones {id:?}");
        assert_eq!(snapshot.is_token_revoked(*id, Some(EPOCH + 1)), said.others.contains(id), "of the others {id:?}");
    }
    assert!(said.others.iter().all(|id| snapshot.is_token_revoked(*id, None)));
    assert_eq!(
        (snapshot.covered_revocation_count(), snapshot.count(RevocationKind::Token)),
        (revoked.len(), others.len())
    );
}

fn deltas(said: &Said) {
    let signer = SnapshotSigner::from_seed(&SEED);
    let head = said.deltas.len() as u64;
    let (chain, config) = (HashChain::genesis(ISSUER), ConfigDigest::of(CONFIG));
    for nonce in [None, Some(Nonce::from_bytes([head as u8; Nonce::LEN]))] {
        let deltas = &said.deltas;
        let parts =
            DeltaParts { issuer: ISSUER, after: 0, head, as_of_ms: 1, chain, config, epoch: EPOCH, deltas, nonce };
        let built = build_deltas(&parts, &signer).expect("within bounds");
        let read = Deltas::decode(&built, &[signer.public_key()]).expect("what was built");
        assert_eq!((read.entries(), read.nonce()), (deltas.as_slice(), nonce));
    }
}
