//! The RFC 6962 Merkle tree over an account's leaves, built from left to right.

use aws_lc_rs::digest::{Context, SHA256};

/// SHA-256.
pub(crate) type Hash = [u8; 32];

/// `SHA-256(0x00 || data)`.
pub(crate) fn leaf_hash(data: &[u8]) -> Hash {
    hash(&[&[0], data])
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// The right edge of the tree: the roots of its complete subtrees, largest first. One per bit set in `size`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// Leaves so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next leaf.
    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut root = leaf;
        // Every trailing 1 of the old size is a complete subtree of the same height that this one joins.
        for _ in 0..self.size.trailing_ones() {
            let left = self.roots.pop().expect("one root per bit of the size");
            root = node_hash(&left, &root);
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// The root over all leaves; that of an empty tree is the hash of nothing.
    pub(crate) fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(mut root) = roots.next().copied() else { return hash(&[]) };
        for left in roots {
            root = node_hash(left, &root);
        }
        root
    }

    /// The roots one behind the other, for storage.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.roots.concat()
    }

    /// From [`Frontier::to_bytes`]; `None` when the bytes do not fit the size.
    pub(crate) fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let fits = bytes.len() == size.count_ones() as usize * 32;
        let roots = bytes.chunks_exact(32).map(|root| root.try_into().expect("chunks of 32")).collect();
        fits.then_some(Self { size, roots })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962 section 2.1, computed naively: MTH(D) = hash(1 || MTH(first k) || MTH(rest)), k the largest power of 2.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => hash(&[]),
            [one] => *one,
            many => {
                let k = many.len().next_power_of_two() / 2;
                node_hash(&naive(&many[..k]), &naive(&many[k..]))
            }
        }
    }

    /// SEC 7.2: the incremental root is that of RFC 6962, and survives storage at any size.
    #[test]
    fn the_frontier_gives_the_rfc_6962_root() {
        let leaves: Vec<Hash> = (0..130_u8).map(|n| leaf_hash(&[n])).collect();
        let mut frontier = Frontier::default();
        for size in 0..leaves.len() {
            assert_eq!(frontier.root(), naive(&leaves[..size]), "{size} leaves");
            frontier = Frontier::from_bytes(frontier.size(), &frontier.to_bytes()).unwrap();
            frontier.push(leaves[size]);
        }
        assert_eq!(hex::encode(Frontier::default().root())[..8], *"e3b0c442");
        assert!(Frontier::from_bytes(3, &[0; 32]).is_none());
    }
}
