use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::key::{Environment, KeyId, KeyRecord, KeyStatus, OrganizationId};
use crate::time::Timestamp;

/// Whose keys a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a store must handle both")]
pub enum Organizations<'a> {
    /// Those of one organization.
    One(&'a OrganizationId),
    /// Those of every organization: for operators.
    All,
}

impl Organizations<'_> {
    /// Returns whether this organization is one of them.
    #[must_use]
    pub fn contains(&self, organization: &OrganizationId) -> bool {
        match self {
            Self::One(own) => *own == organization,
            Self::All => true,
        }
    }
}

impl<'a> From<&'a OrganizationId> for Organizations<'a> {
    fn from(organization: &'a OrganizationId) -> Self {
        Self::One(organization)
    }
}

/// Which keys to list. A key is listed if it matches every filter.
///
/// ```
/// use tower_api_key::key::KeyStatus;
/// use tower_api_key::store::ListKeys;
///
/// let query = ListKeys::new().with_status(KeyStatus::Active).with_limit(20);
/// assert_eq!(query.limit(), 20);
/// assert_eq!(ListKeys::new().with_limit(1_000_000).limit(), ListKeys::MAX_LIMIT);
/// ```
#[derive(Clone, Debug)]
pub struct ListKeys {
    status: Option<KeyStatus>,
    environment: Option<Environment>,
    search: Option<Box<str>>,
    created_by: Option<Box<str>>,
    expires_before: Option<Timestamp>,
    after: Option<Cursor>,
    limit: usize,
}

impl ListKeys {
    /// The most keys that one page can have.
    pub const MAX_LIMIT: usize = 1000;

    /// Returns a query for the newest 100 keys.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            status: None,
            environment: None,
            search: None,
            created_by: None,
            expires_before: None,
            after: None,
            limit: 100,
        }
    }

    /// Lists only keys with this status.
    #[must_use]
    pub const fn with_status(mut self, status: KeyStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// Lists only keys for this environment.
    #[must_use]
    pub fn with_environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Lists only keys whose name or hint contains this text. Upper and lower case of ASCII letters are the same.
    #[must_use]
    pub fn with_search(mut self, text: impl AsRef<str>) -> Self {
        self.search = Some(text.as_ref().to_ascii_lowercase().into());
        self
    }

    /// Lists only keys that were created by exactly this actor.
    #[must_use]
    pub fn with_created_by(mut self, actor: impl Into<Box<str>>) -> Self {
        self.created_by = Some(actor.into());
        self
    }

    /// Lists only keys with an expiry of their own before this time. A maximum age is no expiry of a key.
    #[must_use]
    pub fn with_expires_before(mut self, time: SystemTime) -> Self {
        self.expires_before = Some(Timestamp::floor(time));
        self
    }

    /// Lists the page after the one that ended with this cursor.
    #[must_use]
    pub fn with_after(mut self, cursor: impl Into<Option<Cursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// Lists at most this many keys: 1 to [`MAX_LIMIT`](Self::MAX_LIMIT).
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, Self::MAX_LIMIT);
        self
    }

    /// Returns the status that is asked for, or `None` for any.
    #[must_use]
    pub const fn status(&self) -> Option<KeyStatus> {
        self.status
    }

    /// Returns the environment that is asked for.
    #[must_use]
    pub const fn environment(&self) -> Option<&Environment> {
        self.environment.as_ref()
    }

    /// Returns the text that is asked for, in lower case.
    #[must_use]
    pub fn search(&self) -> Option<&str> {
        self.search.as_deref()
    }

    /// Returns the creator that is asked for.
    #[must_use]
    pub fn created_by(&self) -> Option<&str> {
        self.created_by.as_deref()
    }

    /// Returns the time before which keys must expire.
    #[must_use]
    pub fn expires_before(&self) -> Option<SystemTime> {
        self.expires_before.map(Timestamp::system_time)
    }

    /// Returns whether a key matches every filter at this time.
    #[must_use]
    pub fn matches(&self, key: &KeyRecord, now: SystemTime) -> bool {
        let is_early = |before| key.expires_at().is_some_and(|at| Timestamp::floor(at) < before);
        self.status.is_none_or(|status| key.status(now) == status)
            && self.environment.as_ref().is_none_or(|environment| key.environment() == Some(environment))
            && self.created_by().is_none_or(|actor| key.created_by() == Some(actor))
            && self.expires_before.is_none_or(is_early)
            && self.search().is_none_or(|text| contains(key.name(), text) || contains(key.hint().as_str(), text))
    }

    /// Returns where the page begins, or `None` for the newest key.
    #[must_use]
    pub const fn after(&self) -> Option<Cursor> {
        self.after
    }

    /// Returns the most keys that the page may have.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

/// Returns whether a text contains another one, which is in lower case.
fn contains(text: &str, lower: &str) -> bool {
    text.to_ascii_lowercase().contains(lower)
}

impl Default for ListKeys {
    fn default() -> Self {
        Self::new()
    }
}

/// A page of keys, the newest first.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The keys of this page.
    pub keys: Vec<Arc<KeyRecord>>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

impl Page {
    /// Returns a page of at most `limit` of the keys that were found. One key more than `limit` means that there is a
    /// next page.
    #[must_use]
    pub fn cut(mut found: Vec<Arc<KeyRecord>>, limit: usize) -> Self {
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more { found.last().map(|last| Cursor::after(last)) } else { None };
        Self { keys: found, next }
    }
}

/// How many keys there are, by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the statuses of a key")]
pub struct KeyCounts {
    /// How many are active.
    pub active: u64,
    /// How many are suspended.
    pub suspended: u64,
    /// How many have expired.
    pub expired: u64,
    /// How many are revoked.
    pub revoked: u64,
}

impl KeyCounts {
    /// Counts one more key with this status.
    pub const fn add(&mut self, status: KeyStatus) {
        self.set(status, self.of(status) + 1);
    }

    /// Sets how many keys have this status.
    pub const fn set(&mut self, status: KeyStatus, count: u64) {
        match status {
            KeyStatus::Active => self.active = count,
            KeyStatus::Suspended => self.suspended = count,
            KeyStatus::Expired => self.expired = count,
            KeyStatus::Revoked => self.revoked = count,
        }
    }

    /// Returns how many keys have this status.
    #[must_use]
    pub const fn of(&self, status: KeyStatus) -> u64 {
        match status {
            KeyStatus::Active => self.active,
            KeyStatus::Suspended => self.suspended,
            KeyStatus::Expired => self.expired,
            KeyStatus::Revoked => self.revoked,
        }
    }
}

/// A place in a list of keys: after the key with this creation time and id. Clients receive and return it as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    created: Timestamp,
    id: KeyId,
}

impl Cursor {
    /// Returns the place after this key.
    #[must_use]
    pub fn after(record: &KeyRecord) -> Self {
        Self { created: Timestamp::floor(record.created_at()), id: record.id() }
    }

    /// Returns when the key before this place was created.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.created.system_time()
    }

    /// Returns the id of the key before this place.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.created.seconds(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (seconds, id) = text.split_once('_').ok_or(InvalidCursor)?;
        let seconds = seconds.parse().map_err(|_| InvalidCursor)?;
        Ok(Self { created: Timestamp::from_seconds(seconds), id: id.parse().map_err(|_| InvalidCursor)? })
    }
}

/// The text is not a cursor of [`Page::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid cursor: use the cursor of the page before, or none for the first page")]
pub struct InvalidCursor;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyDigest;
    use crate::scope::Access;

    /// Cases: 206.
    #[test]
    fn cursor_parses_from_its_text() {
        let cursor = Cursor { created: Timestamp::from_seconds(-5), id: KeyId::from_u128(9) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "_", "5", "x_00000000-0000-0000-0000-000000000009", "5_9", "99999999999999999999_"] {
            assert_eq!(text.parse::<Cursor>(), Err(InvalidCursor), "{text}");
        }
    }

    proptest! {
        #[test]
        fn page_is_cut_at_the_limit(found in 0..8_usize, limit in 1..8_usize) {
            let record = |n: usize| {
                let (id, digest) = (KeyId::from_u128(n as u128), KeyDigest::hash(&[n as u8]));
                Arc::new(KeyRecord::new(id, digest, "acme".parse().unwrap(), Access::Full))
            };
            let all: Vec<_> = (0..found).map(record).collect();
            let page = Page::cut(all.clone(), limit);
            prop_assert_eq!(&page.keys[..], &all[..found.min(limit)]);
            let next = (found > limit).then(|| Cursor::after(&all[limit - 1]));
            prop_assert_eq!(page.next, next);
        }
    }

    #[test]
    fn query_returns_what_was_set() {
        let all = ListKeys::default();
        assert_eq!((all.status(), all.after(), all.limit()), (None, None, 100));
        let cursor = Cursor { created: Timestamp::from_seconds(7), id: KeyId::from_u128(9) };
        let query = all.with_status(KeyStatus::Revoked).with_after(cursor);
        assert_eq!((query.status(), query.after()), (Some(KeyStatus::Revoked), Some(cursor)));
        for (asked, limit) in [(0, 1), (1, 1), (7, 7), (1000, 1000), (1001, 1000), (usize::MAX, 1000)] {
            assert_eq!(ListKeys::new().with_limit(asked).limit(), limit);
        }
    }
}
