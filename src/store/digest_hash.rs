use std::hash::{BuildHasher, Hasher, RandomState};

use crate::folded::folded_product;

/// Hashes digests, and ids of keys, with seeds that only this table has.
///
/// The digests of imported keys are chosen by the importer, so many may share most of their bytes. Every byte counts, and
/// without the seeds no digests can be found that collide.
#[derive(Clone, Copy)]
pub(crate) struct DigestState {
    seeds: [u64; 4],
}

impl DigestState {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self { seeds: [0, 1, 2, 3].map(|number: u64| random.hash_one(number)) }
    }
}

impl Default for DigestState {
    fn default() -> Self {
        Self::new()
    }
}

impl BuildHasher for DigestState {
    type Hasher = DigestHasher;

    #[inline]
    fn build_hasher(&self) -> DigestHasher {
        DigestHasher { seeds: self.seeds, hash: 0 }
    }
}

/// Two multiplications, as in wyhash. SHA-256 has done the rest of the work for digests that are not imported.
pub(crate) struct DigestHasher {
    seeds: [u64; 4],
    hash: u64,
}

impl Hasher for DigestHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn write(&mut self, digest: &[u8]) {
        let [s, t, u, v] = self.seeds;
        let word = |bytes: &[u8; 8], seed| u64::from_le_bytes(*bytes) ^ seed;
        match digest.as_chunks() {
            ([a, b, c, d], []) => {
                self.hash ^= folded_product(word(a, s), word(b, t)) ^ folded_product(word(c, u), word(d, v));
            }
            ([a, b], []) => self.hash ^= folded_product(word(a, s), word(b, t)),
            _ => debug_assert!(false, "neither a digest nor the id of a key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashSet;
    use std::hash::{BuildHasherDefault, Hash};

    use super::*;
    use crate::key::KeyDigest;

    thread_local! {
        static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// A digest that counts how often it is compared.
    struct Counted(KeyDigest);

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            COMPARISONS.set(COMPARISONS.get() + 1);
            self.0 == other.0
        }
    }

    impl Eq for Counted {}

    impl Hash for Counted {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    /// Digests that differ only in the 4 bytes from `at`.
    fn similar_digests(number: u32, at: usize) -> impl Iterator<Item = KeyDigest> {
        (0..number).map(move |n| {
            let mut bytes = [0x5a; 32];
            bytes[at..at + 4].copy_from_slice(&n.to_be_bytes());
            KeyDigest::from_bytes(bytes)
        })
    }

    /// How often a digest is compared in each lookup, in a table of these.
    fn comparisons(digests: impl Iterator<Item = KeyDigest>, hasher: impl BuildHasher) -> f64 {
        let mut table = HashSet::with_hasher(hasher);
        let digests: Vec<_> = digests.collect();
        table.extend(digests.iter().map(|&digest| Counted(digest)));
        COMPARISONS.set(0);
        assert!(digests.iter().all(|&digest| table.contains(&Counted(digest))));
        COMPARISONS.get() as f64 / digests.len() as f64
    }

    /// Cases: 144.
    #[test]
    fn lookup_among_similar_digests_compares_few() {
        for at in 0..=28 {
            let each = comparisons(similar_digests(20_000, at), DigestState::new());
            assert!(each < 8.0, "{each} comparisons of digests that differ from byte {at}");
        }
        let each = comparisons((0..20_000_u32).map(|n| KeyDigest::hash(&n.to_be_bytes())), DigestState::new());
        assert!(each < 8.0, "{each}");
    }

    /// Hashes a digest to its first 8 bytes.
    #[derive(Default)]
    struct FirstBytes(u64);

    impl Hasher for FirstBytes {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, digest: &[u8]) {
            self.0 = digest.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        }
    }

    /// Cases: 144.
    #[test]
    fn lookup_by_first_bytes_compares_many() {
        let hasher = BuildHasherDefault::<FirstBytes>::default;
        assert!(comparisons(similar_digests(2_000, 8), hasher()) > 100.0);
    }

    #[test]
    fn tables_hash_digests_differently() {
        let digest = KeyDigest::hash(b"key");
        let hash = |state: &DigestState| state.hash_one(digest);
        let (one, other) = (DigestState::new(), DigestState::new());
        assert_eq!(hash(&one), hash(&one));
        assert_ne!(hash(&one), hash(&other));
    }
}
