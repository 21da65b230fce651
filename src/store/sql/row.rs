//! Between rows and records. Rows are not trusted: people edit them by hand.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use super::database::Value;
use super::error::SqlError;
use crate::key::{KeyDigest, KeyHint, KeyId, KeyRecord, OrganizationPolicy};
use crate::scope::{Access, Scope, ScopeCatalog, ScopeSet};
use crate::store::KeyUsage;
use crate::time::Timestamp;

const FULL: &str = "full";
const SCOPED: &str = "scoped";

/// Longer names are none that this crate wrote, and are cut.
const MAX_NAME_LEN: usize = 100;

/// A row that was read, and that may grant less than it was meant to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRow {
    key: KeyId,
    kind: RowErrorKind,
}

/// Why a row is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowErrorKind {
    /// The access is neither full nor scoped. The key is read as scoped, without any scope.
    Access,
    /// The scopes cannot be read. The key is read without any scope.
    Scopes,
    /// A scope is not in the catalog of the store. The key keeps the scope.
    UnknownScope(Scope),
}

impl InvalidRow {
    pub(super) const fn new(key: KeyId, kind: RowErrorKind) -> Self {
        Self { key, kind }
    }

    /// Returns the id of the key in the row.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// Returns why the row is invalid.
    #[must_use]
    pub const fn kind(&self) -> &RowErrorKind {
        &self.kind
    }
}

impl fmt::Display for InvalidRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid row of key {}: ", self.key)?;
        match &self.kind {
            RowErrorKind::Access => f.write_str("the access is neither full nor scoped, so the key grants nothing"),
            RowErrorKind::Scopes => f.write_str("the scopes cannot be read, so the key grants nothing"),
            RowErrorKind::UnknownScope(scope) => write!(f, "the scope {:?} is not in the catalog", scope.as_str()),
        }
    }
}

impl std::error::Error for InvalidRow {}

/// Returns the values for `statements::INSERT`.
pub(super) fn encode(record: &KeyRecord) -> Vec<Value> {
    let [access, scopes] = encode_access(record.access());
    vec![
        record.id().into(),
        record.digest().into(),
        record.organization().into(),
        record.name().to_owned().into(),
        record.hint().as_str().to_owned().into(),
        access,
        scopes,
        Timestamp::floor(record.created_at()).seconds().into(),
        Value::Int(record.expires_at().map(|time| Timestamp::floor(time).seconds())),
    ]
}

/// Returns the values for `statements::UPDATE`.
pub(super) fn encode_update(record: &KeyRecord) -> Vec<Value> {
    let [access, scopes] = encode_access(record.access());
    vec![record.id().into(), access, scopes]
}

fn encode_access(access: &Access) -> [Value; 2] {
    let (access, scopes) = match access {
        Access::Full => (FULL, String::new()),
        Access::Scoped(scopes) => (SCOPED, scopes.to_string()),
    };
    [access.to_owned().into(), scopes.into()]
}

/// Returns the value for `Database::RECORD_USAGE`: JSON, in which both databases take any number of rows at once.
pub(super) fn encode_usage(usage: &[KeyUsage]) -> String {
    let row = |usage: &KeyUsage| {
        let last = Timestamp::floor(usage.last_used_at).seconds();
        format!(r#"{{"key":"{}","last_used_at":{last},"requests":{}}}"#, usage.id, usage.request_count)
    };
    format!("[{}]", usage.iter().map(row).collect::<Vec<_>>().join(","))
}

/// Returns the record in a row of one of the statements that select keys, and what is invalid about its access.
///
/// Whatever decides that the key is valid must be readable, or there is no record. Access that cannot be read grants
/// nothing.
pub(super) fn decode(
    row: &[Value],
    catalog: Option<&ScopeCatalog>,
) -> Result<(KeyRecord, Vec<RowErrorKind>), SqlError> {
    let [
        id,
        digest,
        organization,
        name,
        hint,
        access,
        scopes,
        created,
        expires,
        revoked,
        replaced_by,
        last_used,
        requests,
        policy @ ..,
    ] = row
    else {
        return Err(SqlError::invalid_row("too few columns"));
    };
    let id: KeyId = parse(id, "id")?;
    let digest = digest.bytes().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let digest = digest.map(KeyDigest::from_bytes).ok_or_else(|| unreadable("digest"))?;
    let created = created.int().ok_or_else(|| unreadable("created_at"))?;
    let (access, kinds) = decode_access(access, scopes, catalog);

    let mut record = KeyRecord::new(id, digest, parse(organization, "organization")?, access)
        .with_name(shown_name(name))
        .with_hint(KeyHint::from_stored(hint.text().unwrap_or_default()))
        .with_created_at(Timestamp::from_seconds(created).system_time())
        .with_expires_at(time(expires, "expires_at")?)
        .with_usage(
            time(last_used, "last_used_at")?,
            requests.int().and_then(|requests| u64::try_from(requests).ok()).unwrap_or(0),
        )
        .with_policy(self::policy(policy)?);
    if let Some(at) = time(revoked, "revoked_at")? {
        record = match replaced_by.text().and_then(|text| text.parse().ok()) {
            Some(replacement) => record.with_replaced_by(at, replacement),
            None => record.with_revoked_at(at),
        };
    } else if !replaced_by.is_null() {
        return Err(SqlError::invalid_row("replaced_by without revoked_at"));
    }
    Ok((record, kinds))
}

/// Returns what a list shows for a row of which no record can be made, so that its owner finds the key and can revoke it:
/// an expired key that grants nothing. `None` if the row does not name a key that could be revoked.
pub(super) fn stand_in(row: &[Value]) -> Option<KeyRecord> {
    let [id, digest, organization, name, _, _, _, created, ..] = row else { return None };
    let digest = digest.bytes().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).unwrap_or_default();
    let organization = parse(organization, "organization").ok()?;
    let nothing = Access::Scoped(ScopeSet::empty());
    let record = KeyRecord::new(parse(id, "id").ok()?, KeyDigest::from_bytes(digest), organization, nothing)
        .with_name(shown_name(name))
        .with_created_at(Timestamp::from_seconds(created.int()?).system_time())
        .with_expires_at(SystemTime::UNIX_EPOCH);
    Some(record)
}

/// Returns the creation time and the id of a row as they are, for a list to continue behind it.
pub(super) fn place(row: &[Value]) -> Result<(Value, Value), SqlError> {
    let [id, _, _, _, _, _, _, created, ..] = row else { return Err(SqlError::invalid_row("too few columns")) };
    Ok((created.clone(), id.clone()))
}

/// Returns the policy in the two columns of `statements::POLICY`.
pub(super) fn policy(columns: &[Value]) -> Result<OrganizationPolicy, SqlError> {
    let [max_key_age, disabled] = columns else { return Err(SqlError::invalid_row("too few columns")) };
    let mut policy = OrganizationPolicy::default();
    if !max_key_age.is_null() {
        let age = max_key_age.int().and_then(|age| u64::try_from(age).ok());
        policy = policy.with_max_key_age(Duration::from_secs(age.ok_or_else(|| unreadable("max_key_age"))?));
    }
    // Anything but a clear no is a yes.
    Ok(policy.with_disabled(disabled.int() != Some(0)))
}

fn shown_name(name: &Value) -> String {
    name.text().unwrap_or_default().chars().take(MAX_NAME_LEN).collect()
}

fn decode_access(access: &Value, scopes: &Value, catalog: Option<&ScopeCatalog>) -> (Access, Vec<RowErrorKind>) {
    match access.text() {
        Some(FULL) => (Access::Full, vec![]),
        Some(SCOPED) => match scopes.text().and_then(parse_scopes) {
            Some(scopes) => {
                let unknown = scopes.iter().filter(|scope| catalog.is_some_and(|it| !it.scopes().contains(scope)));
                let kinds = unknown.cloned().map(RowErrorKind::UnknownScope).collect();
                (Access::Scoped(scopes), kinds)
            }
            None => (Access::Scoped(ScopeSet::empty()), vec![RowErrorKind::Scopes]),
        },
        _ => (Access::Scoped(ScopeSet::empty()), vec![RowErrorKind::Access]),
    }
}

/// Reads all or nothing: a list with one invalid name is not the list that was meant.
fn parse_scopes(text: &str) -> Option<ScopeSet> {
    if text.is_empty() {
        return Some(ScopeSet::empty());
    }
    // One more than allowed is enough to know that there are too many.
    let scopes: Vec<Scope> =
        text.split(' ').take(ScopeSet::MAX_LEN + 1).map(Scope::new).collect::<Result<_, _>>().ok()?;
    (scopes.len() <= ScopeSet::MAX_LEN).then(|| scopes.into_iter().collect())
}

fn parse<T: FromStr>(value: &Value, column: &'static str) -> Result<T, SqlError> {
    value.text().and_then(|text| text.parse().ok()).ok_or_else(|| unreadable(column))
}

fn time(value: &Value, column: &'static str) -> Result<Option<SystemTime>, SqlError> {
    if value.is_null() {
        return Ok(None);
    }
    let seconds = value.int().ok_or_else(|| unreadable(column))?;
    Ok(Some(Timestamp::from_seconds(seconds).system_time()))
}

fn unreadable(column: &str) -> SqlError {
    SqlError::invalid_row(format!("{column} cannot be read"))
}
