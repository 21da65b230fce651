//! Between rows and records. Rows are not trusted: people edit them by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::database::Value;
use super::error::SqlError;
use super::statements::INSERTED;
use crate::client::AllowedNetworks;
use crate::key::{Environment, KeyDigest, KeyHint, KeyId, KeyRecord, Metadata, OrganizationPolicy};
use crate::scope::{Access, Scope, ScopeAliases, ScopeCatalog, ScopeSet};
use crate::store::KeyUsage;
use crate::time::Timestamp;

const FULL: &str = "full";
const SCOPED: &str = "scoped";

/// Longer names are none that this crate wrote, and are cut.
const MAX_NAME_LEN: usize = 100;
const MAX_ACTOR_LEN: usize = 256;

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
    /// The metadata cannot be read. The key is read without any.
    Metadata,
    /// The environment cannot be read. The key is read without one.
    Environment,
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
            RowErrorKind::Metadata => f.write_str("the metadata cannot be read, so the key has none"),
            RowErrorKind::Environment => f.write_str("the environment cannot be read, so the key has none"),
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
        record.environment().map_or("", Environment::as_str).to_owned().into(),
        access,
        scopes,
        record.networks().to_string().into(),
        encode_metadata(record.metadata()),
        Timestamp::floor(record.created_at()).seconds().into(),
        record.created_by().unwrap_or_default().to_owned().into(),
        i64::from(record.is_imported()).into(),
        i64::from(record.is_suspended()).into(),
        seconds(record.expires_at()),
        seconds(record.revoked_at()),
    ]
}

/// Returns the value for `Database::INSERT_MANY`: JSON, which has no bytes.
pub(super) fn encode_many<'a>(records: impl IntoIterator<Item = &'a KeyRecord>) -> String {
    let value = |value: Value| match value {
        Value::Int(int) => int.into(),
        Value::Text(text) => text.into(),
        Value::Bytes(bytes) => base16ct::lower::encode_string(&bytes).into(),
    };
    let row = |record| {
        let columns = INSERTED.into_iter().map(ToOwned::to_owned);
        serde_json::Value::Object(columns.zip(encode(record).into_iter().map(value)).collect())
    };
    serde_json::Value::Array(records.into_iter().map(row).collect()).to_string()
}

/// Returns the values for `statements::UPDATE`.
pub(super) fn encode_update(record: &KeyRecord) -> Vec<Value> {
    let [access, scopes] = encode_access(record.access());
    vec![
        record.id().into(),
        record.name().to_owned().into(),
        access,
        scopes,
        record.networks().to_string().into(),
        encode_metadata(record.metadata()),
        i64::from(record.is_suspended()).into(),
        seconds(record.expires_at()),
    ]
}

/// Returns the values for `statements::REPLACE`, of the key that is replaced by this one.
pub(super) fn encode_replaced(old: &KeyRecord, new: KeyId) -> Vec<Value> {
    vec![old.id().into(), new.into(), seconds(old.revoked_at()), seconds(old.expires_at())]
}

fn seconds(time: Option<SystemTime>) -> Value {
    Value::Int(time.map(|time| Timestamp::floor(time).seconds()))
}

fn encode_metadata(metadata: &Metadata) -> Value {
    let entries: BTreeMap<_, _> = metadata.iter().collect();
    // Texts by texts are always JSON.
    serde_json::to_string(&entries).unwrap_or_else(|_| "{}".to_owned()).into()
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
        let requests = i64::try_from(usage.request_count).unwrap_or(i64::MAX);
        format!(r#"{{"key":"{}","last_used_at":{last},"requests":{requests}}}"#, usage.id)
    };
    format!("[{}]", usage.iter().map(row).collect::<Vec<_>>().join(","))
}

/// Returns the value for `statements::FIND_MANY_SQLITE`: JSON, which has no bytes.
#[cfg(feature = "sqlite")]
pub(super) fn encode_digests(digests: &[KeyDigest]) -> String {
    format!("[{}]", digests.iter().map(|digest| format!("\"{}\"", digest.to_hex())).collect::<Vec<_>>().join(","))
}

/// Returns the value for `Database::DELETE` and `Database::GET_MANY`: JSON.
pub(super) fn encode_ids(ids: &[KeyId]) -> String {
    format!("[{}]", ids.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(","))
}

/// Returns the record in a row of one of the statements that select keys, and what is invalid about its access.
///
/// Whatever decides that the key is valid must be readable, or there is no record. Access that cannot be read grants
/// nothing.
pub(super) fn decode(
    row: &[Value],
    scopes_read: &ScopesRead<'_>,
    known: i64,
) -> Result<(KeyRecord, Vec<RowErrorKind>), SqlError> {
    let [
        id,
        digest,
        organization,
        name,
        hint,
        environment,
        access,
        scopes,
        networks,
        metadata,
        created,
        created_by,
        imported,
        suspended,
        expires,
        revoked,
        replaced_by,
        last_used,
        requests,
        compatible_from,
        policy @ ..,
    ] = row
    else {
        return Err(SqlError::invalid_row("too few columns"));
    };
    // A newer version of this crate may have added a reason to reject keys.
    if let Some(needed) = compatible_from.int().filter(|needed| *needed > known) {
        return Err(SqlError::Incompatible { needed, known });
    }
    let id: KeyId = parse(id, "id")?;
    let digest = parse_digest(digest)?;
    if organization.is_null() && !revoked.is_null() && imported.int() == Some(1) {
        return Ok((KeyRecord::tombstone(id, digest), vec![]));
    }
    let created = created.int().ok_or_else(|| unreadable("created_at"))?;
    let (access, mut kinds) = decode_access(access, scopes, scopes_read);
    let environment = or_none(environment, RowErrorKind::Environment, &mut kinds, |text| text.parse().ok());
    let metadata = or_none(metadata, RowErrorKind::Metadata, &mut kinds, decode_metadata).unwrap_or_default();

    let mut record = KeyRecord::new(id, digest, parse(organization, "organization")?, access)
        .with_name(shown_name(name))
        .with_hint(KeyHint::from_stored(hint.text().unwrap_or_default()))
        .with_environment(environment)
        .with_networks(parse::<AllowedNetworks>(networks, "networks")?)
        .with_metadata(metadata)
        .with_created_by(created_by.text().map(shown_actor))
        // Anything but a clear no is a yes.
        .with_imported(imported.int() != Some(0))
        .with_suspended(suspended.int() != Some(0))
        .with_created_at(Timestamp::from_seconds(created).system_time())
        .with_expires_at(time(expires, "expires_at")?)
        .with_usage(
            time(last_used, "last_used_at")?,
            requests.int().and_then(|requests| u64::try_from(requests).ok()).unwrap_or(0),
        )
        .with_policy(self::policy(policy)?);
    let revoked = time(revoked, "revoked_at")?;
    if !replaced_by.is_null() && revoked.is_none() && record.expires_at().is_none() {
        return Err(SqlError::invalid_row("replaced_by without revoked_at"));
    }
    record = record.with_revoked_at(revoked).with_replaced_by(replaced_by.text().and_then(|text| text.parse().ok()));
    Ok((record, kinds))
}

/// Returns the digest in a row.
pub(super) fn digest(row: &[Value]) -> Result<KeyDigest, SqlError> {
    let [_, digest, ..] = row else { return Err(SqlError::invalid_row("too few columns")) };
    parse_digest(digest)
}

/// Returns the id and the digest of a key that was inserted.
pub(super) fn key(row: &[Value]) -> Result<(KeyId, KeyDigest), SqlError> {
    let [id, ..] = row else { return Err(SqlError::invalid_row("too few columns")) };
    Ok((parse(id, "id")?, digest(row)?))
}

/// Returns what a list shows for a row of which no record can be made, so that its owner finds the key and can revoke it:
/// an expired key that grants nothing. `None` if the row does not name a key that could be revoked.
pub(super) fn stand_in(row: &[Value]) -> Option<KeyRecord> {
    let [id, digest, organization, name, _, _, _, _, _, _, created, ..] = row else { return None };
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
    let [id, _, _, _, _, _, _, _, _, _, created, ..] = row else {
        return Err(SqlError::invalid_row("too few columns"));
    };
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

fn shown_actor(actor: &str) -> Arc<str> {
    actor.chars().filter(|character| !character.is_control()).take(MAX_ACTOR_LEN).collect::<String>().into()
}

fn decode_metadata(text: &str) -> Option<Metadata> {
    let entries: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    Metadata::new(entries).ok()
}

/// Returns what a text is read as. One that cannot be read is reported and is nothing.
fn or_none<T>(
    value: &Value,
    kind: RowErrorKind,
    kinds: &mut Vec<RowErrorKind>,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    if value.is_null() {
        return None;
    }
    let read = value.text().and_then(read);
    kinds.extend(read.is_none().then_some(kind));
    read
}

/// By which names a store reads scopes, and which of them it knows.
pub(super) struct ScopesRead<'a> {
    pub(super) aliases: &'a ScopeAliases,
    pub(super) catalog: Option<&'a ScopeCatalog>,
}

fn decode_access(access: &Value, scopes: &Value, read: &ScopesRead<'_>) -> (Access, Vec<RowErrorKind>) {
    match access.text() {
        Some(FULL) => (Access::Full, vec![]),
        Some(SCOPED) => match scopes.text().and_then(parse_scopes) {
            Some(scopes) => {
                let scopes = read.aliases.read_set(&scopes);
                let unknown = scopes.iter().filter(|scope| read.catalog.is_some_and(|it| !it.scopes().contains(scope)));
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

fn parse_digest(value: &Value) -> Result<KeyDigest, SqlError> {
    let digest = value.bytes().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    digest.map(KeyDigest::from_bytes).ok_or_else(|| unreadable("digest"))
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
