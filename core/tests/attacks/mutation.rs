//! Random changes of the kinds that break parsers.

/// xorshift64*: the same numbers on all machines.
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.below(2); // the first numbers of neighbouring seeds are similar
        random
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound
    }

    /// An index into something of this length; 0 if it is empty.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.below(length.max(1) as u64) as usize
    }
}

/// Numbers at which arithmetic and bounds fail. The last bytes of each are a narrower number.
const NUMBERS: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x0fff_ffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];
/// Texts that JSON and token parsers often mishandle.
const WORDS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "[[[[[[[[",
    ":",
    ",",
    "\"",
    "\\u0000",
    "\\ud800",
    "\\",
    "null",
    "true",
    "1e999",
    "-0",
    "1.5",
    "18446744073709551616",
    ".",
    "\n",
    "\u{feff}",
    "\"kid\":\"e\",",
    "\"alg\":\"none\",",
    "\"exp\":",
    "/*",
];

/// Changes `bytes` at a few positions; pieces of `other` may be copied into it.
pub(crate) fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(4) {
        change(bytes, other, random);
    }
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.index(bytes.len());
    let end = (at + 1 + random.index(32)).min(bytes.len());
    match random.below(11) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
        3 | 4 => {
            let width = 1 << random.below(4);
            let number = NUMBERS[random.index(NUMBERS.len())].to_be_bytes();
            for (byte, new) in bytes.iter_mut().skip(at).zip(&number[8 - width..]) {
                *byte = *new;
            }
        }
        5 => drop(bytes.drain(at..end)),
        6 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        7 => {
            let from = random.index(other.len());
            let piece = other[from..(from + 1 + random.index(64)).min(other.len())].to_vec();
            let over = if random.below(2) == 0 { at..at } else { at..(at + piece.len()).min(bytes.len()) };
            bytes.splice(over, piece);
        }
        8 | 9 => drop(bytes.splice(at..at, WORDS[random.index(WORDS.len())].bytes())),
        10 if random.below(4) == 0 => bytes.truncate(at),
        _ => {
            let new: Vec<u8> = (0..random.below(20)).map(|_| random.below(256) as u8).collect();
            bytes.splice(at..at, new);
        }
    }
}
