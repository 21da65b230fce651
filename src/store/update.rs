use std::collections::BTreeMap;
use std::time::SystemTime;

use super::BackendError;
use crate::client::AllowedNetworks;
use crate::key::{KeyRecord, Metadata, is_valid_name};
use crate::scope::{Access, ScopeSet};
use crate::time::Timestamp;

/// What to change about a key. What is not set stays as it is.
///
/// No update gives a key more access, more networks or more time: that takes a new key. Resuming a suspended key gives
/// back what it had. Only a looser [policy](crate::key::OrganizationPolicy) of its organization lets a key do more than
/// before too.
///
/// ```
/// use tower_api_key::scope::avala;
/// use tower_api_key::store::KeyUpdate;
///
/// let update = KeyUpdate::new().with_name("nightly").with_scopes([avala::TASKS_READ]).with_suspended(true);
/// assert_eq!(update.fields(), ["name", "scopes", "suspended"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUpdate {
    name: Option<Box<str>>,
    metadata: Option<MetadataUpdate>,
    scopes: Option<ScopeSet>,
    expires_at: Option<SystemTime>,
    suspended: Option<bool>,
    networks: Option<AllowedNetworks>,
}

/// What to change about the metadata of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct MetadataUpdate {
    /// In place of what the key has.
    replace: Option<Metadata>,
    set: BTreeMap<Box<str>, Box<str>>,
    remove: Vec<Box<str>>,
}

impl KeyUpdate {
    /// Returns an update that changes nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { name: None, metadata: None, scopes: None, expires_at: None, suspended: None, networks: None }
    }

    /// Renames the key.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Replaces the metadata of the key, and the entries that this update has set or removed so far.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = Some(MetadataUpdate { replace: Some(metadata), ..MetadataUpdate::default() });
        self
    }

    /// Sets an entry of the metadata, and leaves the others as they are. Entries add up.
    #[must_use]
    pub fn with_metadata_entry(mut self, name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        let (name, update) = (name.into(), self.metadata.get_or_insert_default());
        update.remove.retain(|removed| *removed != name);
        update.set.insert(name, value.into());
        self
    }

    /// Removes an entry of the metadata, and leaves the others as they are.
    #[must_use]
    pub fn without_metadata_entry(mut self, name: impl Into<Box<str>>) -> Self {
        let (name, update) = (name.into(), self.metadata.get_or_insert_default());
        update.set.remove(&name);
        update.remove.push(name);
        self
    }

    /// Limits the key to exactly these scopes, each of which it must have. A key with full access has all of them. An empty
    /// set leaves a key that is only accepted where any key is.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl Into<ScopeSet>) -> Self {
        self.scopes = Some(scopes.into());
        self
    }

    /// Lets the key expire at this time, rounded down to a second. It must be in the future, and not later than the present
    /// expiry, if there is one.
    #[must_use]
    pub const fn with_expires_at(mut self, time: SystemTime) -> Self {
        self.expires_at = Some(time);
        self
    }

    /// Suspends the key, or resumes it.
    #[must_use]
    pub const fn with_suspended(mut self, suspended: bool) -> Self {
        self.suspended = Some(suspended);
        self
    }

    /// Limits the key to these networks, which must be within its present ones.
    #[must_use]
    pub fn with_networks(mut self, networks: AllowedNetworks) -> Self {
        self.networks = Some(networks);
        self
    }

    /// Returns the scopes that the key is limited to, if the update changes them.
    #[must_use]
    pub const fn scopes(&self) -> Option<&ScopeSet> {
        self.scopes.as_ref()
    }

    /// Returns whether the key is suspended or resumed, if the update does either.
    #[must_use]
    pub const fn suspended(&self) -> Option<bool> {
        self.suspended
    }

    /// Returns whether the update changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::new()
    }

    /// Returns the names of what the update sets, for an audit trail: `name`, `metadata`, `scopes`, `expires_at`,
    /// `suspended` and `networks`.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        let Self { name, metadata, scopes, expires_at, suspended, networks } = self;
        let set = [
            ("name", name.is_some()),
            ("metadata", metadata.is_some()),
            ("scopes", scopes.is_some()),
            ("expires_at", expires_at.is_some()),
            ("suspended", suspended.is_some()),
            ("networks", networks.is_some()),
        ];
        set.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
    }

    /// Returns the record of this key after the update at the time `now`, for a store to keep.
    ///
    /// # Errors
    /// [`BackendError::Conflict`] when the key is revoked; [`BackendError::WouldWiden`],
    /// [`BackendError::WouldWidenNetworks`] or [`BackendError::WouldExtend`] when the key would get more;
    /// [`BackendError::ExpiryInPast`], [`BackendError::InvalidName`], [`BackendError::InvalidMetadata`] or
    /// [`BackendError::TooManyScopes`] when a value is out of bounds.
    pub fn apply(&self, key: &KeyRecord, now: SystemTime) -> Result<KeyRecord, BackendError> {
        if key.is_revoked() {
            return Err(BackendError::Conflict);
        }
        let mut updated = key.clone();
        if let Some(name) = &self.name {
            if !is_valid_name(name) {
                return Err(BackendError::InvalidName);
            }
            updated = updated.with_name(name.clone());
        }
        if let Some(update) = &self.metadata {
            updated = updated.with_metadata(update.apply(key.metadata())?);
        }
        if let Some(scopes) = &self.scopes {
            updated = updated.with_access(narrowed(key.access(), scopes)?);
        }
        if let Some(expiry) = self.expires_at {
            updated = updated.with_expires_at(sooner(key.expires_at(), expiry, now)?);
        }
        if let Some(suspended) = self.suspended {
            updated = updated.with_suspended(suspended);
        }
        if let Some(networks) = &self.networks {
            if !networks.is_within(key.networks()) {
                return Err(BackendError::WouldWidenNetworks);
            }
            updated = updated.with_networks(networks.clone());
        }
        Ok(updated)
    }
}

impl MetadataUpdate {
    fn apply(&self, old: &Metadata) -> Result<Metadata, BackendError> {
        Ok(self.replace.as_ref().unwrap_or(old).patched(&self.set, &self.remove)?)
    }
}

fn narrowed(access: &Access, scopes: &ScopeSet) -> Result<Access, BackendError> {
    if scopes.len() > ScopeSet::MAX_LEN {
        return Err(BackendError::TooManyScopes);
    }
    match access.scopes() {
        Some(have) if !have.contains_all(scopes) => Err(BackendError::WouldWiden),
        _ => Ok(Access::Scoped(scopes.clone())),
    }
}

fn sooner(old: Option<SystemTime>, new: SystemTime, now: SystemTime) -> Result<SystemTime, BackendError> {
    let new = Timestamp::floor(new);
    if new.is_reached(now) {
        return Err(BackendError::ExpiryInPast);
    }
    match old.map(Timestamp::floor) {
        Some(old) if new > old => Err(BackendError::WouldExtend),
        _ => Ok(new.system_time()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    use super::*;
    use crate::decision::decide;
    use crate::key::{InvalidMetadata as Bounds, KeyDigest, KeyId};
    use crate::scope::{Requirement, Scope};

    const SCOPES: [Scope; 3] = [Scope::from_static("a"), Scope::from_static("b"), Scope::from_static("c")];
    const NETWORKS: [&str; 5] = ["*", "192.0.2.0/30", "192.0.2.0/31 192.0.2.3", "192.0.2.1", "192.0.2.0/31"];

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn key(access: Access) -> KeyRecord {
        KeyRecord::new(KeyId::from_u128(1), KeyDigest::hash(b"key"), "acme".parse().unwrap(), access)
    }

    fn scopes() -> impl Strategy<Value = ScopeSet> {
        subsequence(SCOPES.to_vec(), 0..=3).prop_map(|scopes| scopes.into_iter().collect())
    }

    fn networks() -> impl Strategy<Value = AllowedNetworks> {
        select(NETWORKS.to_vec()).prop_map(|text| text.parse().unwrap())
    }

    fn any_key() -> impl Strategy<Value = KeyRecord> {
        let access = prop_oneof![Just(Access::Full), scopes().prop_map(Access::Scoped)];
        let expires = prop::option::of(1..10_u64);
        (access, expires, networks()).prop_map(|(access, expires, networks)| {
            key(access).with_expires_at(expires.map(at)).with_networks(networks)
        })
    }

    fn any_update() -> impl Strategy<Value = KeyUpdate> {
        let metadata = prop_oneof![Just(None), ("[ab]", "[01]").prop_map(Some)];
        let values = (
            prop::option::of("[a-z]{1,3}"),
            metadata,
            prop::option::of(scopes()),
            prop::option::of(0..12_u64),
            prop::option::of(networks()),
            prop::option::of(Just(true)),
        );
        values.prop_map(|(name, metadata, scopes, expires, networks, suspended)| {
            let mut update = KeyUpdate::new();
            if let Some(name) = name {
                update = update.with_name(name);
            }
            if let Some((name, value)) = metadata {
                update = update.with_metadata_entry(name, value);
            }
            if let Some(scopes) = scopes {
                update = update.with_scopes(scopes);
            }
            if let Some(expires) = expires {
                update = update.with_expires_at(at(expires));
            }
            if let Some(networks) = networks {
                update = update.with_networks(networks);
            }
            suspended.map_or(update.clone(), |suspended| update.with_suspended(suspended))
        })
    }

    /// Every request that a key could make: what it asks for, when, and from where.
    fn accepted(record: &KeyRecord) -> Vec<(usize, u64, Option<u8>)> {
        let mut requirements = vec![Requirement::any_key(), Requirement::full_access()];
        requirements.extend(SCOPES.map(Requirement::from));
        let clients = [None, Some(0), Some(1), Some(2), Some(3), Some(4)];
        let requests = (0..requirements.len()).flat_map(|asked| {
            (0..12_u64).flat_map(move |now| clients.into_iter().map(move |client| (asked, now, client)))
        });
        let is_accepted = |(asked, now, client): &(usize, u64, Option<u8>)| {
            let address = client.map(|last| [192, 0, 2, last].into());
            decide(record.digest(), Some(record), &requirements[*asked], || at(*now), || address).is_ok()
        };
        requests.filter(is_accepted).collect()
    }

    proptest! {
        /// Cases: 182.
        ///
        /// Resuming is the one exception: it gives back what the key had before it was suspended.
        #[test]
        fn updates_allow_no_request_that_was_rejected(
            key in any_key(),
            updates in prop::collection::vec((any_update(), 0..12_u64), 1..6),
        ) {
            let mut record = key;
            for (update, now) in updates {
                let before = accepted(&record);
                let Ok(updated) = update.apply(&record, at(now)) else { continue };
                let more: Vec<_> = accepted(&updated).into_iter().filter(|request| !before.contains(request)).collect();
                prop_assert!(more.is_empty(), "{:?} of {:?} allows {:?}", update, record, more);
                let (resumed, paused) = (KeyUpdate::new().with_suspended(false), updated.clone().with_suspended(true));
                let never_paused = updated.clone().with_suspended(false);
                prop_assert_eq!(resumed.apply(&paused, at(now)).unwrap(), never_paused);
                record = updated;
            }
        }

        /// Cases: 207.
        /// What is asked for is what the key has afterwards, and nothing else changes.
        #[test]
        fn update_applied_sets_its_fields_alone(key in any_key(), update in any_update(), now in 0..12_u64) {
            let Ok(updated) = update.apply(&key, at(now)) else { return Ok(()) };
            let fields = update.fields();
            prop_assert_eq!(update.is_empty(), fields.is_empty());
            for (field, same) in [
                ("name", updated.name() == key.name()),
                ("metadata", updated.metadata() == key.metadata()),
                ("scopes", updated.access() == key.access()),
                ("expires_at", updated.expires_at() == key.expires_at()),
                ("suspended", updated.is_suspended() == key.is_suspended()),
                ("networks", updated.networks() == key.networks()),
            ] {
                prop_assert!(same || fields.contains(&field), "{}", field);
            }
            prop_assert!(update.apply(&updated, at(now)).is_ok_and(|again| again == updated));
        }
    }

    /// Cases: 182.
    #[test]
    fn update_that_is_not_allowed_has_a_typed_error() {
        use BackendError::*;
        let wide = |count| (0..count).map(|n| Scope::new(format!("s{n}")).unwrap()).collect::<ScopeSet>();
        let new = KeyUpdate::new;
        let narrow = key(Access::scoped([SCOPES[0].clone()]))
            .with_expires_at(at(100))
            .with_networks("192.0.2.0/24".parse().unwrap());
        let most = Metadata::new((0..50).map(|n| (format!("n{n}"), "x"))).unwrap();
        let noted = narrow.clone().with_metadata(most);
        let table: [(&KeyRecord, KeyUpdate, BackendError); 14] = [
            (&narrow.clone().with_revoked_at(at(1)), new().with_name("x"), Conflict),
            (&narrow.clone().with_revoked_at(at(1)), new(), Conflict),
            (&narrow, new().with_scopes([SCOPES[1].clone()]), WouldWiden),
            (&key(Access::Full), new().with_scopes(wide(257)), TooManyScopes),
            (&narrow, new().with_networks(AllowedNetworks::ANYWHERE), WouldWidenNetworks),
            (&narrow, new().with_networks("192.0.3.1".parse().unwrap()), WouldWidenNetworks),
            (&narrow, new().with_expires_at(at(101)), WouldExtend),
            (&narrow, new().with_expires_at(at(50)), ExpiryInPast),
            (&narrow, new().with_name(" "), InvalidName),
            (&narrow, new().with_name("x".repeat(101)), InvalidName),
            (&narrow, new().with_name("a\nb"), InvalidName),
            (&narrow, new().with_metadata_entry("", "x"), InvalidMetadata(Bounds::Name)),
            (&narrow, new().with_metadata_entry("x", "\0"), InvalidMetadata(Bounds::Value)),
            (&noted, new().with_metadata_entry("one more", "x"), InvalidMetadata(Bounds::TooMany)),
        ];
        for (key, update, expected) in table {
            let result = update.apply(key, at(50)).map(drop).unwrap_err();
            assert_eq!(format!("{result:?}"), format!("{expected:?}"), "{update:?}");
        }
        let fits = KeyUpdate::new().without_metadata_entry("n0").with_metadata_entry("one more", "x");
        assert_eq!(fits.apply(&noted, at(50)).unwrap().metadata().len(), 50);
    }

    /// Cases: 207.
    #[test]
    fn update_of_as_many_scopes_as_allowed_keeps_all() {
        let scopes = |count| (0..count).map(|n| Scope::new(format!("s{n}")).unwrap()).collect::<ScopeSet>();
        let most = scopes(ScopeSet::MAX_LEN);
        let key = key(Access::Scoped(scopes(ScopeSet::MAX_LEN + 1)));
        let update = KeyUpdate::new().with_scopes(most.clone());
        assert_eq!(update.apply(&key, at(0)).unwrap().access(), &Access::Scoped(most));
    }
}
