//! The tables of a set's keys: who has one, and what they weigh. What they are is told in [`crate::comb`].

use super::{Key, KeySet, Material};
use crate::comb::{self, Generators, TableSize};

impl KeySet {
    /// Computes the tables of all Ed25519 and P-256 keys, or drops them: see [`TableSize`]. It takes a few hundred microseconds a
    /// key for a small one and a few milliseconds for a large one, and nothing for a key that has one of this size. Answers are
    /// the same with and without. Clones of the set share the tables there are.
    pub fn prepare_tables(&mut self, size: TableSize) {
        self.prepare_where(size, |_| true);
    }

    /// Does the same for the key of this `kid` alone: an edge gives a table to a key that is used enough.
    pub fn prepare_table(&mut self, key_id: &str, size: TableSize) {
        self.prepare_where(size, |key| key.id() == Some(key_id));
    }

    fn prepare_where(&mut self, size: TableSize, is_meant: impl Fn(&Key) -> bool) {
        let mut generators = Generators::new(size);
        for key in &self.keys {
            match &key.material {
                Material::EdDsa(key) => key.lend_to(&mut generators),
                Material::Es256(key) => key.lend_to(&mut generators),
                Material::Hs256(_) | Material::Rs256(_) => {}
            }
        }
        for key in self.keys.iter_mut().filter(|key| is_meant(key)) {
            match &mut key.material {
                Material::EdDsa(key) => key.prepare(&mut generators),
                Material::Es256(key) => key.prepare(&mut generators),
                Material::Hs256(_) | Material::Rs256(_) => {}
            }
        }
    }

    /// Takes over the tables of a former set for the keys that are in both, whatever they are called, and have none here: when
    /// a new snapshot brings the keys again, nothing is computed again.
    pub fn reuse_tables_from(&mut self, former: &Self) {
        for key in &mut self.keys {
            for other in &former.keys {
                match (&mut key.material, &other.material) {
                    (Material::EdDsa(key), Material::EdDsa(other)) => key.reuse_tables_from(other),
                    (Material::Es256(key), Material::Es256(other)) => key.reuse_tables_from(other),
                    _ => {}
                }
            }
        }
    }

    /// Bytes of the tables, those of the generators among them; each is counted once however many keys share it.
    pub fn table_bytes(&self) -> usize {
        comb::distinct_bytes(self.keys.iter().filter_map(|key| match &key.material {
            Material::EdDsa(key) => key.places(),
            Material::Es256(key) => key.places(),
            Material::Hs256(_) | Material::Rs256(_) => None,
        }))
    }
}
