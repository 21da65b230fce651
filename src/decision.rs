//! The decision about a key: [`decide`], a pure function without I/O, HTTP or async.
//!
//! The layer calls it for every request. A program that receives keys outside HTTP calls
//! [`Authenticator`](crate::auth::Authenticator), which looks up the record first.
//!
//! ```
//! use std::time::SystemTime;
//! use tower_api_key::decision::{Denial, decide};
//! use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
//! use tower_api_key::{Access, Requirement};
//!
//! let digest = KeyDigest::hash(b"avk_...");
//! let record = KeyRecord::new(KeyId::from_u128(1), digest, "acme".parse()?, Access::Full);
//! let revoked = record.with_revoked_at(SystemTime::now());
//! let decision = decide(&digest, Some(&revoked), &Requirement::any_key(), SystemTime::now, || None);
//! assert_eq!(decision, Err(Denial::Revoked));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::net::IpAddr;
use std::time::SystemTime;

use crate::client::AllowedNetworks;
use crate::key::{KeyDigest, KeyRecord};
use crate::scope::{Access, Requirement};

/// Why a key that was looked up is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Denial {
    /// No record has this digest.
    #[error("no record has this digest: the key was never issued here")]
    Unknown,
    /// The store returned the record of another key: a mistake in the store, which the layer answers with 503.
    #[error("the key store returned the record of another key")]
    OtherKey,
    /// The key was revoked, by itself or for its replacement.
    #[error("the key was revoked or replaced")]
    Revoked,
    /// The key is suspended.
    #[error("the key is suspended: resume it")]
    Suspended,
    /// The key's organization is disabled.
    #[error("the organization of the key is disabled")]
    OrganizationDisabled,
    /// The key is past its expiry or the organization's maximum age.
    #[error("the key has expired: regenerate it")]
    Expired,
    /// The key is valid, and the client is not in one of its networks.
    #[error("the key may not be used from the network of this client")]
    NetworkNotAllowed,
    /// The key is valid and lacks a scope.
    #[error("the key lacks a scope that the route requires")]
    InsufficientScope,
}

/// Decides about a key: is it the one that was presented, is it still valid, and does its access meet the `requirement`?
/// Returns the first check that fails.
///
/// The clock is read at most once, and only for a key that expires. The address of the client is asked for only for a key
/// that is limited to networks; a client without one is in none of them. The layer makes this decision for every request;
/// call the function yourself where a key does not arrive in a request header.
///
/// ```
/// use std::time::SystemTime;
/// use tower_api_key::decision::{Denial, decide};
/// use tower_api_key::key::{KeyDigest, KeyId, KeyRecord};
/// use tower_api_key::{Access, Requirement};
///
/// let digest = KeyDigest::hash(b"avk_...");
/// let record = KeyRecord::new(KeyId::from_u128(1), digest, "acme".parse()?, Access::Full);
/// let client = || Some([192, 0, 2, 7].into());
/// let decide = |record| decide(&digest, record, &Requirement::any_key(), SystemTime::now, client);
/// assert_eq!(decide(Some(&record)), Ok(()));
/// assert_eq!(decide(None), Err(Denial::Unknown));
/// let elsewhere = record.clone().with_networks("198.51.100.0/24".parse()?);
/// assert_eq!(decide(Some(&elsewhere)), Err(Denial::NetworkNotAllowed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The first reason for which the key is rejected.
pub fn decide(
    presented: &KeyDigest,
    record: Option<&KeyRecord>,
    requirement: &Requirement,
    now: impl FnOnce() -> SystemTime,
    client: impl FnOnce() -> Option<IpAddr>,
) -> Result<(), Denial> {
    let record = record.ok_or(Denial::Unknown)?;
    authenticate(presented, record, now, client)?;
    authorize(record.access(), requirement)
}

/// Decides the first half: is it the key that was presented, is it still valid, and may this client use it?
#[inline]
pub(crate) fn authenticate(
    presented: &KeyDigest,
    record: &KeyRecord,
    now: impl FnOnce() -> SystemTime,
    client: impl FnOnce() -> Option<IpAddr>,
) -> Result<(), Denial> {
    check_record(presented, record)?;
    if record.is_expired(now) {
        return Err(Denial::Expired);
    }
    if !record.networks().is_anywhere() && !is_allowed(record.networks(), client) {
        return Err(Denial::NetworkNotAllowed);
    }
    Ok(())
}

/// Decides what needs neither the time nor the client.
fn check_record(presented: &KeyDigest, record: &KeyRecord) -> Result<(), Denial> {
    if record.digest() != presented {
        return Err(Denial::OtherKey);
    }
    if record.is_revoked() {
        return Err(Denial::Revoked);
    }
    if record.is_suspended() {
        return Err(Denial::Suspended);
    }
    if record.policy().is_disabled() {
        return Err(Denial::OrganizationDisabled);
    }
    Ok(())
}

#[cold]
fn is_allowed(networks: &AllowedNetworks, client: impl FnOnce() -> Option<IpAddr>) -> bool {
    client().is_some_and(|address| networks.contains(address))
}

/// Decides the second half: does the access of a valid key meet the requirement?
#[inline]
pub(crate) fn authorize(access: &Access, requirement: &Requirement) -> Result<(), Denial> {
    if requirement.is_met_by(access) { Ok(()) } else { Err(Denial::InsufficientScope) }
}
