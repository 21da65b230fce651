//! Keys of an old table, which the service's own verifier checks once.

mod format;
mod limits;
mod negatives;
mod verification;

use std::fmt;
use std::future::Future;

use zeroize::Zeroizing;

use crate::BoxError;
use crate::key::{KeyDigest, OrganizationId};
use crate::manage::new_key::NewKey;
use crate::manage::{ImportedKey, StoredCredential};
use crate::turns::Turn;

pub use self::format::LegacyFormat;
pub use self::limits::LegacyLimits;

pub(super) use self::verification::{LegacyKeys, Verifications};

/// Checks keys against the table that a service had before, whatever its hash: bcrypt, Argon2, HMAC with a secret,
/// salted SHA-512, `id|token`, `prefix.secret`. For [`ApiKeyLayer::legacy_keys`](crate::ApiKeyLayer::legacy_keys).
///
/// ```
/// use tower_api_key::auth::{LegacyFormat, LegacyKey, LegacyVerifier};
/// use tower_api_key::manage::ImportedKey;
/// use tower_api_key::{Access, BoxError, NewKey, OrganizationId};
/// # struct Row { customer: String, name: String, bcrypt: String }
/// # struct OldTable;
/// # impl OldTable { async fn row(&self, _: &str) -> Result<Option<Row>, std::io::Error> { Ok(None) } }
/// # mod bcrypt { pub fn verify(_: &str, _: &str) -> Result<bool, std::io::Error> { Ok(false) } }
///
/// impl LegacyVerifier for OldTable {
///     type Error = BoxError;
///
///     fn formats(&self) -> Vec<LegacyFormat> {
///         vec![LegacyFormat::separated('.')]
///     }
///
///     async fn verify(&self, key: LegacyKey) -> Result<Option<(OrganizationId, ImportedKey)>, BoxError> {
///         let Some((prefix, _)) = key.parts() else { return Ok(None) };
///         let Some(row) = self.row(prefix).await? else { return Ok(None) };
///         let checked = tokio::task::spawn_blocking(move || {
///             bcrypt::verify(key.expose_secret(), &row.bcrypt).map(|is_valid| is_valid.then_some((key, row)))
///         });
///         let Some((key, row)) = checked.await?? else { return Ok(None) };
///         Ok(Some((row.customer.parse()?, key.import(NewKey::new(row.name, Access::Full)?))))
///     }
/// }
/// ```
pub trait LegacyVerifier: Send + Sync + 'static {
    /// Why the old table gave no answer. The error reaches the log and the event; the client gets a 503.
    type Error: Into<BoxError>;

    /// Returns the formats of the old keys. Called once. A key in no such format is never offered.
    fn formats(&self) -> Vec<LegacyFormat>;

    /// Returns what verifications may take. Called once. The [defaults](LegacyLimits::new) fit a slow hash.
    fn limits(&self) -> LegacyLimits {
        LegacyLimits::new()
    }

    /// Returns the organization of a valid key and what is known about it, made by [`LegacyKey::import`]. `None` when the
    /// old table has no such key.
    ///
    /// Return a row that is revoked, expired or suspended as what it is, with the setters of [`ImportedKey`]: the layer then
    /// rejects the key as such, and never offers it again.
    ///
    /// Must be cancel-safe: the future is dropped when no request waits for it any more. Move the key into a blocking task
    /// that hashes it: while the key lives, it counts against the [concurrency](LegacyLimits::with_concurrency). A panic is
    /// caught and treated as an error.
    ///
    /// # Errors
    /// When the old table cannot answer. Never use `Ok(None)` for that.
    fn verify(
        &self,
        key: LegacyKey,
    ) -> impl Future<Output = Result<Option<(OrganizationId, ImportedKey)>, Self::Error>> + Send;
}

/// A presented key in a legacy format, in plaintext. Its memory is wiped when it is dropped.
pub struct LegacyKey {
    candidate: Candidate,
    /// The place among the verifications that run at once, until the key is dropped.
    _turn: Option<Turn>,
}

impl LegacyKey {
    fn new(candidate: Candidate, turn: Turn) -> Self {
        Self { candidate, _turn: Some(turn) }
    }

    /// Returns a key in the first of these formats that it matches, to call a verifier in a test. `None` if it matches none.
    #[must_use]
    pub fn for_test(text: &str, formats: &[LegacyFormat]) -> Option<Self> {
        Some(Self { candidate: Candidate::of(text.as_bytes(), formats)?, _turn: None })
    }

    /// Returns the key itself. Copies of the returned text are not wiped.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.candidate.text
    }

    /// Returns what is in front of the first separator of its format, with the prefix, and what is behind it. `None` for
    /// a format without a separator.
    #[must_use]
    pub fn parts(&self) -> Option<(&str, &str)> {
        let (first, rest) = self.expose_secret().split_at_checked(self.candidate.separator?)?;
        Some((first, rest.get(1..)?))
    }

    /// Returns the digest under which the key is imported.
    #[must_use]
    pub const fn digest(&self) -> KeyDigest {
        self.candidate.digest
    }

    /// Returns this key as it is imported, with these facts. Its hint shows its last four characters.
    #[must_use]
    pub fn import(&self, facts: NewKey) -> ImportedKey {
        ImportedKey::new(facts, StoredCredential::from_plaintext(self.expose_secret().as_bytes()))
    }
}

impl fmt::Debug for LegacyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LegacyKey([redacted])")
    }
}

/// A key that may be offered to a verifier, if the store has no record of it.
pub(super) struct Candidate {
    text: Zeroizing<String>,
    separator: Option<usize>,
    pub(super) digest: KeyDigest,
}

impl Candidate {
    /// Returns a copy of a presented key in one of these formats.
    pub(super) fn of(presented: &[u8], formats: &[LegacyFormat]) -> Option<Self> {
        let format = formats.iter().find(|format| format.matches(presented))?;
        let text = Zeroizing::new(std::str::from_utf8(presented).ok()?.to_owned());
        Some(Self { text, separator: format.separator_of(presented), digest: KeyDigest::hash(presented) })
    }
}

/// Why [`ApiKeyLayer::legacy_keys`](crate::ApiKeyLayer::legacy_keys) rejected what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LegacyKeysError {
    /// A key that was imported would never be found by the layer.
    #[error(
        "the manager of the legacy keys is on another store than the layer: give both a clone of one store, which must have \
         a `KeyStore::id`"
    )]
    OtherStore,
    /// No key would ever be offered.
    #[error("the verifier of the legacy keys has no format: `LegacyVerifier::formats` must return one")]
    NoFormats,
}

/// A [`LegacyFormat`] that no key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LegacyFormatError {
    /// The prefix is empty, too long or not visible ASCII.
    #[error("the prefix of a legacy format has 1 to 64 characters of visible ASCII")]
    Prefix,
    /// No key has such a length.
    #[error("the lengths of a legacy format must include one of 1 to 512 bytes")]
    Lengths,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_key_is_redacted_and_has_its_parts() {
        let formats = [LegacyFormat::prefixed("sk_").unwrap(), LegacyFormat::separated('|')];
        let key = LegacyKey::for_test("12|to|ken", &formats).unwrap();
        assert_eq!(key.parts(), Some(("12", "to|ken")));
        assert_eq!(format!("{key:?}"), "LegacyKey([redacted])");
        assert_eq!(key.digest(), KeyDigest::hash(b"12|to|ken"));
        assert_eq!(LegacyKey::for_test("sk_12|token", &formats).unwrap().parts(), None);
        assert!(LegacyKey::for_test("token", &formats).is_none());
    }
}
