use std::hash::Hasher;

/// Hashes a digest to its first 8 bytes. Only for digests of keys that the server chose: to make them collide, a client
/// would have to find SHA-256 collisions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, digest: &[u8]) {
        self.0 = digest.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;
    use crate::key::KeyDigest;

    /// A table of digests with one hash would be a list.
    #[test]
    fn different_digests_have_different_hashes() {
        let hasher = BuildHasherDefault::<DigestHasher>::default();
        let hashes: HashSet<_> = (0..1000_u32).map(|n| hasher.hash_one(KeyDigest::hash(&n.to_be_bytes()))).collect();
        assert_eq!(hashes.len(), 1000);
    }
}
