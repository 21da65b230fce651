//! Bodies of any bytes for the console's API: a key gets what the body asks for by the documented rules, an update never
//! gives it more, and a rejected call changes nothing.
//!
//! The first byte selects the call, and the second one the key that it is about. The rest of the first line is the content
//! type, JSON if empty. What follows is the body.
#![no_main]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use http::{Request, StatusCode};
use http_body::{Body, Frame};
use ipnet::IpNet;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;
use tower_api_key::client::AllowedNetworks;
use tower_api_key::console::{Console, Operator};
use tower_api_key::key::{KeyDigest, KeyFormat, KeyId, KeyRecord, Metadata};
use tower_api_key::manage::IssueRules;
use tower_api_key::scope::{ScopeCatalog, ScopeSet};
use tower_api_key::store::ListKeys;
use tower_api_key::{Access, KeyManager, MemoryStore, OrganizationId, Scope};

const SCOPES: [Scope; 3] =
    [Scope::from_static("items.read"), Scope::from_static("items.write"), Scope::from_static("tasks.read")];
const ENVIRONMENTS: [&str; 2] = ["live", "test"];
const ID: KeyId = KeyId::from_u128(7);
/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;
const YEAR: u64 = 365 * 86_400;
/// No response repeats it.
const SECRET: &str = "sk_live_";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());
static ACME: LazyLock<OrganizationId> = LazyLock::new(|| "acme".parse().unwrap());

#[derive(Clone, Copy, PartialEq)]
enum Call {
    Create,
    Update,
    Revoke,
    Regenerate,
}

fuzz_target!(|data: &[u8]| {
    let [call, key, rest @ ..] = data else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (content_type, body) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let content_type = if content_type.is_empty() { b"application/json" } else { content_type };
    let (call, path) = match call % 4 {
        0 => (Call::Create, String::from("/")),
        1 => (Call::Update, format!("/{ID}/")),
        2 => (Call::Revoke, format!("/{ID}/revoke/")),
        _ => (Call::Regenerate, format!("/{ID}/regenerate/")),
    };
    let Ok(request) = Request::builder()
        .method(if call == Call::Update { "PATCH" } else { "POST" })
        .uri(path)
        .header("content-type", content_type)
        .extension(Operator::new(ACME.clone(), "ada"))
        .body(Chunks::of(body))
    else {
        return;
    };

    let (store, before) = (MemoryStore::builder().clock(now).build(), key_before(*key));
    store.add(before.clone()).unwrap();
    let keys = KeyManager::new(store).with_rules(rules());
    let api = Console::new(keys.clone()).clock(now).api();
    let (status, response) = RUNTIME.block_on(async {
        let response = api.oneshot(request).await.unwrap();
        let status = response.status();
        (status, axum::body::to_bytes(axum::body::Body::new(response.into_body()), usize::MAX).await.unwrap())
    });
    let response: Value = serde_json::from_slice(&response).expect("every response is JSON");
    let after = RUNTIME.block_on(keys.list(&ACME, &ListKeys::new())).unwrap().keys;
    let own = after.iter().find(|key| key.id() == ID).expect("no call deletes a key");
    let new = after.iter().find(|key| key.id() != ID);
    assert!(after.len() <= 2);

    let form = if body.is_empty() && matches!(call, Call::Revoke | Call::Regenerate) {
        is_json(content_type).then(Map::new)
    } else {
        form(content_type, body)
    };
    if !status.is_success() {
        assert!(matches!(status.as_u16(), 400 | 409 | 413 | 415), "{status}");
        assert!(response.as_object().is_some_and(|response| response.keys().eq(["detail"])), "{response}");
        assert!(!response.to_string().contains(SECRET), "{response}");
        assert!(**own == before && new.is_none(), "a rejected call changed a key");
    }
    let Some(form) = form else {
        assert!(matches!(status.as_u16(), 400 | 413 | 415), "{status}");
        return;
    };
    match call {
        Call::Create => {
            assert_eq!(**own, before);
            let wanted = wanted(&form);
            assert_eq!(status, if wanted.is_some() { StatusCode::CREATED } else { StatusCode::BAD_REQUEST });
            assert_eq!(new.is_some(), wanted.is_some());
            for (wanted, new) in wanted.iter().zip(new) {
                assert_created(new, wanted, &response);
            }
        }
        Call::Update => {
            assert!(new.is_none());
            match change(&form) {
                // The manager knows of a revoked key before it reads the name.
                None if before.is_revoked() => assert!(!status.is_success()),
                None => assert_eq!(status, StatusCode::BAD_REQUEST),
                Some(change) => {
                    let expected = if change.is_allowed(&before) { 200 } else { status.as_u16().max(400) };
                    assert_eq!(status.as_u16(), expected, "{change:?} of {before:?}");
                    if status.is_success() {
                        assert_eq!(**own, change.apply(before));
                    }
                }
            }
        }
        Call::Revoke => {
            assert_eq!(status, StatusCode::OK);
            let revoked_at = before.revoked_at().unwrap_or(now());
            assert!(new.is_none() && **own == before.with_revoked_at(revoked_at));
        }
        Call::Regenerate => assert_regenerated(status, &form, &before, own, new, &response),
    }
});

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn rules() -> IssueRules {
    let format = |(prefix, environment): (&'static str, &str)| {
        KeyFormat::new(prefix).unwrap().with_environment(environment.parse().unwrap())
    };
    IssueRules::new()
        .with_formats([("acme_live_", "live"), ("acme_test_", "test")].map(format))
        .with_catalog(ScopeCatalog::new(SCOPES))
}

/// A key of each kind.
fn key_before(kind: u8) -> KeyRecord {
    let access = if kind & 1 == 0 { Access::scoped([SCOPES[0].clone(), SCOPES[1].clone()]) } else { Access::Full };
    let key = KeyRecord::new(ID, KeyDigest::hash(b"key"), ACME.clone(), access)
        .with_name("old")
        .with_environment("live".parse::<tower_api_key::key::Environment>().unwrap())
        .with_created_at(now() - Duration::from_secs(YEAR))
        .with_metadata(Metadata::new([("plan", "pro")]).unwrap());
    let key = if kind & 2 == 0 { key.with_expires_at(now() + Duration::from_secs(YEAR)) } else { key };
    let key = if kind & 4 == 0 { key } else { key.with_networks("192.0.2.0/24 2001:db8::/32".parse().unwrap()) };
    match kind >> 3 & 3 {
        1 => key.with_suspended(true),
        2 => key.with_revoked_at(now() - Duration::from_secs(60)),
        3 => key.with_expires_at(now() - Duration::from_secs(60)),
        _ => key,
    }
}

/// The body of a request, in pieces of 1000 bytes.
struct Chunks(VecDeque<Bytes>);

impl Chunks {
    fn of(body: &[u8]) -> Self {
        Self(body.chunks(1000).map(Bytes::copy_from_slice).collect())
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_json(content_type: &[u8]) -> bool {
    let text = std::str::from_utf8(content_type).ok().filter(|text| text.is_ascii()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn form(content_type: &[u8], body: &[u8]) -> Option<Map<String, Value>> {
    if !is_json(content_type) || body.len() > 65_536 {
        return None;
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// A field that may be missing or null, and must be valid otherwise.
fn optional<T>(form: &Map<String, Value>, name: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
    match form.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => read(value).map(Some),
    }
}

fn name(value: &Value) -> Option<String> {
    let name = value.as_str()?;
    let is_valid = !name.trim().is_empty() && name.chars().count() <= 100 && !name.chars().any(char::is_control);
    is_valid.then(|| name.to_owned())
}

fn scopes(value: &Value) -> Option<BTreeSet<String>> {
    let scopes = value.as_array()?.iter().map(|scope| scope.as_str().map(str::to_owned));
    let scopes: BTreeSet<String> = scopes.collect::<Option<_>>()?;
    let is_known = |scope: &String| SCOPES.iter().any(|known| known.as_str() == scope);
    (!scopes.is_empty() && scopes.iter().all(is_known)).then_some(scopes)
}

fn metadata(value: &Value) -> Option<BTreeMap<String, String>> {
    let entries = value.as_object()?.iter().map(|(name, value)| {
        let value = value.as_str()?;
        let is_name = (1..=40).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        let is_value = value.chars().count() <= 500 && !value.contains('\0');
        (is_name && is_value).then(|| (name.clone(), value.to_owned()))
    });
    entries.collect::<Option<BTreeMap<_, _>>>().filter(|entries| entries.len() <= 50)
}

fn networks(value: &Value) -> Option<AllowedNetworks> {
    let network = |text: &Value| {
        let text = text.as_str()?;
        text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()
    };
    AllowedNetworks::only(value.as_array()?.iter().map(network).collect::<Option<Vec<_>>>()?).ok()
}

/// A time in the future, in RFC 3339.
fn expiry(value: &Value) -> Option<SystemTime> {
    let text = value.as_str().filter(|text| text.chars().count() <= 100)?;
    Some(UNIX_EPOCH + Duration::from_secs(seconds(text)?)).filter(|time| *time > now())
}

/// The seconds since 1970, year by year and month by month.
fn seconds(text: &str) -> Option<u64> {
    let digits = |text: &str| -> Option<u64> {
        let all = text.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| text.parse().ok())?
    };
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let has_shape = |text: &str, shape: &str| {
        text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(|(byte, shape)| shape == b'0' || byte == shape)
    };
    if !has_shape(date, "0000-00-00") || !has_shape(time, "00:00:00") {
        return None;
    }
    let [year, month, day] = date.split('-').map(digits).collect::<Option<Vec<_>>>()?.try_into().ok()?;
    let [hour, minute, second] = time.split(':').map(digits).collect::<Option<Vec<_>>>()?.try_into().ok()?;
    let offset = match rest.strip_prefix('.') {
        None => rest,
        Some(rest) => Some(rest.trim_start_matches(|digit: char| digit.is_ascii_digit())).filter(|end| *end != rest)?,
    };
    let ahead = if offset == "Z" || offset == "z" {
        0
    } else {
        let (sign, clock) = offset.split_at_checked(1)?;
        if !has_shape(clock, "00:00") {
            return None;
        }
        let [hour, minute] = clock.split(':').map(digits).collect::<Option<Vec<_>>>()?.try_into().ok()?;
        let seconds = (hour * 3600 + minute * 60) as i64;
        let is_valid = hour < 24 && minute < 60;
        match sign {
            "+" if is_valid => seconds,
            "-" if is_valid => -seconds,
            _ => return None,
        }
    };
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let months = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = month.checked_sub(1).and_then(|month| months.get(month as usize))?;
    if !(1..=*length).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let years: u64 = (1970..year).map(|year| 365 + u64::from(is_leap(year))).sum();
    let days = years + months[..month as usize - 1].iter().sum::<u64>() + day - 1;
    // Earlier years are in the past, whatever the offset.
    let local = if year < 1970 { 0 } else { days * 86_400 + hour * 3600 + minute * 60 + second.min(59) };
    Some(local.saturating_add_signed(-ahead))
}

/// What a new key is asked to be.
struct Wanted {
    name: String,
    /// `None` for full access.
    scopes: Option<BTreeSet<String>>,
    expires_at: Option<SystemTime>,
    metadata: BTreeMap<String, String>,
    networks: Option<AllowedNetworks>,
    environment: String,
}

fn wanted(form: &Map<String, Value>) -> Option<Wanted> {
    let full = optional(form, "full_access", Value::as_bool)?.unwrap_or(false);
    let scopes = optional(form, "scopes", scopes)?;
    if full == scopes.is_some() {
        return None;
    }
    let environment = |value: &Value| ENVIRONMENTS.iter().find(|known| value.as_str() == Some(known)).copied();
    Some(Wanted {
        name: name(form.get("name")?)?,
        scopes,
        expires_at: optional(form, "expires_at", expiry)?,
        metadata: optional(form, "metadata", metadata)?.unwrap_or_default(),
        networks: optional(form, "allowed_networks", networks)?,
        environment: optional(form, "environment", environment)?.unwrap_or("live").to_owned(),
    })
}

fn assert_created(new: &KeyRecord, wanted: &Wanted, response: &Value) {
    assert_eq!(new.name(), wanted.name);
    assert_eq!(scopes_of(new), wanted.scopes);
    assert_eq!(new.access().is_full(), wanted.scopes.is_none());
    assert_eq!(new.expires_at(), wanted.expires_at);
    assert_eq!(metadata_of(new), wanted.metadata);
    assert_eq!(*new.networks(), wanted.networks.clone().unwrap_or_default());
    assert_eq!(new.environment().map(|environment| environment.as_str()), Some(&*wanted.environment));
    assert_eq!((new.organization(), new.created_by()), (&*ACME, Some("ada")));
    assert_shown_once(new, response);
    let prefix = format!("acme_{}_", wanted.environment);
    assert!(response["api_key"].as_str().is_some_and(|key| key.starts_with(&prefix)));
}

fn assert_shown_once(new: &KeyRecord, response: &Value) {
    let key = response["api_key"].as_str().expect("the new key is in the response");
    assert_eq!(*new.digest(), KeyDigest::hash(key.as_bytes()));
    assert_eq!(response["uid"], new.id().to_string());
}

fn scopes_of(key: &KeyRecord) -> Option<BTreeSet<String>> {
    Some(key.access().scopes()?.iter().map(|scope| scope.as_str().to_owned()).collect())
}

fn metadata_of(key: &KeyRecord) -> BTreeMap<String, String> {
    key.metadata().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What a key is asked to become.
#[derive(Debug)]
struct Change {
    name: Option<String>,
    scopes: Option<BTreeSet<String>>,
    expires_at: Option<SystemTime>,
    metadata: Option<BTreeMap<String, String>>,
    networks: Option<AllowedNetworks>,
    suspended: Option<bool>,
}

fn change(form: &Map<String, Value>) -> Option<Change> {
    Some(Change {
        name: match form.get("name") {
            None => None,
            Some(value) => Some(name(value)?),
        },
        scopes: optional(form, "scopes", scopes)?,
        expires_at: optional(form, "expires_at", expiry)?,
        metadata: optional(form, "metadata", metadata)?,
        networks: optional(form, "allowed_networks", networks)?,
        suspended: optional(form, "suspended", Value::as_bool)?,
    })
}

impl Change {
    /// Whether the key may be changed, and gets nothing that it does not have.
    fn is_allowed(&self, before: &KeyRecord) -> bool {
        let scopes = self.scopes.iter().all(|new| scopes_of(before).is_none_or(|old| new.is_subset(&old)));
        let expiry = self.expires_at.iter().all(|new| before.expires_at().is_none_or(|old| *new <= old));
        let networks = self.networks.iter().all(|new| new.is_within(before.networks()));
        !before.is_revoked() && scopes && expiry && networks
    }

    fn apply(self, mut key: KeyRecord) -> KeyRecord {
        if let Some(name) = self.name {
            key = key.with_name(name);
        }
        if let Some(scopes) = self.scopes {
            let scopes: ScopeSet = scopes.into_iter().map(|scope| Scope::new(scope).unwrap()).collect();
            key = key.with_access(Access::Scoped(scopes));
        }
        if let Some(time) = self.expires_at {
            key = key.with_expires_at(time);
        }
        if let Some(metadata) = self.metadata {
            key = key.with_metadata(Metadata::new(metadata).unwrap());
        }
        if let Some(networks) = self.networks {
            key = key.with_networks(networks);
        }
        if let Some(suspended) = self.suspended {
            key = key.with_suspended(suspended);
        }
        key
    }
}

fn assert_regenerated(
    status: StatusCode,
    form: &Map<String, Value>,
    before: &KeyRecord,
    own: &KeyRecord,
    new: Option<&Arc<KeyRecord>>,
    response: &Value,
) {
    // A whole number may be written as one with a fraction of zero.
    let number = |value: &Value| value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0);
    let (Some(expiry), Some(overlap)) =
        (optional(form, "expires_at", expiry), optional(form, "overlap_seconds", number))
    else {
        assert_eq!(status, StatusCode::BAD_REQUEST);
        return;
    };
    // More seconds than any clock has may be too many, or last for good.
    if overlap.is_some_and(|overlap| overlap >= u64::MAX as f64) && status == StatusCode::BAD_REQUEST {
        return;
    }
    if before.is_revoked() || before.is_suspended() {
        assert_eq!(status, StatusCode::CONFLICT);
        return;
    }
    assert_eq!(status, StatusCode::CREATED);
    let new = new.expect("the new key is stored");
    assert_shown_once(new, response);
    let same =
        |key: &KeyRecord| (key.name().to_owned(), key.access().clone(), key.networks().clone(), metadata_of(key));
    assert_eq!(same(new), same(before));
    assert_eq!(new.environment(), before.environment());
    let lifetime = |end: SystemTime| now() + end.duration_since(before.created_at()).unwrap_or_default();
    assert_eq!(new.expires_at(), expiry.or(before.expires_at().map(lifetime)));

    assert_eq!(own.replaced_by(), Some(new.id()));
    match overlap {
        None | Some(0.0) => assert_eq!(own.revoked_at(), Some(now())),
        Some(overlap) => {
            let end = if overlap < 1e12 { Some(now() + Duration::from_secs(overlap as u64)) } else { None };
            assert!(!own.is_revoked());
            if let Some(end) = end {
                assert_eq!(own.expires_at(), Some(before.expires_at().map_or(end, |expiry| expiry.min(end))));
            }
            assert!(before.expires_at().is_none_or(|expiry| own.expires_at().is_some_and(|end| end <= expiry)));
        }
    }
}
