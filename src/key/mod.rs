//! Keys: the secret that its owner sees once, its digest, and the record that a store keeps.
//!
//! ```
//! use tower_api_key::key::{KeyDigest, KeyFormat};
//!
//! let secret = KeyFormat::AVALA.generate()?;
//! assert!(secret.expose_secret().starts_with("avk_"));
//! // A store keeps SHA-256 of the key, and never the key.
//! assert_eq!(secret.digest(), KeyDigest::hash(secret.expose_secret().as_bytes()));
//! # Ok::<(), tower_api_key::key::RandomError>(())
//! ```

mod digest;
mod environment;
mod format;
mod hint;
mod id;
mod metadata;
mod name;
pub(crate) mod organization;
mod policy;
mod record;
mod scan;
mod secret;
mod status;

pub use self::digest::{InvalidDigest, KeyDigest};
pub use self::environment::{Environment, InvalidEnvironment};
pub use self::format::{InvalidPrefix, KeyFormat};
pub use self::hint::KeyHint;
pub use self::id::{InvalidKeyId, KeyId};
pub use self::metadata::{InvalidMetadata, Metadata};
pub(crate) use self::name::{MAX_NAME_LEN, is_valid_name};
pub use self::organization::InvalidOrganization;
pub(crate) use self::organization::OrganizationId;
pub use self::policy::OrganizationPolicy;
pub use self::record::KeyRecord;
pub use self::secret::{KeySecret, RandomError};
pub use self::status::{InvalidKeyStatus, KeyStatus};
