//! Cases: a layer, its keys, and requests with changes between them.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use tower_api_key::routes::Unlisted;
use tower_api_key::test_kit::Fault;

/// How many requests each case has.
pub(crate) const REQUESTS: u32 = 10;
pub(crate) const KEYS: usize = 4;
pub(crate) const SCOPES: [&str; 3] = ["datasets.read", "items.write", "items"];
/// The network that keys are limited to.
pub(crate) const OFFICE: &str = "192.0.2.0/24";
/// In seconds.
pub(crate) const OVERLAP: u64 = 5;
pub(crate) const ORGANIZATIONS: [&str; 2] = ["acme", "globex"];

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) guard: Guard,
    pub(crate) bearer: bool,
    pub(crate) require_formats: bool,
    pub(crate) optional: bool,
    pub(crate) awaited: bool,
    /// Whether there is a cache in front of the store.
    pub(crate) cached: bool,
    pub(crate) keys: Vec<Key>,
    pub(crate) steps: Vec<Step>,
}

/// What the layer asks for.
#[derive(Clone, Debug)]
pub(crate) enum Guard {
    AnyKey,
    FullAccess,
    AllOf(Vec<&'static str>),
    AnyOf(Vec<&'static str>),
    Table(Unlisted),
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) organization: usize,
    /// `None` is full access.
    pub(crate) scopes: Option<Vec<&'static str>>,
    /// In seconds after the epoch.
    pub(crate) expires: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) change: Option<Change>,
    /// Whether another process makes the change, so that no cache learns of it.
    pub(crate) elsewhere: bool,
    pub(crate) fault: Fault,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    /// The last number of an address in the office, or `None` for a client elsewhere.
    pub(crate) client: Option<u8>,
    pub(crate) headers: Vec<(Place, Presented)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Revoke(usize),
    Regenerate(usize),
    Narrow(usize, Vec<&'static str>),
    Suspend(usize, bool),
    /// Expire at this time.
    Shorten(usize, u64),
    /// Limit to [`OFFICE`].
    Confine(usize),
    /// Regenerate, with an overlap of [`OVERLAP`].
    Overlap(usize),
    /// What has ended, of an organization.
    Purge(usize),
    Disable(usize, bool),
    MaximumAge(usize, Option<u64>),
    /// The clock is set, and no time passes.
    Clock(u64),
    /// So many seconds pass.
    Wait(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header,
    Bearer,
    LowerCaseBearer,
    OtherScheme,
    Underscores,
    OtherHeader,
}

#[derive(Clone, Debug)]
pub(crate) enum Presented {
    Key(usize),
    /// A key that was changed in this way.
    Changed(usize, Alteration),
    Blank(&'static str),
    Bytes(Vec<u8>),
    Long(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Alteration {
    WithoutTheLast,
    WithOneMore,
    UpperCase,
    SpaceInFront,
    Twice,
    OneBit(usize),
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let flags = (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2), any::<bool>(), any::<bool>());
    let keys = prop::collection::vec(key(), KEYS);
    let steps = prop::collection::vec(step(), REQUESTS as usize);
    (guard(), flags, keys, steps).prop_map(
        |(guard, (bearer, require_formats, optional, awaited, cached), keys, steps)| Case {
            guard,
            bearer,
            require_formats,
            optional,
            awaited,
            cached,
            keys,
            steps,
        },
    )
}

fn scopes() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(SCOPES.to_vec(), 0..=SCOPES.len())
}

fn guard() -> impl Strategy<Value = Guard> {
    prop_oneof![
        2 => Just(Guard::AnyKey),
        1 => Just(Guard::FullAccess),
        2 => scopes().prop_map(Guard::AllOf),
        2 => scopes().prop_map(Guard::AnyOf),
        4 => select(vec![Unlisted::Deny, Unlisted::FullAccess, Unlisted::InsecureAnyKey]).prop_map(Guard::Table),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    let scopes = prop_oneof![Just(None), scopes().prop_map(Some)];
    let expires = prop_oneof![2 => Just(None), 1 => seconds().prop_map(Some)];
    (0..ORGANIZATIONS.len(), scopes, expires).prop_map(|(organization, scopes, expires)| Key {
        organization,
        scopes,
        expires,
    })
}

/// Few of them, so that they often meet.
fn seconds() -> impl Strategy<Value = u64> {
    1_000..1_020_u64
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        20 => Just(Fault::None),
        1 => Just(Fault::Error),
        1 => Just(Fault::Hang),
        1 => Just(Fault::Panic),
        1 => Just(Fault::Slow(Duration::from_millis(300))),
        1 => Just(Fault::Slow(Duration::from_millis(1_500))),
    ];
    let method = select(vec!["GET", "GET", "GET", "HEAD", "POST", "OPTIONS", "MADEUP"]);
    let path = select(vec![
        "/items/7",
        "/items/7",
        "/items/7",
        "/any",
        "/full",
        "/open",
        "/nowhere",
        "/open/",
        "//open",
        "/OPEN",
        "/items/%2f",
        "/items/..",
        "/items/7;x",
        "/%6fpen",
        "/items/7?x=/open",
    ]);
    let headers = prop_oneof![
        8 => key_of_the_store().prop_map(|key| vec![(Place::Header, key)]),
        4 => prop::collection::vec((place(), presented()), 0..3),
    ];
    let change = (prop::option::weighted(0.3, change()), any::<bool>());
    let client = prop::option::weighted(0.7, 0..=255_u8);
    (change, fault, method, path, client, headers).prop_map(
        |((change, elsewhere), fault, method, path, client, headers)| Step {
            change,
            elsewhere,
            fault,
            method,
            path,
            client,
            headers,
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => (0..KEYS).prop_map(Change::Revoke),
        2 => (0..KEYS).prop_map(Change::Regenerate),
        2 => (0..KEYS, scopes()).prop_map(|(which, scopes)| Change::Narrow(which, scopes)),
        2 => (0..KEYS, any::<bool>()).prop_map(|(which, suspended)| Change::Suspend(which, suspended)),
        1 => (0..KEYS, seconds()).prop_map(|(which, at)| Change::Shorten(which, at)),
        1 => (0..KEYS).prop_map(Change::Confine),
        1 => (0..KEYS).prop_map(Change::Overlap),
        1 => (0..ORGANIZATIONS.len()).prop_map(Change::Purge),
        1 => (0..ORGANIZATIONS.len(), any::<bool>()).prop_map(|(which, disabled)| Change::Disable(which, disabled)),
        1 => (0..ORGANIZATIONS.len(), prop::option::of(0..30_u64)).prop_map(|(which, age)| Change::MaximumAge(which, age)),
        3 => seconds().prop_map(Change::Clock),
        2 => (0..8_u64).prop_map(Change::Wait),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    select(vec![
        Place::Header,
        Place::Header,
        Place::Bearer,
        Place::LowerCaseBearer,
        Place::OtherScheme,
        Place::Underscores,
        Place::OtherHeader,
    ])
}

fn key_of_the_store() -> impl Strategy<Value = Presented> {
    (0..KEYS).prop_map(Presented::Key)
}

fn presented() -> impl Strategy<Value = Presented> {
    let alteration = prop_oneof![
        Just(Alteration::WithoutTheLast),
        Just(Alteration::WithOneMore),
        Just(Alteration::UpperCase),
        Just(Alteration::SpaceInFront),
        Just(Alteration::Twice),
        (0..352_usize).prop_map(Alteration::OneBit),
    ];
    let byte = prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8, Just(b'\t')];
    prop_oneof![
        6 => key_of_the_store(),
        3 => (0..KEYS, alteration).prop_map(|(key, alteration)| Presented::Changed(key, alteration)),
        1 => select(vec!["", " ", "\t \t"]).prop_map(Presented::Blank),
        2 => prop::collection::vec(byte, 0..60).prop_map(Presented::Bytes),
        1 => select(vec![511_usize, 512, 513, 8_192]).prop_map(Presented::Long),
    ]
}
