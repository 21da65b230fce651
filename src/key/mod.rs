//! Keys: the secret that its owner sees once, its digest, and the record that a store keeps.

mod digest;
mod format;
mod hint;
mod id;
pub(crate) mod organization;
mod policy;
mod record;
mod secret;
mod status;

pub use self::digest::{InvalidDigest, KeyDigest};
pub use self::format::{InvalidPrefix, KeyFormat};
pub use self::hint::KeyHint;
pub use self::id::{InvalidKeyId, KeyId};
pub use self::organization::InvalidOrganization;
pub(crate) use self::organization::OrganizationId;
pub use self::policy::OrganizationPolicy;
pub use self::record::KeyRecord;
pub use self::secret::{KeySecret, RandomError};
pub use self::status::{InvalidKeyStatus, KeyStatus};
