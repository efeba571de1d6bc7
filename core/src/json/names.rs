//! The names of an object's members: which were there already, and how the usual ones are told at a glance.

use alloc::borrow::Cow;

use smallvec::SmallVec;

/// The names of an object's members so far.
pub(super) struct Names<'n, 'a, T> {
    /// The usual ones in their order. Each is passed once, found or not, so none of them is found twice.
    usual: &'n [UsualName<T>],
    /// Of the usual ones, how many were passed, and a bit for each that was found.
    passed: usize,
    found: u32,
    /// The ones that were written in another way or stand in another order, and the ones that are not usual.
    others: SmallVec<[Cow<'a, str>; 16]>,
    /// A bit for each of the others, chosen by its length and ends: a name whose bit is not set is not among them, and need not
    /// be searched for.
    seen: u64,
}

impl<'n, 'a, T: Copy> Names<'n, 'a, T> {
    /// None so far; these are the usual ones, 32 at most.
    pub(super) fn new(usual: &'n [UsualName<T>]) -> Self {
        Self { usual, passed: 0, found: 0, others: SmallVec::new(), seen: 0 }
    }

    /// The usual name that the text begins with: the next one, or where that was left out the one after it.
    #[inline]
    pub(super) fn next_usual(&mut self, text: &[u8]) -> Option<&'n UsualName<T>> {
        let next = self.usual.get(self.passed..)?;
        let bytes = text.first_chunk()?;
        let place = next.iter().take(2).position(|name| name.begins(*bytes))?;
        self.found |= 1 << (self.passed + place);
        self.passed += place + 1;
        next.get(place)
    }

    /// Whether a usual name was found before.
    pub(super) fn were_usual(&self, name: &str) -> bool {
        self.found != 0
            && self.usual.iter().enumerate().any(|(place, usual)| self.found >> place & 1 == 1 && usual.name() == name)
    }

    /// Whether a name is among the others.
    pub(super) fn are_others(&self, name: &str) -> bool {
        self.seen & bit(name) != 0 && self.others.iter().any(|known| known == name)
    }

    pub(super) fn take(&mut self, name: Cow<'a, str>) {
        self.seen |= bit(&name);
        self.others.push(name);
    }
}

fn bit(name: &str) -> u64 {
    let end = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default());
    let (first, last) = (end(name.as_bytes().first()), end(name.as_bytes().last()));
    1 << ((first.wrapping_mul(5) ^ last.wrapping_mul(11) ^ name.len() as u32) % 64)
}

/// The name of a member as compact JSON has it, with quotation marks and colon: 16 bytes at most, compared as one number. What
/// follows a name that is found so does not wait until its end was searched for.
pub(crate) struct UsualName<T> {
    name: &'static str,
    bytes: u128,
    mask: u128,
    meaning: T,
}

impl<T: Copy> UsualName<T> {
    /// For a name of 1 to 13 bytes without escapes, and what it means to the caller.
    pub(crate) const fn new(name: &'static str, meaning: T) -> Self {
        let (mut bytes, mut place) = (b'"' as u128, 0);
        while place < name.len() {
            bytes |= (name.as_bytes()[place] as u128) << (8 * (place + 1));
            place += 1;
        }
        bytes |= ((b'"' as u128) | (b':' as u128) << 8) << (8 * (name.len() + 1));
        Self { name, bytes, mask: u128::MAX >> (8 * (13 - name.len())), meaning }
    }

    /// Whether it stands at the beginning of these bytes.
    fn begins(&self, bytes: [u8; 16]) -> bool {
        u128::from_le_bytes(bytes) & self.mask == self.bytes
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn meaning(&self) -> T {
        self.meaning
    }

    /// Bytes with quotation marks and colon.
    pub(super) fn len(&self) -> usize {
        self.name.len() + 3
    }
}
