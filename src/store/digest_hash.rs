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
