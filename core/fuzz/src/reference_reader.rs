//! A second, simple reader of the messages' grammars, to compare the crate's with. It also gives
//! the offsets of the counts, which attacks change. It does not check signatures, and returns
//! `None` if the message ends early.

/// A configuration without keys and routes.
pub const CONFIG: &[u8] = br#"{"audience":"https://api.example","jwks":{"keys":[]},"routes":[]}"#;
const HEADER_BYTES: usize = 8;
const SIGNATURE_BYTES: usize = 64;
/// The version of deltas with a document.
const SHARED_VERSION: u8 = 3;
/// Size of a delta.
const ENTRY_BYTES: usize = 33;

/// The parts of a snapshot, without the filter and the functions.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// `issuer`.
    pub issuer: String,
    /// `sequence`.
    pub sequence: u64,
    /// `epoch`.
    pub epoch: u32,
    /// `before`.
    pub before: u64,
    /// The entries of sessions, subjects, clients and keys: `id` and `value`.
    pub groups: [Vec<([u8; 16], u64)>; 4],
    /// `others`.
    pub others: Vec<[u8; 16]>,
    /// Offsets in the message of the sections' u32 counts: configuration, the four groups, filter,
    /// others.
    pub counts: Vec<usize>,
    /// Offset of `covered`.
    pub covered: usize,
}

impl Snapshot {
    /// Reads a message.
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(message)?;
        let mut read = Self { issuer: reader.text()?, sequence: reader.u64()?, ..Self::default() };
        reader.take(8 + 32)?; // as-of and chain
        read.counts.push(reader.at);
        let config = reader.u32()?;
        reader.take(config as usize)?;
        read.epoch = reader.u32()?;
        read.before = reader.u64()?;
        for nth in 0..4 {
            read.counts.push(reader.at);
            for _ in 0..reader.u32()? {
                read.groups[nth].push((reader.array()?, reader.u64()?));
            }
        }
        read.counts.push(reader.at);
        let blocks = reader.u32()?;
        reader.take(blocks as usize * 64)?;
        read.counts.push(reader.at);
        for _ in 0..reader.u32()? {
            read.others.push(reader.array()?);
        }
        read.covered = reader.at;
        Some(read)
    }
}

/// The parts of a message of deltas before its entries.
#[derive(Debug)]
pub struct Deltas {
    /// `issuer`.
    pub issuer: String,
    /// `after`.
    pub after: u64,
    /// `chain`.
    pub chain: [u8; 32],
    /// `config`.
    pub config: [u8; 16],
    /// `epoch`.
    pub epoch: u32,
    /// Offset in the message of the entries' count.
    pub count: usize,
    /// `document`; empty in versions without it.
    pub document: Vec<u8>,
}

impl Deltas {
    /// Reads a message.
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(message)?;
        let (issuer, after) = (reader.text()?, reader.u64()?);
        reader.take(8 + 8)?; // head and as-of
        let (chain, config, epoch) = (reader.array()?, reader.array()?, reader.u32()?);
        let (count, mut document) = (reader.at, Vec::new());
        if message.get(4) == Some(&SHARED_VERSION) {
            let entries = reader.u32()? as usize;
            reader.take(entries * ENTRY_BYTES)?;
            reader.take(3 * 8)?; // snapshot
            let length = reader.u32()? as usize;
            document = reader.take(length)?.to_vec();
        }
        Some(Self { issuer, after, chain, config, epoch, count, document })
    }
}

struct Reader<'a> {
    signed: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(message: &'a [u8]) -> Option<Self> {
        Some(Self { signed: message.get(..message.len().checked_sub(SIGNATURE_BYTES)?)?, at: HEADER_BYTES })
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.signed.get(self.at..self.at + count)?;
        self.at += count;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let length = u16::from_be_bytes(self.array()?);
        String::from_utf8(self.take(length.into())?.to_vec()).ok()
    }
}
