//! The one place where a key is judged: a pure function, without I/O, HTTP or async.

use std::time::SystemTime;

use crate::key::{KeyDigest, KeyRecord};
use crate::scope::{Access, Requirement};

/// Why a credential that was looked up does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Denial {
    /// No record has this digest.
    Unknown,
    /// The store returned the record of another key.
    OtherKey,
    /// The key was revoked or replaced.
    Revoked,
    /// The key's organization is disabled.
    OrganizationDisabled,
    /// The key is past its expiry or the organization's maximum age.
    Expired,
    /// The key is valid, but may not do this.
    InsufficientScope,
}

/// Judges a key: is it the one that was presented, is it still valid, and does its access meet the
/// `requirement`? The first check that fails is the answer.
///
/// The clock is read at most once, and only for a key that expires. The layer calls this for every request;
/// call it yourself where a key arrives by another way than a request header.
///
/// ```
/// use std::time::SystemTime;
/// use tower_api_key::{Access, Denial, KeyDigest, KeyId, KeyRecord, Requirement, decide};
///
/// let digest = KeyDigest::of(b"avk_...");
/// let record = KeyRecord::new(KeyId::from_u128(1), digest, "acme".parse()?, Access::Full);
/// let verdict = decide(&digest, Some(&record), &Requirement::any_key(), SystemTime::now);
/// assert!(verdict.is_ok());
/// assert_eq!(decide(&digest, None, &Requirement::any_key(), SystemTime::now), Err(Denial::Unknown));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first reason for which the key does not pass.
pub fn decide(
    presented: &KeyDigest,
    record: Option<&KeyRecord>,
    requirement: &Requirement,
    now: impl FnOnce() -> SystemTime,
) -> Result<(), Denial> {
    let record = record.ok_or(Denial::Unknown)?;
    authenticate(presented, record, now)?;
    authorize(record.access(), requirement)
}

/// The first half: is it the key that was presented, and is it still valid?
#[inline(always)]
pub(crate) fn authenticate(
    presented: &KeyDigest,
    record: &KeyRecord,
    now: impl FnOnce() -> SystemTime,
) -> Result<(), Denial> {
    if record.digest() != presented {
        return Err(Denial::OtherKey);
    }
    if record.is_revoked() {
        return Err(Denial::Revoked);
    }
    if record.policy().is_disabled() {
        return Err(Denial::OrganizationDisabled);
    }
    if record.is_expired(now) {
        return Err(Denial::Expired);
    }
    Ok(())
}

/// The second half: may a valid key do this?
#[inline]
pub(crate) fn authorize(access: &Access, requirement: &Requirement) -> Result<(), Denial> {
    if requirement.is_met_by(access) { Ok(()) } else { Err(Denial::InsufficientScope) }
}

/// What a table of routes asks of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "routes"), expect(dead_code, reason = "without a table, any key may pass"))]
pub(crate) enum RouteVerdict {
    /// Not even a key.
    Public,
    /// Any valid key.
    AnyKey,
    /// A key with full access.
    FullAccess,
    /// A key that meets what the lines with these numbers require.
    Lines(usize, Option<usize>),
    /// A key, and then the route does not exist.
    NotFound,
}
