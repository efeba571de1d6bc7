//! A status list: statuses of one, two, four or eight bits, compressed (TSL section 4.1).

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};
use tollgate_model::encoding::{base64url, from_base64url};

/// Maximum size of a decompressed list: eight million tokens of one bit. A few hundred compressed
/// bytes can expand to gigabytes, so the bound is checked during the decompression.
pub const MAX_LIST_BYTES: usize = 1 << 20;
/// Maximum length of `lst`: [`MAX_LIST_BYTES`] of noise in DEFLATE's stored blocks, in base64url.
const MAX_LST_CHARS: usize = (MAX_LIST_BYTES + MAX_LIST_BYTES / 1000 + 64) / 3 * 4;
/// Bytes per decompression step, so that memory grows with the actual size.
const CHUNK_BYTES: usize = 16 * 1024;

/// A status of 1: "revoked, annulled, taken back, recalled or cancelled" (TSL section
/// 7.1).
const INVALID: u8 = 1;

/// Why a status list or its token cannot be used. The status of its tokens is unknown then (TSL
/// section 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatusListError {
    #[error("the status list is too large")]
    TooLarge,
    #[error("the status list token is not a compact JWS")]
    NotCompact,
    #[error("the header is not that of a status list token: typ must be statuslist+jwt, and crit absent")]
    Header,
    #[error("the claims are not those of a status list token")]
    Claims,
    #[error("bits must be 1, 2, 4 or 8")]
    Bits,
    #[error("lst is not base64url")]
    NotBase64Url,
    #[error("lst is truncated or not zlib")]
    NotZlib,
    #[error("lst has trailing data")]
    Trailing,
    #[error("none of the keys verifies the signature")]
    Signature,
}

/// Statuses of tokens by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusList {
    bits: u8,
    bytes: Vec<u8>,
}

impl StatusList {
    /// A list with one bit per token, all valid. The number of tokens is rounded up to a multiple
    /// of eight.
    #[must_use]
    pub fn all_valid(tokens: u64) -> StatusList {
        let bytes = usize::try_from(tokens.div_ceil(8)).unwrap_or(MAX_LIST_BYTES).min(MAX_LIST_BYTES);
        StatusList { bits: 1, bytes: vec![0; bytes] }
    }

    /// Marks a token as revoked. Does nothing beyond the end.
    pub fn revoke(&mut self, index: u64) {
        if let Some((byte, shift)) = self.position(index)
            && let Some(byte) = self.bytes.get_mut(byte)
        {
            *byte |= INVALID << shift;
        }
    }

    /// The status of a token, 0 for valid and 1 for revoked. None beyond the end.
    #[must_use]
    pub fn status(&self, index: u64) -> Option<u8> {
        let (byte, shift) = self.position(index)?;
        let mask = u8::MAX >> (8 - self.bits);
        Some((self.bytes.get(byte)? >> shift) & mask)
    }

    /// Number of statuses.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64 * u64::from(8 / self.bits)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Number of tokens with a status other than 0.
    #[must_use]
    pub fn invalid_count(&self) -> u64 {
        (0..self.len()).filter(|index| self.status(*index) != Some(0)).count() as u64
    }

    /// Bits per status.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Index of a status' byte, and the shift from that byte's least significant bit.
    fn position(&self, index: u64) -> Option<(usize, u32)> {
        let per_byte = u64::from(8 / self.bits);
        let byte = usize::try_from(index / per_byte).ok()?;
        let shift = u32::try_from(index % per_byte).ok()? * u32::from(self.bits);
        Some((byte, shift))
    }

    /// The `lst` member.
    ///
    /// # Errors
    /// Never in practice: writes to memory succeed.
    pub fn to_lst(&self) -> std::io::Result<String> {
        // The best level, as TSL section 4.1 recommends; a list is built once and sent often.
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&self.bytes)?;
        Ok(base64url(&zlib.finish()?))
    }

    /// Parses the members `bits` and `lst`.
    ///
    /// # Errors
    /// When they are malformed or the list is too large.
    pub fn from_lst(bits: u8, lst: &str) -> Result<StatusList, StatusListError> {
        if !matches!(bits, 1 | 2 | 4 | 8) {
            return Err(StatusListError::Bits);
        }
        if lst.len() > MAX_LST_CHARS {
            return Err(StatusListError::TooLarge);
        }
        let compressed = from_base64url(lst).ok_or(StatusListError::NotBase64Url)?;
        Ok(StatusList { bits, bytes: inflate(&compressed)? })
    }
}

/// Decompresses at most [`MAX_LIST_BYTES`]. All of `compressed` must be used.
fn inflate(compressed: &[u8]) -> Result<Vec<u8>, StatusListError> {
    let mut zlib = Decompress::new(true);
    let mut bytes = Vec::new();
    loop {
        let read = usize::try_from(zlib.total_in()).unwrap_or(usize::MAX);
        let rest = compressed.get(read..).unwrap_or_default();
        let before = bytes.len();
        bytes.reserve_exact(CHUNK_BYTES);
        let status =
            zlib.decompress_vec(rest, &mut bytes, FlushDecompress::None).map_err(|_| StatusListError::NotZlib)?;
        if bytes.len() > MAX_LIST_BYTES {
            return Err(StatusListError::TooLarge);
        }
        let read_now = usize::try_from(zlib.total_in()).unwrap_or(usize::MAX);
        match status {
            Status::StreamEnd if read_now == compressed.len() => return Ok(bytes),
            Status::StreamEnd => return Err(StatusListError::Trailing),
            // No progress: the input is truncated.
            _ if read_now == read && bytes.len() == before => return Err(StatusListError::NotZlib),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TSL section 4.2 (one bit) and section 10.1 (two bits).
    #[test]
    fn examples_of_the_draft_are_parsed() {
        let list = StatusList::from_lst(1, "eNrbuRgAAhcBXQ").expect("a list");
        assert_eq!(list.bytes, [0xB9, 0xA3]);
        let statuses: Vec<u8> = (0..16).filter_map(|index| list.status(index)).collect();
        assert_eq!(statuses, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);
        assert_eq!((list.status(16), list.len(), list.invalid_count()), (None, 16, 9));

        let list = StatusList { bits: 2, bytes: vec![0xC9, 0x44, 0xF9] };
        let list = StatusList::from_lst(2, &list.to_lst().expect("written")).expect("a list");
        let statuses: Vec<u8> = (0..12).filter_map(|index| list.status(index)).collect();
        assert_eq!(statuses, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]);
    }

    #[test]
    fn revoked_tokens_survive_encoding() {
        let mut list = StatusList::all_valid(tollgate_model::status_list::TOKENS_PER_LIST);
        for index in [0, 7, 8, 131_071] {
            list.revoke(index);
        }
        list.revoke(131_072);
        let read = StatusList::from_lst(1, &list.to_lst().expect("written")).expect("a list");
        assert_eq!(read, list);
        assert_eq!(
            (read.invalid_count(), read.status(8), read.status(9), read.status(131_072)),
            (4, Some(1), Some(0), None)
        );
    }

    #[test]
    fn list_without_revocations_is_small() {
        let lst = StatusList::all_valid(tollgate_model::status_list::TOKENS_PER_LIST).to_lst().expect("written");
        assert!(lst.len() < 80, "{}", lst.len());
    }

    #[test]
    fn decompression_bomb_is_refused_at_the_bound() {
        let zeroes = |size: usize| StatusList { bits: 1, bytes: vec![0; size] }.to_lst().expect("written");
        assert!(StatusList::from_lst(1, &zeroes(MAX_LIST_BYTES)).is_ok());
        assert_eq!(StatusList::from_lst(1, &zeroes(MAX_LIST_BYTES + 1)), Err(StatusListError::TooLarge));
        assert_eq!(StatusList::from_lst(1, &zeroes(100 << 20)), Err(StatusListError::TooLarge));
        assert_eq!(StatusList::from_lst(1, &"A".repeat(MAX_LST_CHARS + 1)), Err(StatusListError::TooLarge));
    }

    #[test]
    fn every_truncation_and_changed_byte_is_refused() {
        let mut list = StatusList::all_valid(4096);
        (0..4096).step_by(7).for_each(|index| list.revoke(index));
        let compressed = from_base64url(&list.to_lst().expect("written")).expect("base64url");
        for length in 0..compressed.len() {
            let cut = base64url(&compressed[..length]);
            assert_eq!(StatusList::from_lst(1, &cut), Err(StatusListError::NotZlib), "{length} bytes");
        }
        for at in 0..compressed.len() {
            let mut changed = compressed.clone();
            changed[at] ^= 0x10;
            // The Adler-32 detects changes of the data. The compression level in the header has no
            // effect.
            let read = StatusList::from_lst(1, &base64url(&changed));
            assert!(read.is_err() || read.as_ref() == Ok(&list), "byte {at}");
        }
        let longer = [compressed.as_slice(), b"x"].concat();
        assert_eq!(StatusList::from_lst(1, &base64url(&longer)), Err(StatusListError::Trailing));
    }

    #[test]
    fn malformed_members_are_refused() {
        for bits in [0, 3, 5, 16, 255] {
            assert_eq!(StatusList::from_lst(bits, "eNrbuRgAAhcBXQ"), Err(StatusListError::Bits));
        }
        for lst in ["eNrbuRgAAhcBXQ==", "eNrbuRgAAhcBXR", "eNrb uRgAAhcBXQ", "é"] {
            assert_eq!(StatusList::from_lst(1, lst), Err(StatusListError::NotBase64Url), "{lst}");
        }
        // A raw DEFLATE stream and a gzip file are not zlib (RFC 1950).
        for bytes in
            [&[0x03, 0x00][..], &[0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0xff, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]]
        {
            assert_eq!(StatusList::from_lst(1, &base64url(bytes)), Err(StatusListError::NotZlib));
        }
    }
}
