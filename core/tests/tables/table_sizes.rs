//! Sizes of tables, and that no table is computed or stored twice.

use tollgate_core::{Algorithm, KeySet, TableSize};

use crate::key_variants::{Random, ed25519_jwk, hex, p256_jwk};

/// Bytes of one table: Ed25519 small and large, P-256 small and large.
const TABLE_BYTES: [[usize; 2]; 2] = [[56_320, 327_680], [22_528, 131_072]];
const SIZES: [TableSize; 2] = [TableSize::Small, TableSize::Large];

fn ed25519_key(seed: u64) -> String {
    ed25519_jwk(&ed25519_dalek::SigningKey::from_bytes(&Random::new(seed).bytes()).verifying_key().to_bytes())
}

/// The example of RFC 7517 appendix A.1.
fn p256_key() -> String {
    p256_jwk(
        &hex::<32>("30a0424cd21c2944838a2d75c92b37e76ea20d9f00893a3b4eee8a3c0aafec3e"),
        &hex::<32>("e04b65e92456d9888b52b379bdfbd51ee869ef1f0fc65b6659695b6cce081723"),
    )
}

fn set(keys: &[(&str, String)]) -> KeySet {
    let keys: Vec<_> = keys.iter().map(|(id, members)| format!(r#"{{"kid":"{id}",{members}}}"#)).collect();
    KeySet::from_jwks(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes()).unwrap()
}

#[test]
fn tables_have_the_documented_sizes_and_share_the_generator_table() {
    for (size, [ed25519, p256]) in SIZES.into_iter().zip([0, 1].map(|at| TABLE_BYTES.map(|bytes| bytes[at]))) {
        let mut keys = set(&[("a", ed25519_key(1)), ("b", ed25519_key(2)), ("c", p256_key())]);
        assert_eq!(keys.table_bytes(), 0);
        keys.prepare_table("a", size);
        assert_eq!(keys.table_bytes(), 2 * ed25519);
        keys.prepare_table("b", size);
        assert_eq!(keys.table_bytes(), 3 * ed25519);
        let clone = keys.clone();
        keys.prepare_tables(size);
        assert_eq!(keys.table_bytes(), 3 * ed25519 + 2 * p256);
        assert_eq!(clone.table_bytes(), 3 * ed25519, "a clone is not changed");
        keys.prepare_table("unknown", size);
        keys.prepare_table("a", TableSize::None);
        assert_eq!(keys.table_bytes(), 2 * ed25519 + 2 * p256);
        println!("{}: {ed25519} bytes for an Ed25519 key, {p256} for a P-256 key", size.name());
    }
}

#[test]
fn a_key_of_the_previous_set_keeps_its_table() {
    let mut previous = set(&[("a", ed25519_key(1)), ("b", ed25519_key(2)), ("c", p256_key())]);
    previous.prepare_tables(TableSize::Small);
    let mut next = set(&[("renamed", ed25519_key(1)), ("b", ed25519_key(3)), ("c", p256_key())]);
    next.reuse_tables_from(&previous);
    assert_eq!(next.table_bytes(), 2 * TABLE_BYTES[0][0] + 2 * TABLE_BYTES[1][0]);
    // The new key `b` shares the generator's table. A signature of the previous key `b` is not
    // accepted.
    next.prepare_tables(TableSize::Small);
    assert_eq!(next.table_bytes(), previous.table_bytes());
    let signature = {
        use ed25519_dalek::Signer as _;
        ed25519_dalek::SigningKey::from_bytes(&Random::new(2).bytes()).sign(b"text").to_bytes()
    };
    assert!(previous.check_signature(Some("b"), Algorithm::EdDsa, b"text", &signature).is_ok());
    assert!(next.check_signature(Some("b"), Algorithm::EdDsa, b"text", &signature).is_err());
    // A change of size replaces all tables.
    next.prepare_tables(TableSize::Large);
    assert_eq!(next.table_bytes(), 3 * TABLE_BYTES[0][1] + 2 * TABLE_BYTES[1][1]);
    next.prepare_tables(TableSize::None);
    assert_eq!(next.table_bytes(), 0);
}

#[test]
fn sizes_have_names() {
    for size in [TableSize::None, TableSize::Small, TableSize::Large] {
        assert_eq!(TableSize::from_name(size.name()), Some(size));
    }
    assert_eq!(["none", "Small", ""].map(TableSize::from_name), [Some(TableSize::None), None, None]);
    assert_eq!(TableSize::default(), TableSize::None);
}
