//! Keys: the secret that is shown once, its digest, and the record that a store keeps.

mod digest;
mod format;
mod hint;
mod id;
mod label;
mod organization;
pub(crate) mod presented;
mod record;
mod secret;
mod used;

pub use self::digest::KeyDigest;
pub use self::format::{InvalidPrefix, KeyFormat};
pub use self::hint::KeyHint;
pub use self::id::{InvalidKeyId, KeyId};
pub use self::organization::{InvalidOrganization, OrganizationId, OrganizationPolicy};
pub use self::presented::CredentialError;
pub use self::record::{KeyRecord, KeyStatus};
pub use self::secret::{KeySecret, RandomError};
