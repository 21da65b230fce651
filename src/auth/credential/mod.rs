//! Reads the credential of a request.

mod authorization;
mod websocket;

use http::header::{AUTHORIZATION, Entry, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use crate::auth::legacy::LegacyFormat;
use crate::caching::CredentialHeaders;
use crate::credential::{AuthScheme, CredentialSource, Kind};
use crate::key::{KeyDigest, KeyFormat};
use crate::rejection::CredentialError;

/// The longest key that is hashed and looked up, in bytes.
const LONGEST: usize = 512;

/// Where a service expects the credential, and in which form.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    list: Vec<CredentialSource>,
    /// The header, if that is the only source, and no key is a legacy one.
    only: Option<HeaderName>,
    pub(super) keep: bool,
    /// The formats that are accepted. Empty: any.
    pub(super) formats: Vec<KeyFormat>,
    /// The formats of legacy keys, which are accepted too.
    legacy: Vec<LegacyFormat>,
}

/// The value of the only header that can have a credential. It can be looked up.
pub(super) enum KeyValue<'a> {
    Kept(&'a HeaderValue),
    Removed(HeaderValue),
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
        let mut sources = Self { list: Vec::new(), only: None, keep: false, formats: Vec::new(), legacy: Vec::new() };
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
            [CredentialSource(Kind::Header(name))] if self.legacy.is_empty() => Some(name.clone()),
            _ => None,
        };
    }

    /// Accepts these formats too.
    pub(super) fn set_legacy(&mut self, formats: Vec<LegacyFormat>) {
        self.legacy = formats;
        self.set(self.list.clone());
    }

    pub(super) fn list(&self) -> &[CredentialSource] {
        &self.list
    }

    /// Returns the names of the headers that are read here, and of those that others read.
    pub(super) fn headers(&self, others: &[HeaderName]) -> CredentialHeaders {
        let mut names: Vec<HeaderName> = Vec::new();
        for name in self.list.iter().map(CredentialSource::header_name).chain(others) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        CredentialHeaders::new(&names)
    }

    /// The digest of the one credential in `headers`. Afterwards the credential is gone from them, or, when the
    /// source keeps it, marked as sensitive.
    #[cfg(any(test, feature = "transport"))]
    pub(super) fn take(&self, headers: &mut HeaderMap) -> Result<KeyDigest, CredentialError> {
        match self.take_alone(headers) {
            Some(value) => value.map(|value| value.digest()),
            None => self.take_one_of_many(headers),
        }
    }

    /// As [`take`](Self::take), where no header has a second value and one lookup finds the only place.
    #[inline]
    pub(super) fn take_alone<'h>(&self, headers: &'h mut HeaderMap) -> Option<Result<KeyValue<'h>, CredentialError>> {
        match &self.only {
            Some(header) if headers.len() == headers.keys_len() => Some(self.take_only(header, headers)),
            _ => None,
        }
    }

    pub(super) fn take_one_of_many(&self, headers: &mut HeaderMap) -> Result<KeyDigest, CredentialError> {
        let digest = self.read(headers);
        self.hide(headers);
        digest
    }

    #[inline]
    fn take_only<'h>(&self, header: &HeaderName, headers: &'h mut HeaderMap) -> Result<KeyValue<'h>, CredentialError> {
        if !self.keep {
            let value = headers.remove(header).ok_or(CredentialError::Missing)?;
            self.check(value.as_bytes())?;
            return Ok(KeyValue::Removed(value));
        }
        // Few requests have so many headers that to hash a name costs less than to compare it with theirs.
        let (_, value) = headers.iter_mut().find(|(name, _)| *name == header).ok_or(CredentialError::Missing)?;
        value.set_sensitive(true);
        self.check(value.as_bytes())?;
        Ok(KeyValue::Kept(value))
    }

    /// Removes every credential from `headers`, or marks it as sensitive.
    pub(super) fn hide(&self, headers: &mut HeaderMap) {
        for source in &self.list {
            match &source.0 {
                Kind::Header(name) if !self.keep => drop(headers.remove(name)),
                Kind::Header(name) => mark(headers, name, |_| true),
                Kind::Authorization(scheme) => {
                    let is_ours = |value: &[u8]| self.token(scheme, value).is_some();
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
        let reads_all = self.formats.is_empty() && other.formats.is_empty();
        self.list == other.list && self.formats == other.formats && (reads_all || self.legacy == other.legacy)
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
        self.with_key(headers, |key| self.format_of(key))
    }

    /// Returns the first format that this key is in.
    pub(super) fn format_of(&self, key: &[u8]) -> Option<&KeyFormat> {
        self.formats.iter().find(|format| format.matches(key))
    }

    /// Returns what is made of the one credential of `headers`. `None` where there is not one that can be looked up.
    pub(super) fn with_key<T>(&self, headers: &HeaderMap, read: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        self.find(headers).and_then(|presented| presented.with_key(|key| Ok(read(key)))).ok()?
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
                    for token in values.filter_map(|value| self.token(scheme, value)) {
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

    /// Returns the token of this value of `Authorization`, if it is for this layer.
    fn token<'a>(&self, scheme: &AuthScheme, value: &'a [u8]) -> Option<&'a [u8]> {
        let token = authorization::token(scheme, value)?;
        let is_any = *scheme != AuthScheme::BEARER || self.formats.is_empty();
        let begins = |format: &KeyFormat| token.starts_with(format.prefix().as_bytes());
        let is_ours =
            is_any || self.formats.iter().any(begins) || self.legacy.iter().any(|format| format.matches(token));
        is_ours.then_some(token)
    }

    pub(super) fn digest(&self, presented: &[u8]) -> Result<KeyDigest, CredentialError> {
        self.check(presented)?;
        Ok(KeyDigest::hash(presented))
    }

    /// Returns why this key cannot be looked up, if it cannot.
    #[inline]
    fn check(&self, presented: &[u8]) -> Result<(), CredentialError> {
        if presented.len() > LONGEST {
            return Err(CredentialError::TooLong);
        }
        if presented.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(CredentialError::Missing);
        }
        if !self.formats.is_empty() && !self.has_format(presented) {
            return Err(CredentialError::Malformed);
        }
        Ok(())
    }

    fn has_format(&self, presented: &[u8]) -> bool {
        let is_legacy = || self.legacy.iter().any(|format| format.matches(presented));
        self.formats.iter().any(|format| format.matches(presented)) || is_legacy()
    }
}

impl KeyValue<'_> {
    #[inline]
    pub(super) fn digest(&self) -> KeyDigest {
        match self {
            Self::Kept(value) => KeyDigest::hash(value.as_bytes()),
            Self::Removed(value) => KeyDigest::hash(value.as_bytes()),
        }
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
