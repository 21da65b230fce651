use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use crate::key::{KeyId, KeyRecord, KeyStatus};
use crate::time::Timestamp;

/// Which keys to list.
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
    after: Option<Cursor>,
    limit: usize,
}

impl ListKeys {
    /// The most keys that one page can have.
    pub const MAX_LIMIT: usize = 1000;

    /// Returns a query for the newest 100 keys.
    #[must_use]
    pub const fn new() -> Self {
        Self { status: None, after: None, limit: 100 }
    }

    /// Lists only keys with this status.
    #[must_use]
    pub const fn with_status(mut self, status: KeyStatus) -> Self {
        self.status = Some(status);
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
