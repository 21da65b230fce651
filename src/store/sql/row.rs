//! Between rows and records. Rows are not trusted: people edit them by hand.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::backend::Value;
use super::error::SqlError;
use crate::key::{KeyDigest, KeyHint, KeyId, KeyRecord, OrganizationPolicy};
use crate::scope::{Access, Catalogue, Scope, ScopeSet};
use crate::store::NewKey;
use crate::time::Timestamp;
use crate::usage::KeyUsage;

const FULL: &str = "full";
const SCOPED: &str = "scoped";

/// A stored key whose row grants less than it may have been meant to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadRow {
    /// The key.
    pub key: KeyId,
    /// What is wrong with its row.
    pub problem: RowProblem,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowProblem {
    /// The access is neither full nor scoped: the key is treated as scoped, without any scope.
    Access,
    /// The scopes cannot be read: the key has none.
    Scopes,
    /// A scope is not in the service's catalogue: the key keeps it, and it opens nothing.
    UnknownScope(Scope),
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the row of key {}: ", self.key)?;
        match &self.problem {
            RowProblem::Access => f.write_str("the access is neither full nor scoped, so it grants nothing"),
            RowProblem::Scopes => f.write_str("the scopes cannot be read, so it grants nothing"),
            RowProblem::UnknownScope(scope) => write!(f, "the scope {:?} is not in the catalogue", scope.as_str()),
        }
    }
}

/// The values for `statements::INSERT`.
pub(super) fn encode(record: &KeyRecord) -> Vec<Value> {
    let (access, scopes) = match record.access() {
        Access::Full => (FULL, String::new()),
        Access::Scoped(scopes) => (SCOPED, scopes.to_string()),
    };
    vec![
        record.id().into(),
        record.digest().into(),
        record.organization().into(),
        record.name().to_owned().into(),
        record.hint().to_owned().into(),
        access.to_owned().into(),
        scopes.into(),
        Timestamp::floor(record.created_at()).seconds().into(),
        Value::Int(record.expires_at().map(|time| Timestamp::floor(time).seconds())),
    ]
}

/// The value for `Backend::RECORD_USAGE`: JSON, in which both databases take any number of rows at once.
pub(super) fn encode_usage(usage: &[KeyUsage]) -> String {
    let row = |usage: &KeyUsage| {
        let last = Timestamp::floor(usage.last_used_at).seconds();
        format!(r#"{{"key":"{}","last_used_at":{last},"requests":{}}}"#, usage.id, usage.requests)
    };
    format!("[{}]", usage.iter().map(row).collect::<Vec<_>>().join(","))
}

/// The record in a row of one of the statements that select keys.
///
/// What decides whether the key is valid must make sense, or there is no record. What it may do is read as
/// nothing where it makes no sense.
pub(super) fn decode(row: &[Value], catalogue: Option<&Catalogue>) -> Result<(KeyRecord, Vec<RowProblem>), SqlError> {
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
        return Err(SqlError::bad_row("too few columns"));
    };
    let id: KeyId = parse(id, "id")?;
    let digest = digest.bytes().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let digest = digest.map(KeyDigest::from_bytes).ok_or_else(|| SqlError::bad_row("digest"))?;
    let created = created.int().ok_or_else(|| SqlError::bad_row("created_at"))?;
    let (access, problems) = decode_access(access, scopes, catalogue);

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
        return Err(SqlError::bad_row("replaced_by without revoked_at"));
    }
    Ok((record, problems))
}

/// What a list shows for a row of which no record can be made, so that its owner finds the key and can revoke it: an
/// expired key that grants nothing. There is none where nobody could name the key.
pub(super) fn stand_in(row: &[Value]) -> Option<KeyRecord> {
    let [id, digest, organization, name, _, _, _, created, ..] = row else { return None };
    let digest = digest.bytes().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).unwrap_or_default();
    let organization = parse(organization, "organization").ok()?;
    let nothing = Access::Scoped(ScopeSet::empty());
    let record = KeyRecord::new(parse(id, "id").ok()?, KeyDigest::from_bytes(digest), organization, nothing)
        .with_name(shown_name(name))
        .with_created_at(Timestamp::from_seconds(created.int()?).system_time())
        .with_expires_at(std::time::SystemTime::UNIX_EPOCH);
    Some(record)
}

/// The policy in the two columns of `statements::POLICY`; none, where the organization has no row.
pub(super) fn policy(columns: &[Value]) -> Result<OrganizationPolicy, SqlError> {
    let [max_key_age, disabled] = columns else { return Err(SqlError::bad_row("too few columns")) };
    let mut policy = OrganizationPolicy::default();
    if !max_key_age.is_null() {
        let age = max_key_age.int().and_then(|age| u64::try_from(age).ok());
        policy = policy.with_max_key_age(Duration::from_secs(age.ok_or_else(|| SqlError::bad_row("max_key_age"))?));
    }
    // Anything but a clear no is a yes.
    Ok(policy.with_disabled(disabled.int() != Some(0)))
}

fn shown_name(name: &Value) -> String {
    name.text().unwrap_or_default().chars().take(NewKey::MAX_NAME_LEN).collect()
}

fn decode_access(access: &Value, scopes: &Value, catalogue: Option<&Catalogue>) -> (Access, Vec<RowProblem>) {
    match access.text() {
        Some(FULL) => (Access::Full, vec![]),
        Some(SCOPED) => match scopes.text().map(parse_scopes) {
            Some(Some(scopes)) => {
                let unknown = scopes.iter().filter(|scope| catalogue.is_some_and(|it| !it.scopes().contains(scope)));
                let problems = unknown.cloned().map(RowProblem::UnknownScope).collect();
                (Access::Scoped(scopes), problems)
            }
            _ => (Access::Scoped(ScopeSet::empty()), vec![RowProblem::Scopes]),
        },
        _ => (Access::Scoped(ScopeSet::empty()), vec![RowProblem::Access]),
    }
}

/// All or nothing: a list with one bad name is not the list that somebody meant.
fn parse_scopes(text: &str) -> Option<ScopeSet> {
    if text.is_empty() {
        return Some(ScopeSet::empty());
    }
    // One more than there may be is enough to know that there are too many.
    let scopes: Vec<Scope> =
        text.split(' ').take(ScopeSet::MAX_LEN + 1).map(Scope::new).collect::<Result<_, _>>().ok()?;
    (scopes.len() <= ScopeSet::MAX_LEN).then(|| scopes.into_iter().collect())
}

fn parse<T: FromStr>(value: &Value, column: &'static str) -> Result<T, SqlError> {
    value.text().and_then(|text| text.parse().ok()).ok_or_else(|| SqlError::bad_row(column))
}

fn time(value: &Value, column: &'static str) -> Result<Option<std::time::SystemTime>, SqlError> {
    if value.is_null() {
        return Ok(None);
    }
    let seconds = value.int().ok_or_else(|| SqlError::bad_row(column))?;
    Ok(Some(Timestamp::from_seconds(seconds).system_time()))
}
