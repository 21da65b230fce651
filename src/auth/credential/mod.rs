//! Reads the credential of a request.

mod authorization;
mod websocket;

use http::header::{AUTHORIZATION, Entry, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use crate::caching::CredentialHeaders;
use crate::credential::{CredentialSource, Kind};
use crate::key::{KeyDigest, KeyFormat};
use crate::rejection::CredentialError;

/// The longest key that is hashed and looked up, in bytes.
const LONGEST: usize = 512;

/// Where a service expects the credential, and in which form.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    list: Vec<CredentialSource>,
    /// The header, if that is the only source.
    only: Option<HeaderName>,
    pub(super) keep: bool,
    /// The formats that are accepted. Empty: any.
    pub(super) formats: Vec<KeyFormat>,
}

/// A credential as it was sent.
#[derive(Clone, Copy)]
enum Presented<'a> {
    Plain(&'a [u8]),
    /// In an entry of `Sec-WebSocket-Protocol`.
    Encoded(&'a [u8]),
}

impl Sources {
    pub(super) fn new(list: impl IntoIterator<Item = CredentialSource>) -> Self {
        let mut sources = Self { list: Vec::new(), only: None, keep: false, formats: Vec::new() };
        sources.set(list);
        sources
    }

    pub(super) fn set(&mut self, list: impl IntoIterator<Item = CredentialSource>) {
        self.list.clear();
        for source in list {
            if !self.list.contains(&source) {
                self.list.push(source);
            }
        }
        self.only = match &self.list[..] {
            [CredentialSource(Kind::Header(name))] => Some(name.clone()),
            _ => None,
        };
    }

    pub(super) fn list(&self) -> &[CredentialSource] {
        &self.list
    }

    /// Returns the names of the headers that are read.
    pub(super) fn headers(&self) -> CredentialHeaders {
        let mut names: Vec<HeaderName> = Vec::new();
        for name in self.list.iter().map(CredentialSource::header_name) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        CredentialHeaders::new(&names)
    }

    /// The digest of the one credential in `headers`. Afterwards the credential is gone from them, or, when the
    /// source keeps it, marked as sensitive.
    #[inline]
    pub(super) fn take(&self, headers: &mut HeaderMap) -> Result<KeyDigest, CredentialError> {
        // Where no header has a second value, one lookup finds the only place.
        match &self.only {
            Some(header) if headers.len() == headers.keys_len() => self.take_only(header, headers),
            _ => self.take_one_of_many(headers),
        }
    }

    fn take_one_of_many(&self, headers: &mut HeaderMap) -> Result<KeyDigest, CredentialError> {
        let digest = self.read(headers);
        self.hide(headers);
        digest
    }

    #[inline]
    fn take_only(&self, header: &HeaderName, headers: &mut HeaderMap) -> Result<KeyDigest, CredentialError> {
        if !self.keep {
            let value = headers.remove(header).ok_or(CredentialError::Missing)?;
            return self.digest(value.as_bytes());
        }
        // Few requests have so many headers that to hash a name costs less than to compare it with theirs.
        let (_, value) = headers.iter_mut().find(|(name, _)| *name == header).ok_or(CredentialError::Missing)?;
        value.set_sensitive(true);
        self.digest(value.as_bytes())
    }

    /// Removes every credential from `headers`, or marks it as sensitive.
    pub(super) fn hide(&self, headers: &mut HeaderMap) {
        for source in &self.list {
            match &source.0 {
                Kind::Header(name) if !self.keep => drop(headers.remove(name)),
                Kind::Header(name) => mark(headers, name, |_| true),
                Kind::Authorization(scheme) => {
                    let is_ours = |value: &[u8]| authorization::token(scheme, &self.formats, value).is_some();
                    if self.keep {
                        mark(headers, &AUTHORIZATION, is_ours);
                    } else {
                        replace(headers, &AUTHORIZATION, is_ours, |_| None);
                    }
                }
                Kind::WebSocketProtocol if self.keep => mark(headers, &SEC_WEBSOCKET_PROTOCOL, websocket::has_key),
                Kind::WebSocketProtocol => {
                    replace(headers, &SEC_WEBSOCKET_PROTOCOL, websocket::has_key, websocket::without_key);
                }
            }
        }
    }

    /// Returns whether a layer with these sources takes away what a layer with the `other` ones would read.
    pub(super) fn hides(&self, other: &Self) -> bool {
        !self.keep && self.list.iter().any(|source| other.list.contains(source))
    }

    /// Returns whether these sources read what the `other` ones read, and take what they take for a key.
    pub(super) fn reads_as(&self, other: &Self) -> bool {
        self.list == other.list && self.formats == other.formats
    }

    /// Returns whether `headers` has a credential, one that can be looked up or not.
    pub(super) fn is_presented(&self, headers: &HeaderMap) -> bool {
        self.read(headers) != Err(CredentialError::Missing)
    }

    /// Returns the first format that the credential is in, if `headers` has one credential.
    pub(super) fn format(&self, headers: &HeaderMap) -> Option<&KeyFormat> {
        if self.formats.is_empty() {
            return None;
        }
        let matching = |key: &[u8]| Ok(self.formats.iter().find(|format| format.matches(key)));
        self.find(headers).and_then(|presented| presented.with_key(matching)).ok()?
    }

    fn read(&self, headers: &HeaderMap) -> Result<KeyDigest, CredentialError> {
        self.find(headers)?.with_key(|key| self.digest(key))
    }

    /// Returns the one credential of all sources.
    fn find<'a>(&self, headers: &'a HeaderMap) -> Result<Presented<'a>, CredentialError> {
        let (mut found, mut repeated) = (None, false);
        let mut add = |presented| repeated |= found.replace(presented).is_some();
        for source in &self.list {
            let values = headers.get_all(source.header_name()).iter().map(HeaderValue::as_bytes);
            match &source.0 {
                Kind::Header(_) => values.map(Presented::Plain).for_each(&mut add),
                Kind::Authorization(scheme) => {
                    // A second `Authorization` of any scheme leaves open which of the two was meant.
                    let several = headers.get_all(AUTHORIZATION).iter().nth(1).is_some();
                    for token in values.filter_map(|value| authorization::token(scheme, &self.formats, value)) {
                        add(Presented::Plain(token));
                        if several {
                            add(Presented::Plain(token));
                        }
                    }
                }
                Kind::WebSocketProtocol => {
                    values.flat_map(websocket::keys).map(Presented::Encoded).for_each(&mut add);
                }
            }
        }
        if repeated { Err(CredentialError::Repeated) } else { found.ok_or(CredentialError::Missing) }
    }

    #[inline]
    fn digest(&self, presented: &[u8]) -> Result<KeyDigest, CredentialError> {
        if presented.len() > LONGEST {
            return Err(CredentialError::TooLong);
        }
        if presented.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(CredentialError::Missing);
        }
        if !self.formats.is_empty() && !self.formats.iter().any(|format| format.matches(presented)) {
            return Err(CredentialError::Malformed);
        }
        Ok(KeyDigest::hash(presented))
    }
}

impl Presented<'_> {
    fn with_key<T>(self, read: impl FnOnce(&[u8]) -> Result<T, CredentialError>) -> Result<T, CredentialError> {
        match self {
            Self::Plain(key) => read(key),
            Self::Encoded(encoded) => websocket::decode(encoded, read),
        }
    }
}

/// Marks the values of a header with a credential as sensitive.
fn mark(headers: &mut HeaderMap, name: &HeaderName, is_ours: impl Fn(&[u8]) -> bool) {
    if let Entry::Occupied(mut values) = headers.entry(name) {
        let ours = values.iter_mut().filter(|value| is_ours(value.as_bytes()));
        ours.for_each(|value| value.set_sensitive(true));
    }
}

/// Replaces the values of a header with a credential, and keeps the order of all.
fn replace(
    headers: &mut HeaderMap,
    name: &HeaderName,
    is_ours: impl Fn(&[u8]) -> bool,
    replacement: impl Fn(&[u8]) -> Option<HeaderValue>,
) {
    let values = headers.get_all(name);
    if !values.iter().any(|value| is_ours(value.as_bytes())) {
        return;
    }
    let kept = values.iter().filter_map(|value| match is_ours(value.as_bytes()) {
        true => replacement(value.as_bytes()),
        false => Some(value.clone()),
    });
    let kept: Vec<HeaderValue> = kept.collect();
    headers.remove(name);
    for value in kept {
        headers.append(name, value);
    }
}

#[cfg(test)]
mod tests;
