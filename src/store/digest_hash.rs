use std::hash::Hasher;

/// The first 8 bytes of a digest are as good a hash as any: a client would have to find SHA-256 collisions in
/// them with a key that the server chose.
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

    /// Or a table of digests would be a list.
    #[test]
    fn no_two_of_many_digests_fall_in_one_place() {
        let hasher = BuildHasherDefault::<DigestHasher>::default();
        let places: HashSet<_> = (0..1000_u32).map(|n| hasher.hash_one(KeyDigest::of(&n.to_be_bytes()))).collect();
        assert_eq!(places.len(), 1000);
    }
}
