use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{KeyDigest, KeyFormat, KeyHint};

/// A new key in plaintext, to be shown to its owner once.
///
/// A secret has no `Display`, its `Debug` is redacted, and its memory is wiped when it is dropped. Nothing in this crate
/// keeps it: a store receives a [`KeyDigest`].
///
/// ```
/// use tower_api_key::key::KeySecret;
///
/// let secret = KeySecret::generate()?;
/// assert!(secret.expose_secret().starts_with("avk_"));
/// assert_eq!(secret.expose_secret().len(), 44);
/// assert_eq!(format!("{secret:?}"), "KeySecret([redacted])");
/// # Ok::<(), tower_api_key::key::RandomError>(())
/// ```
pub struct KeySecret {
    text: String,
    prefix_len: usize,
}

impl KeySecret {
    /// Generates a new key in the documented format, [`KeyFormat::AVALA`].
    ///
    /// # Errors
    /// [`RandomError`] when the operating system provides no random bytes. A weaker key is never made instead.
    pub fn generate() -> Result<Self, RandomError> {
        KeyFormat::AVALA.generate()
    }

    /// Takes a key that was never cloned or printed, and the length of its public prefix.
    pub(super) fn new(text: String, prefix_len: usize) -> Self {
        Self { text, prefix_len }
    }

    /// Returns the key itself, for the one response that shows it. Copies of the returned text are not wiped.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.text
    }

    /// Returns the digest of the key, which a store keeps.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::hash(self.text.as_bytes())
    }

    /// Returns what a list shows of the key: the prefix of its format and its last four characters.
    #[must_use]
    pub fn hint(&self) -> KeyHint {
        KeyHint::with_prefix_len(self.text.as_bytes(), self.prefix_len)
    }
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret([redacted])")
    }
}

impl Drop for KeySecret {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl ZeroizeOnDrop for KeySecret {}

/// The operating system provided no random bytes, so no key or id was made.
#[derive(Debug, thiserror::Error)]
#[error("no key or id was made, because the operating system provided no random bytes: try again")]
pub struct RandomError(#[source] getrandom::Error);

pub(super) fn random(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(RandomError)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases: 67.
    #[test]
    fn generated_keys_do_not_repeat() {
        let mut digests: Vec<_> = (0..10_000).map(|_| *KeySecret::generate().unwrap().digest().as_bytes()).collect();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 10_000);
    }

    /// Cases: 101.
    #[test]
    fn secret_is_wiped_on_drop() {
        fn wiped<T: ZeroizeOnDrop>() {}
        wiped::<KeySecret>();
    }

    #[test]
    fn secret_debug_is_redacted() {
        assert_eq!(format!("{:?}", KeySecret::generate().unwrap()), "KeySecret([redacted])");
    }
}
