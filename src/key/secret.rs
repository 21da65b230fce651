use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{KeyDigest, KeyFormat};

/// A new key in the clear, to be shown to its owner once.
///
/// It has no `Display`, its `Debug` is redacted, and its memory is wiped when it is dropped. Nothing in this
/// crate keeps it: a store receives a [`KeyDigest`].
///
/// ```
/// use tower_api_key::KeySecret;
///
/// let secret = KeySecret::generate()?;
/// assert!(secret.expose_secret().starts_with("avk_"));
/// assert_eq!(secret.expose_secret().len(), 44);
/// assert_eq!(format!("{secret:?}"), "KeySecret([redacted])");
/// # Ok::<(), tower_api_key::RandomError>(())
/// ```
pub struct KeySecret(String);

impl KeySecret {
    /// A new key in the documented form; see [`KeyFormat::AVALA`].
    ///
    /// # Errors
    /// When the operating system gives no randomness. A weaker key is never made instead.
    pub fn generate() -> Result<Self, RandomError> {
        KeyFormat::AVALA.generate()
    }

    /// The text must not have been cloned or printed on the way here.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The key itself, for the one reply that shows it. Whatever is made from the returned text is no longer
    /// wiped.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// What a store keeps of this key.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret([redacted])")
    }
}

impl Drop for KeySecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for KeySecret {}

/// The operating system gave no randomness, so no key was made.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct RandomError(#[source] getrandom::Error);

pub(super) fn random(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(RandomError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_067_generated_keys_do_not_repeat() {
        let mut digests: Vec<_> = (0..10_000).map(|_| *KeySecret::generate().unwrap().digest().as_bytes()).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 10_000);
    }

    #[test]
    fn case_101_a_secret_is_wiped_on_drop() {
        fn wiped<T: ZeroizeOnDrop>() {}
        wiped::<KeySecret>();
    }

    #[test]
    fn debug_is_redacted() {
        assert_eq!(format!("{:?}", KeySecret::generate().unwrap()), "KeySecret([redacted])");
    }
}
