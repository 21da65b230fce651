use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::auth::Identity;
use crate::client::ClientNetwork;
use crate::key::{KeyId, OrganizationId};

/// Whose requests are counted together.
///
/// ```
/// use tower_api_key::key::KeyId;
/// use tower_api_key::throttle::Subject;
///
/// assert_eq!(Subject::key(KeyId::from_u128(7)).to_string(), "key:00000000-0000-0000-0000-000000000007");
/// assert_eq!(Subject::text("region-1").to_string(), "text:region-1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Key(KeyId),
    Organization(OrganizationId),
    Client(ClientNetwork),
    Anonymous(ClientNetwork),
    Identity([u8; 32]),
    Identities(OrganizationId),
    Text(Arc<str>),
    LongText([u8; 32]),
}

impl Subject {
    /// Returns the requests of one API key.
    #[must_use]
    pub const fn key(id: KeyId) -> Self {
        Self(Kind::Key(id))
    }

    /// Returns the requests of all keys of an organization.
    #[must_use]
    pub fn organization(id: &OrganizationId) -> Self {
        Self(Kind::Organization(id.clone()))
    }

    /// Returns the requests of a client, with any key or none.
    #[must_use]
    pub const fn client(network: ClientNetwork) -> Self {
        Self(Kind::Client(network))
    }

    /// Returns the anonymous requests of a client.
    #[must_use]
    pub const fn anonymous(network: ClientNetwork) -> Self {
        Self(Kind::Anonymous(network))
    }

    /// Returns the requests of one identity of an outer authenticator.
    #[must_use]
    pub fn identity(identity: &Identity) -> Self {
        let organization = identity.organization().as_str();
        let digest = Sha256::new_with_prefix((organization.len() as u64).to_be_bytes());
        Self(Kind::Identity(digest.chain_update(organization).chain_update(identity.actor()).finalize().into()))
    }

    /// Returns the requests of all identities of an organization.
    #[must_use]
    pub fn identities(organization: &OrganizationId) -> Self {
        Self(Kind::Identities(organization.clone()))
    }

    /// Returns any other subject. A text of more than 64 bytes is kept as its SHA-256.
    #[must_use]
    pub fn text(text: &str) -> Self {
        const LONGEST: usize = 64;
        if text.len() > LONGEST {
            return Self(Kind::LongText(Sha256::digest(text).into()));
        }
        Self(Kind::Text(text.into()))
    }
}

impl Subject {
    /// Returns the id, if it is a key.
    pub(super) const fn key_id(&self) -> Option<KeyId> {
        match &self.0 {
            Kind::Key(id) => Some(*id),
            _ => None,
        }
    }
}

/// A key is hashed in one piece, which costs a third of hashing its parts.
impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Kind::Key(id) => state.write(id.as_bytes()),
            other => other.hash(state),
        }
    }
}

impl From<KeyId> for Subject {
    fn from(id: KeyId) -> Self {
        Self::key(id)
    }
}

impl From<&OrganizationId> for Subject {
    fn from(id: &OrganizationId) -> Self {
        Self::organization(id)
    }
}

impl From<ClientNetwork> for Subject {
    fn from(network: ClientNetwork) -> Self {
        Self::client(network)
    }
}

impl From<&str> for Subject {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

/// Writes a text that is different for each subject, as a key of a shared store.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Key(id) => write!(f, "key:{id}"),
            Kind::Organization(id) => write!(f, "organization:{id}"),
            Kind::Client(network) => write!(f, "client:{network}"),
            Kind::Anonymous(network) => write!(f, "anonymous:{network}"),
            Kind::Identity(digest) => write!(f, "identity:{}", base16ct::HexDisplay(digest)),
            Kind::Identities(organization) => write!(f, "identities:{organization}"),
            Kind::Text(text) => write!(f, "text:{text}"),
            Kind::LongText(digest) => write!(f, "sha256:{}", base16ct::HexDisplay(digest)),
        }
    }
}

#[cfg(test)]
#[cfg(not(loom_model))]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::scope::Access;

    #[test]
    fn each_subject_has_a_text_of_its_own() {
        let (network, long) = (ClientNetwork::from(IpAddr::V4(Ipv4Addr::LOCALHOST)), "x".repeat(65));
        let organization: OrganizationId = "127.0.0.1".parse().unwrap();
        let subjects = [
            Subject::organization(&organization),
            Subject::client(network),
            Subject::anonymous(network),
            Subject::client(ClientNetwork::UNKNOWN),
            Subject::identities(&organization),
            Subject::identity(&Identity::new(organization.clone(), Access::Full, "1")),
            Subject::identity(&Identity::new("127.0.0.11".parse().unwrap(), Access::Full, "")),
            Subject::text("127.0.0.1"),
            Subject::text(&long[1..]),
            Subject::text(&long),
            Subject::text(&"x".repeat(66)),
        ];
        let texts: Vec<_> = subjects.iter().map(Subject::to_string).collect();
        for (at, text) in texts.iter().enumerate() {
            assert!(!texts[..at].contains(text) && text.len() <= 73, "{text}");
        }
        assert_eq!(subjects[9], Subject::text(&long));
    }
}
