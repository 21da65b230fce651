//! A fast mixing step for seeded hashes.

/// Returns the two halves of the product, one laid over the other, as in wyhash.
#[inline]
pub(crate) fn folded_product(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}
