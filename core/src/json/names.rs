//! The names of an object's members that were there already.

use alloc::borrow::Cow;

use smallvec::SmallVec;

/// The names of an object's members so far.
#[derive(Default)]
pub(super) struct Names<'a> {
    names: SmallVec<[Cow<'a, str>; 16]>,
    /// A bit for each of them, chosen by its length and ends: a name whose bit is not set is not among them, and need not be
    /// searched for.
    seen: u64,
}

impl<'a> Names<'a> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.seen & bit(name) != 0 && self.names.iter().any(|known| known == name)
    }

    pub(super) fn take(&mut self, name: Cow<'a, str>) {
        self.seen |= bit(&name);
        self.names.push(name);
    }
}

fn bit(name: &str) -> u64 {
    let end = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default());
    let (first, last) = (end(name.as_bytes().first()), end(name.as_bytes().last()));
    1 << ((first.wrapping_mul(5) ^ last.wrapping_mul(11) ^ name.len() as u32) % 64)
}
