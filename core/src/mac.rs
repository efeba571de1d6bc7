//! HMAC-SHA256 (RFC 2104) that stores the key's two hash states, which saves two blocks a message.
//!
//! The `hmac` crate stores these states, too, but copies each message into a buffer. Here the
//! compression function of SHA-256 reads the message in place, and the messages of several tokens
//! are compressed alternately: each compression is one long chain of dependent instructions, and a
//! processor runs several chains in parallel.

use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

type State = [u32; 8];
/// A whole tag. Truncated tags are not accepted.
pub(crate) type Tag = [u8; 32];

/// FIPS 180-4 section 5.3.3.
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// Offset in the last block of the message length in bits.
const LENGTH_OFFSET: usize = 56;

/// The hash states after the key's inner and outer block. Wiped from memory when dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub(crate) struct MacKey {
    inner: State,
    outer: State,
}

/// A message and its claimed tag.
pub(crate) type MessageAndTag<'a> = (&'a [u8], &'a [u8]);

impl MacKey {
    /// Creates the key from a secret of any length.
    pub(crate) fn new(secret: &[u8]) -> Self {
        let mut block = Zeroizing::new([0; 64]);
        match block.get_mut(..secret.len()) {
            Some(start) => start.copy_from_slice(secret),
            None => {
                let mut digest: [u8; 32] = Sha256::digest(secret).into();
                block.split_at_mut(32).0.copy_from_slice(&digest);
                digest.zeroize();
            }
        }
        let absorbed = |pad: u8| {
            let (mut state, padded) = (INITIAL, Zeroizing::new(block.map(|byte| byte ^ pad)));
            compress256(&mut state, &[*padded]);
            state
        };
        Self { inner: absorbed(0x36), outer: absorbed(0x5c) }
    }

    /// Whether `tag` is the tag of the message, compared in constant time.
    pub(crate) fn is_valid_tag(&self, message: &[u8], tag: &[u8]) -> bool {
        let [is_valid] = Self::are_valid_tags([self], [(message, tag)]);
        is_valid
    }

    /// As [`is_valid_tag`](Self::is_valid_tag) for several messages, each with its own key,
    /// computed interleaved.
    pub(crate) fn are_valid_tags<const N: usize>(keys: [&Self; N], claims: [MessageAndTag<'_>; N]) -> [bool; N] {
        let tags = Self::tags(keys, claims.map(|(message, _)| message));
        core::array::from_fn(|lane| is_equal(&tags[lane], claims[lane].1))
    }

    /// The tag of the message.
    pub(crate) fn tag(&self, message: &[u8]) -> Tag {
        let [tag] = Self::tags([self], [message]);
        tag
    }

    #[inline]
    fn tags<const N: usize>(keys: [&Self; N], messages: [&[u8]; N]) -> [Tag; N] {
        let mut states = keys.map(|key| key.inner);
        absorb(&mut states, messages);
        let inner = states.map(bytes);
        states = keys.map(|key| key.outer);
        absorb(&mut states, inner.each_ref().map(<[u8; 32]>::as_slice));
        states.map(bytes)
    }
}

/// Hashes one whole message in each lane, with the lanes alternating at each block. The states
/// contain the key's block already.
fn absorb<const N: usize>(states: &mut [State; N], messages: [&[u8]; N]) {
    let blocks = messages.map(|message| message.as_chunks::<64>());
    let shared = blocks.iter().map(|(blocks, _)| blocks.len()).min().filter(|_| N > 1).unwrap_or_default();
    for block in 0..shared {
        for (state, (blocks, _)) in states.iter_mut().zip(blocks) {
            compress256(state, blocks.get(block..=block).unwrap_or_default());
        }
    }
    for (state, (blocks, _)) in states.iter_mut().zip(blocks) {
        compress256(state, blocks.get(shared..).unwrap_or_default());
    }
    let mut last = [[0; 64]; N];
    for ((last, state), (message, (_, rest))) in last.iter_mut().zip(states.iter_mut()).zip(messages.iter().zip(blocks))
    {
        pad(last, state, rest, message.len());
    }
    for (state, last) in states.iter_mut().zip(&last) {
        compress256(state, core::slice::from_ref(last));
    }
}

/// Fills the last block of a message of `length` bytes (FIPS 180-4 section 5.1.1): the `rest` that
/// fills no block, the end mark, and the length in bits. If these do not fit one block, the first
/// of the two is hashed here.
fn pad(block: &mut [u8; 64], state: &mut State, rest: &[u8], length: usize) {
    let (filled, free) = block.split_at_mut(rest.len());
    filled.copy_from_slice(rest);
    if let Some(mark) = free.first_mut() {
        *mark = 0x80;
    }
    if rest.len() >= LENGTH_OFFSET {
        compress256(state, core::slice::from_ref(block));
        *block = [0; 64];
    }
    if let Some(end) = block.last_chunk_mut() {
        *end = ((64 + length as u64) * 8).to_be_bytes();
    }
}

/// Compares two tags in constant time, 16 bytes at a time: a constant-time comparison costs the
/// same for a word as for a byte.
fn is_equal(tag: &Tag, claimed: &[u8]) -> bool {
    let Ok(claimed) = <&Tag>::try_from(claimed) else { return false };
    let pairs = halves(tag).into_iter().zip(halves(claimed));
    pairs.fold(Choice::from(1), |equal, (one, other)| equal & one.ct_eq(&other)).into()
}

fn bytes(state: State) -> Tag {
    let mut bytes = [0; 32];
    for (four, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *four = word.to_be_bytes();
    }
    bytes
}

fn halves(tag: &Tag) -> [u128; 2] {
    let (low, high) = tag.split_at(16);
    [low, high].map(|half| half.first_chunk().map_or(0, |half| u128::from_ne_bytes(*half)))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use hmac::{Hmac, KeyInit as _, Mac as _};

    use super::*;

    fn tag(secret: &[u8], message: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length");
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }

    fn message(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index * 7 + length) as u8).collect()
    }

    #[test]
    fn agrees_with_the_hmac_crate_at_every_length_around_a_block() {
        for secret in [&b"k"[..], &[7; 32], &[8; 64], &[9; 65], &[1; 512]] {
            let key = MacKey::new(secret);
            for length in 0..=200 {
                let message = message(length);
                let mut good = tag(secret, &message);
                assert!(key.is_valid_tag(&message, &good), "{length} bytes");
                assert!(!key.is_valid_tag(&message, &good[..31]) && !key.is_valid_tag(&message, &[]));
                good[length % 32] ^= 1 << (length % 8);
                assert!(!key.is_valid_tag(&message, &good), "{length} bytes");
            }
        }
    }

    #[test]
    fn interleaved_messages_are_checked_independently() {
        let secrets = [[1; 32], [2; 32], [3; 32]];
        let keys = secrets.map(|secret| MacKey::new(&secret));
        for lengths in [[0, 0, 0], [500, 500, 500], [511, 64, 63], [10, 2000, 119], [128, 55, 56]] {
            let messages = lengths.map(message);
            for wrong in 0..8_usize {
                let mut tags: [Vec<u8>; 3] = core::array::from_fn(|nth| tag(&secrets[nth], &messages[nth]));
                for (nth, tag) in tags.iter_mut().enumerate() {
                    tag[5] ^= u8::from(wrong >> nth & 1 == 1);
                }
                let claims = core::array::from_fn(|nth| (&*messages[nth], &*tags[nth]));
                let expected = core::array::from_fn(|nth| wrong >> nth & 1 == 0);
                assert_eq!(MacKey::are_valid_tags(keys.each_ref(), claims), expected, "{lengths:?} {wrong}");
            }
        }
    }
}
