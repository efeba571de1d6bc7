//! One signature for the requests of many edges: a Merkle tree over their nonces.
//!
//! The origin signs the tree's root in place of a nonce, and each edge's answer has the path from
//! its nonce to that root. A relay sends the root of its edges' nonces as the nonce of its own
//! request. So a path has a level for each relay and one for the origin, and none where a request
//! was answered alone.
//!
//! ```text
//! path     = count *level              ; count: u8, 0 to 8
//! level    = depth position *sibling   ; from the leaf to the root; depth: u8, 1 to 20
//! position = u32                       ; of the leaf, from 0
//! sibling  = 32 OCTET
//! leaf     = SHA-256 of "tollgate nonce leaf v1" %x00 nonce
//! node     = SHA-256 of "tollgate nonce node v1" %x00 left right
//! ```
//! The first 16 octets of a level's root are the nonce of the next level, and at last the signed
//! nonce. Where a height of the tree has an odd number of nodes, a node of 32 zeros follows.
//!
//! **Why a path proves freshness as the nonce itself does.** A path for a nonce that was not in the
//! tree would be a second preimage of a root of 128 bits. An edge may choose its own nonces to make
//! roots collide; the result proves only that edge's nonces, which nobody else uses.

use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

use crate::sync_request::Nonce;
use crate::wire::{self, Body, WireError};

/// Most nonces of one tree.
pub const MAX_TREE_NONCES: usize = 1 << MAX_DEPTH;
const MAX_DEPTH: u8 = 20;
const MAX_LEVELS: u8 = 8;
const PADDING: Node = [0; 32];

type Node = [u8; 32];

/// The path from an edge's nonce to the signed one.
#[derive(Debug, Clone, Default)]
pub(crate) struct NoncePath(Vec<Level>);

#[derive(Debug, Clone)]
struct Level {
    position: u32,
    siblings: Vec<Node>,
}

impl NoncePath {
    /// Longest path in bytes.
    pub(crate) const MAX_BYTES: usize = 1 + MAX_LEVELS as usize * (5 + MAX_DEPTH as usize * size_of::<Node>());

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let mut body = Body::new(bytes);
        let count = body.u8()?;
        if count > MAX_LEVELS {
            return Err(WireError::Malformed("too many levels of nonces"));
        }
        let levels = (0..count).map(|_| Level::read(&mut body)).collect::<Result<_, _>>()?;
        body.finish()?;
        Ok(Self(levels))
    }

    /// The nonce that the origin signed if the path belongs to `nonce`.
    pub(crate) fn root(&self, nonce: Nonce) -> Nonce {
        self.0.iter().fold(nonce, |nonce, level| level.root(nonce))
    }
}

impl Level {
    fn read(body: &mut Body<'_>) -> Result<Self, WireError> {
        let depth = body.u8()?;
        let position = body.u32()?;
        if !(1..=MAX_DEPTH).contains(&depth) || position >> depth != 0 {
            return Err(WireError::Malformed("impossible position of a nonce"));
        }
        let siblings = body.bytes(usize::from(depth) * size_of::<Node>())?.as_chunks().0.to_vec();
        Ok(Self { position, siblings })
    }

    fn root(&self, nonce: Nonce) -> Nonce {
        let climb = |node: Node, (height, sibling): (u32, &Node)| match self.position >> height & 1 {
            0 => parent(&node, sibling),
            _ => parent(sibling, &node),
        };
        root_nonce(&(0..).zip(&self.siblings).fold(leaf(nonce), climb))
    }
}

/// The tree over the nonces of requests that are answered together.
#[derive(Debug, Clone)]
pub struct NonceTree {
    root: Nonce,
    /// The nodes from the leaves to below the root, an even number each; none for one nonce.
    heights: Vec<Vec<Node>>,
}

impl NonceTree {
    /// The tree over these nonces; `None` if there are none, or more than [`MAX_TREE_NONCES`].
    pub fn new(nonces: &[Nonce]) -> Option<Self> {
        let &first = nonces.first().filter(|_| nonces.len() <= MAX_TREE_NONCES)?;
        if nonces.len() == 1 {
            return Some(Self { root: first, heights: Vec::new() });
        }
        let mut heights = Vec::new();
        let mut nodes: Vec<Node> = nonces.iter().map(|nonce| leaf(*nonce)).collect();
        while nodes.len() > 1 {
            if !nodes.len().is_multiple_of(2) {
                nodes.push(PADDING);
            }
            let parents = nodes.as_chunks().0.iter().map(|[left, right]| parent(left, right)).collect();
            heights.push(core::mem::replace(&mut nodes, parents));
        }
        nodes.first().map(|root| Self { root: root_nonce(root), heights })
    }

    /// The nonce to sign, or to send in a request.
    pub fn root(&self) -> Nonce {
        self.root
    }

    /// The answer for the nonce at `position`, made from a message that answers
    /// [`root`](Self::root): the first bytes of the message, which all answers share, and what
    /// follows them. `None` if the message has another version or form, or its path no room.
    pub fn answer<'m>(&self, message: &'m [u8], position: usize) -> Option<(&'m [u8], Vec<u8>)> {
        let (signed, path) = wire::split_path(message).ok().filter(|_| wire::has_path(message))?;
        let (&count, levels) = path.split_first()?;
        let own = self.level(position)?;
        let count = count.checked_add(u8::from(!own.is_empty())).filter(|count| *count <= MAX_LEVELS)?;
        let path = [&[count], own.as_slice(), levels].concat();
        let length = u16::try_from(path.len()).ok()?.to_be_bytes();
        Some((signed, [path.as_slice(), &length].concat()))
    }

    /// The encoded level of a nonce; empty if it is the only one.
    fn level(&self, position: usize) -> Option<Vec<u8>> {
        let Some(leaves) = self.heights.first() else { return (position == 0).then(Vec::new) };
        if position >= leaves.len() {
            return None;
        }
        let mut level = Vec::from([u8::try_from(self.heights.len()).ok()?]);
        level.extend(u32::try_from(position).ok()?.to_be_bytes());
        for (height, nodes) in self.heights.iter().enumerate() {
            level.extend(nodes.get(position >> height ^ 1)?);
        }
        Some(level)
    }
}

fn leaf(nonce: Nonce) -> Node {
    let mut hash = Sha256::new();
    hash.update(b"tollgate nonce leaf v1\0");
    hash.update(nonce.as_bytes());
    hash.finalize().into()
}

fn parent(left: &Node, right: &Node) -> Node {
    let mut hash = Sha256::new();
    hash.update(b"tollgate nonce node v1\0");
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

fn root_nonce(root: &Node) -> Nonce {
    Nonce::from_bytes(*root.first_chunk().unwrap_or(&[0; Nonce::LEN]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces(count: usize) -> Vec<Nonce> {
        (0..count).map(|n| Nonce::from_bytes((n as u128).to_be_bytes())).collect()
    }

    /// An unsigned message without levels.
    const MESSAGE: [u8; 8] = *b"TGDL\x03\0\0\x01";

    /// The path in an answer, and the nonce that it leads to.
    fn root_of(answer: (&[u8], Vec<u8>), nonce: Nonce) -> Nonce {
        let answer = [answer.0, &answer.1].concat();
        let (signed, path) = wire::split_path(&answer).expect("a path");
        assert_eq!(signed, b"TGDL\x03");
        NoncePath::read(path).expect("a valid path").root(nonce)
    }

    #[test]
    fn the_path_of_each_nonce_leads_to_the_root_and_that_of_another_does_not() {
        for count in [1, 2, 3, 4, 5, 7, 8, 9, 33, 1000] {
            let nonces = nonces(count);
            let tree = NonceTree::new(&nonces).expect("few nonces");
            for (position, nonce) in nonces.iter().enumerate() {
                let answer = || tree.answer(&MESSAGE, position).expect("an answer");
                assert_eq!(root_of(answer(), *nonce), tree.root(), "{position} of {count}");
                let stranger = Nonce::from_bytes([0xff; 16]);
                assert_ne!(root_of(answer(), stranger), tree.root(), "{position} of {count}");
            }
            assert!(tree.answer(&MESSAGE, count.next_power_of_two()).is_none());
        }
        assert!(NonceTree::new(&[]).is_none());
        let tree = NonceTree::new(&nonces(1)).expect("one nonce");
        assert!(tree.answer(b"TGDL\x02\0\0\x01", 0).is_none(), "another version");
    }

    #[test]
    fn the_levels_of_relays_precede_that_of_the_origin() {
        let edges = nonces(5);
        let near = NonceTree::new(&edges).expect("few nonces");
        let far = NonceTree::new(&[Nonce::from_bytes([9; 16]), near.root()]).expect("few nonces");
        let origin = NonceTree::new(&[far.root(), Nonce::from_bytes([8; 16])]).expect("few nonces");
        let whole = |(shared, rest): (&[u8], Vec<u8>)| [shared, &rest].concat();
        let to_far = whole(origin.answer(&MESSAGE, 0).expect("an answer"));
        let to_near = whole(far.answer(&to_far, 1).expect("an answer"));
        for (position, nonce) in edges.iter().enumerate() {
            assert_eq!(root_of(near.answer(&to_near, position).expect("an answer"), *nonce), origin.root());
        }
        let mut message = to_near;
        for _ in 3..=MAX_LEVELS {
            message = near.answer(&message, 0).map(whole).unwrap_or_default();
        }
        assert!(near.answer(&message, 0).is_none(), "a path has at most {MAX_LEVELS} levels");
    }

    #[test]
    fn a_malformed_path_is_refused() {
        let tree = NonceTree::new(&nonces(4)).expect("few nonces");
        let (_, tail) = tree.answer(&MESSAGE, 3).expect("an answer");
        let path = &tail[..tail.len() - 2];
        assert!(NoncePath::read(path).is_ok());
        for length in 0..path.len() {
            assert!(NoncePath::read(&path[..length]).is_err(), "{length} bytes");
        }
        let changed = |at: usize, byte: u8| {
            let mut path = path.to_vec();
            path[at] = byte;
            NoncePath::read(&path).is_err()
        };
        assert!(changed(0, 0) && changed(0, 2) && changed(0, 9), "another number of levels");
        assert!(changed(1, 0) && changed(1, 1) && changed(1, 3) && changed(1, 0xff), "another depth");
        assert!(changed(5, 4) && changed(2, 1), "a position that the tree does not have");
        assert!(NoncePath::read(&[path, &[0]].concat()).is_err(), "a trailing byte");
    }
}
