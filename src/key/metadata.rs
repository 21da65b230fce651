use std::collections::BTreeMap;
use std::sync::Arc;

/// What the owner of a key notes about it: texts by name, such as a plan, a customer or a ticket.
///
/// At most 50 entries. A name has 1 to 40 characters, none a control character; a value has up to 500, none of them NUL.
/// Metadata reaches handlers with the [`ApiKey`](crate::ApiKey), and never decides whether a key is valid. A clone shares
/// the entries. Not for secrets: lists and events show metadata.
///
/// ```
/// use tower_api_key::key::Metadata;
///
/// let metadata = Metadata::new([("plan", "pro"), ("ticket", "OPS-7")])?;
/// assert_eq!(metadata.get("plan"), Some("pro"));
/// assert!(Metadata::new([("", "no name")]).is_err());
/// # Ok::<(), tower_api_key::key::InvalidMetadata>(())
/// ```
// `None` when empty, so that equal maps have one form and a key without metadata costs a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Option<Arc<Entries>>);

type Entries = BTreeMap<Box<str>, Box<str>>;

impl Metadata {
    /// The most entries of one key.
    pub const MAX_LEN: usize = 50;
    /// The most characters of a name.
    pub const MAX_NAME_LEN: usize = 40;
    /// The most characters of a value.
    pub const MAX_VALUE_LEN: usize = 500;

    /// Takes these entries. Of several with one name, the last one counts.
    ///
    /// # Errors
    /// [`InvalidMetadata`] when there are too many, or a name or a value is out of bounds.
    pub fn new<N, V>(entries: impl IntoIterator<Item = (N, V)>) -> Result<Self, InvalidMetadata>
    where
        N: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let mut all = Entries::new();
        for (name, value) in entries {
            let (name, value) = (name.into(), value.into());
            check(&name, &value)?;
            all.insert(name, value);
            if all.len() > Self::MAX_LEN {
                return Err(InvalidMetadata::TooMany);
            }
        }
        Ok(Self::of(all))
    }

    /// Returns no metadata.
    #[must_use]
    pub const fn empty() -> Self {
        Self(None)
    }

    /// Returns this metadata with these entries set, and then without the entries of these names.
    ///
    /// # Errors
    /// [`InvalidMetadata`] when the result has too many entries, or a name or a value is out of bounds.
    pub(crate) fn patched(
        &self,
        set: &BTreeMap<Box<str>, Box<str>>,
        remove: &[Box<str>],
    ) -> Result<Self, InvalidMetadata> {
        let mut all = self.0.as_deref().cloned().unwrap_or_default();
        all.extend(set.clone());
        remove.iter().for_each(|name| _ = all.remove(name));
        Self::new(all)
    }

    /// Returns the value with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.as_deref()?.get(name).map(|value| &**value)
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_deref().map_or(0, BTreeMap::len)
    }

    /// Returns whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.as_deref().into_iter().flatten().map(|(name, value)| (&**name, &**value))
    }

    fn of(entries: Entries) -> Self {
        Self((!entries.is_empty()).then(|| Arc::new(entries)))
    }
}

/// Why a text map is not the metadata of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMetadata {
    /// More entries than one key may have.
    #[error("metadata has at most {} entries", Metadata::MAX_LEN)]
    TooMany,
    /// A name is empty, too long or has control characters.
    #[error("a name of metadata has 1 to {} characters, none a control character", Metadata::MAX_NAME_LEN)]
    Name,
    /// A value is too long or has a NUL character.
    #[error("a value of metadata has up to {} characters, none of them NUL", Metadata::MAX_VALUE_LEN)]
    Value,
}

fn check(name: &str, value: &str) -> Result<(), InvalidMetadata> {
    if !(1..=Metadata::MAX_NAME_LEN).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(InvalidMetadata::Name);
    }
    if value.chars().count() > Metadata::MAX_VALUE_LEN || value.contains('\0') {
        return Err(InvalidMetadata::Value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn long(length: usize) -> String {
        "é".repeat(length)
    }

    /// Cases: 181.
    #[test]
    fn metadata_out_of_bounds_is_rejected() {
        use InvalidMetadata::{Name, TooMany, Value};
        let many = |count: usize| (0..count).map(|n| (format!("n{n}"), String::new())).collect::<Vec<_>>();
        let one = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        for (entries, expected) in [
            (vec![], Ok(())),
            (many(50), Ok(())),
            (many(51), Err(TooMany)),
            (one(&long(40), &long(500)), Ok(())),
            (one("a", "line\nbreak"), Ok(())),
            (one("", "x"), Err(Name)),
            (one(&long(41), "x"), Err(Name)),
            (one("a\nb", "x"), Err(Name)),
            (one("a", &long(501)), Err(Value)),
            (one("a", "nul\0"), Err(Value)),
        ] {
            let len = entries.len();
            let metadata = Metadata::new(entries);
            assert_eq!(metadata.as_ref().map(drop).map_err(|error| *error), expected);
            assert!(metadata.is_err() || metadata.is_ok_and(|metadata| metadata.len() == len));
        }
        assert_eq!(Metadata::new([("a", "1"), ("a", "2")]).unwrap().get("a"), Some("2"));
    }

    proptest! {
        /// Cases: 207.
        #[test]
        fn metadata_patched_is_a_map_patched(
            old in btree_map("[a-d]", "[0-9]", 0..4),
            set in btree_map("[a-d]", "[0-9]", 0..4),
            remove in vec("[a-d]", 0..3),
        ) {
            let mut expected = old.clone();
            expected.extend(set.clone());
            remove.iter().for_each(|name| _ = expected.remove(name));
            let set = set.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let remove: Vec<Box<str>> = remove.into_iter().map(Into::into).collect();
            let patched = Metadata::new(old).unwrap().patched(&set, &remove).unwrap();
            prop_assert!(patched.iter().eq(expected.iter().map(|(name, value)| (&**name, &**value))));
            prop_assert_eq!(patched.is_empty(), expected.is_empty());
            prop_assert_eq!(patched, Metadata::new(expected).unwrap());
        }
    }
}
