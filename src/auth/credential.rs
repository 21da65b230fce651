//! Reads the credential of a request.

use http::header::{AUTHORIZATION, Entry, HeaderMap, HeaderName, HeaderValue};

use crate::caching::CredentialHeaders;
use crate::key::{KeyDigest, KeyFormat};
use crate::rejection::CredentialError;

/// The longest key that is hashed and looked up, in bytes.
const LONGEST: usize = 512;

/// Where a service expects the credential, and in which form.
#[derive(Clone, Debug)]
pub(super) struct CredentialSource {
    pub(super) header: HeaderName,
    pub(super) bearer: bool,
    pub(super) keep: bool,
    /// The formats that are accepted. Empty: any.
    pub(super) formats: Vec<KeyFormat>,
}

impl CredentialSource {
    /// The digest of the one credential in `headers`. Afterwards the credential is gone from them, or, when the
    /// source keeps it, marked as sensitive.
    #[inline]
    pub(super) fn take(&self, headers: &mut HeaderMap) -> Result<KeyDigest, CredentialError> {
        // Where no header has a second value, one lookup finds the only place.
        if !self.bearer && headers.len() == headers.keys_len() {
            return self.take_only(headers);
        }
        self.take_one_of_many(headers)
    }

    fn take_one_of_many(&self, headers: &mut HeaderMap) -> Result<KeyDigest, CredentialError> {
        let digest = self.read(headers);
        self.hide(headers);
        digest
    }

    #[inline]
    fn take_only(&self, headers: &mut HeaderMap) -> Result<KeyDigest, CredentialError> {
        if !self.keep {
            let value = headers.remove(&self.header).ok_or(CredentialError::Missing)?;
            return self.digest(value.as_bytes());
        }
        // Few requests have so many headers that to hash a name costs less than to compare it with theirs.
        let (_, value) = headers.iter_mut().find(|(name, _)| *name == self.header).ok_or(CredentialError::Missing)?;
        value.set_sensitive(true);
        self.digest(value.as_bytes())
    }

    /// Removes the credential from `headers`, or marks it as sensitive.
    pub(super) fn hide(&self, headers: &mut HeaderMap) {
        let bearer = self.bearer && bearer_tokens(headers).next().is_some();
        for name in std::iter::once(&self.header).chain(bearer.then_some(&AUTHORIZATION)) {
            if !self.keep {
                headers.remove(name);
            } else if let Entry::Occupied(mut values) = headers.entry(name) {
                values.iter_mut().for_each(|value| value.set_sensitive(true));
            }
        }
    }

    /// Returns the names of the headers that it reads.
    pub(super) fn headers(&self) -> CredentialHeaders {
        let names = [self.header.clone(), AUTHORIZATION];
        CredentialHeaders::new(if self.bearer { &names } else { &names[..1] })
    }

    /// Whether a layer with this source takes away what a layer with the `other` one would read.
    pub(super) fn hides(&self, other: &Self) -> bool {
        !self.keep && self.header == other.header
    }

    /// Returns whether this source reads what the `other` one reads, and takes what it takes for a key.
    pub(super) fn reads_as(&self, other: &Self) -> bool {
        self.header == other.header && self.bearer == other.bearer && self.formats == other.formats
    }

    /// Returns whether `headers` has a credential, one that can be looked up or not.
    pub(super) fn is_presented(&self, headers: &HeaderMap) -> bool {
        self.read(headers) != Err(CredentialError::Missing)
    }

    fn read(&self, headers: &HeaderMap) -> Result<KeyDigest, CredentialError> {
        let own = headers.get_all(&self.header).iter().map(HeaderValue::as_bytes);
        let presented = if self.bearer {
            // A second `Authorization` of any scheme leaves open which of the two was meant.
            let mut bearer = bearer_tokens(headers).peekable();
            if bearer.peek().is_some() && headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
                return Err(CredentialError::Repeated);
            }
            only(own.chain(bearer))?
        } else {
            only(own)?
        };
        self.digest(presented)
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

fn only<'a>(mut credentials: impl Iterator<Item = &'a [u8]>) -> Result<&'a [u8], CredentialError> {
    let first = credentials.next().ok_or(CredentialError::Missing)?;
    match credentials.next() {
        None => Ok(first),
        Some(_) => Err(CredentialError::Repeated),
    }
}

/// What follows `Bearer` and one space, the scheme in any letter case (RFC 9110, 11.1; RFC 6750, 2.1).
fn bearer_tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked("Bearer".len())?;
        match token {
            _ if !scheme.eq_ignore_ascii_case(b"Bearer") => None,
            [b' ', token @ ..] => Some(token),
            [] => Some(token),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "avk_00112233445566778899aabbccddeeff01234567";

    fn source() -> CredentialSource {
        let header = HeaderName::from_static("x-avala-api-key");
        CredentialSource { header, bearer: false, keep: false, formats: Vec::new() }
    }

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &[u8])| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap())
        };
        pairs.iter().map(pair).fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, value);
            map
        })
    }

    fn take(source: &CredentialSource, pairs: &[(&'static str, &[u8])]) -> Result<KeyDigest, CredentialError> {
        source.take(&mut headers(pairs))
    }

    #[test]
    fn single_header_is_hashed_byte_for_byte() {
        for key in [KEY.as_bytes(), b" padded ", b"in\tner", b"\xff\x80", &[b'a'; LONGEST]] {
            assert_eq!(take(&source(), &[("x-avala-api-key", key)]), Ok(KeyDigest::hash(key)));
        }
    }

    #[test]
    fn blank_key_is_missing_and_two_are_repeated() {
        for blank in [&b""[..], b" ", b"\t \t"] {
            assert_eq!(take(&source(), &[("x-avala-api-key", blank)]), Err(CredentialError::Missing));
        }
        assert_eq!(take(&source(), &[]), Err(CredentialError::Missing));
        let key = KEY.as_bytes();
        for pair in [[key, key], [key, b""], [b"", key], [b"", b""]] {
            let pairs = [("x-avala-api-key", pair[0]), ("x-avala-api-key", pair[1])];
            assert_eq!(take(&source(), &pairs), Err(CredentialError::Repeated));
        }
    }

    #[test]
    fn long_key_is_rejected_before_hashing() {
        assert_eq!(take(&source(), &[("x-avala-api-key", &[b'a'; LONGEST + 1])]), Err(CredentialError::TooLong));
        assert_eq!(take(&source(), &[("x-avala-api-key", &[b' '; 300_000])]), Err(CredentialError::TooLong));
    }

    #[test]
    fn bearer_token_is_read_only_when_accepted() {
        let bearer = format!("Bearer {KEY}");
        let pairs: [(&'static str, &[u8]); 1] = [("authorization", bearer.as_bytes())];
        assert_eq!(take(&source(), &pairs), Err(CredentialError::Missing));
        let source = CredentialSource { bearer: true, ..source() };
        assert_eq!(take(&source, &pairs), Ok(KeyDigest::hash(KEY.as_bytes())));
        for (value, expected) in [
            (&b"bEARER x"[..], Ok(KeyDigest::hash(b"x"))),
            (b"Bearer  x", Ok(KeyDigest::hash(b" x"))),
            (b"Bearer", Err(CredentialError::Missing)),
            (b"Bearer ", Err(CredentialError::Missing)),
            (b"Bearerx", Err(CredentialError::Missing)),
            (b"Basic eDp5", Err(CredentialError::Missing)),
            (b"Digest x", Err(CredentialError::Missing)),
            (b"", Err(CredentialError::Missing)),
        ] {
            assert_eq!(take(&source, &[("authorization", value)]), expected, "{value:?}");
        }
    }

    /// Cases: 9.
    #[test]
    fn key_in_two_places_is_repeated() {
        let source = CredentialSource { bearer: true, ..source() };
        let bearer = format!("Bearer {KEY}");
        for (own, authorization) in
            [(KEY, &*bearer), ("", &*bearer), ("bad", &*bearer), (KEY, "Bearer"), (KEY, "Bearer x")]
        {
            let pairs = [("x-avala-api-key", own.as_bytes()), ("authorization", authorization.as_bytes())];
            assert_eq!(take(&source, &pairs), Err(CredentialError::Repeated), "{own} {authorization}");
        }
        let pairs = [("authorization", bearer.as_bytes()), ("authorization", b"Basic eDp5")];
        assert_eq!(take(&source, &pairs), Err(CredentialError::Repeated));
        // Another scheme is somebody else's credential.
        let pairs = [("x-avala-api-key", KEY.as_bytes()), ("authorization", b"Basic eDp5")];
        assert_eq!(take(&source, &pairs), Ok(KeyDigest::hash(KEY.as_bytes())));
    }

    /// Cases: 24.
    #[test]
    fn credential_is_removed_or_marked() {
        let pairs: [(&'static str, &[u8]); 2] = [("x-avala-api-key", KEY.as_bytes()), ("authorization", b"Basic eDp5")];
        let mut taken = headers(&pairs);
        source().take(&mut taken).unwrap();
        assert!(!taken.contains_key("x-avala-api-key") && taken.contains_key(AUTHORIZATION));

        let mut kept = headers(&pairs);
        CredentialSource { keep: true, ..source() }.take(&mut kept).unwrap();
        assert!(kept["x-avala-api-key"].is_sensitive());

        let bearer = format!("Bearer {KEY}");
        let mut taken = headers(&[("authorization", bearer.as_bytes())]);
        CredentialSource { bearer: true, ..source() }.take(&mut taken).unwrap();
        assert!(taken.is_empty());
    }

    #[test]
    fn unread_bearer_token_is_left_alone() {
        let bearer = format!("Bearer {KEY}");
        // Repeated headers and a single one are read in two ways.
        for own in [&[KEY][..], &[KEY, KEY], &[]] {
            let mut pairs: Vec<(&'static str, &[u8])> = vec![("authorization", bearer.as_bytes())];
            pairs.extend(own.iter().map(|key| ("x-avala-api-key", key.as_bytes())));
            for keep in [false, true] {
                let mut sent = headers(&pairs);
                let _ = CredentialSource { keep, ..source() }.take(&mut sent);
                assert_eq!(sent[AUTHORIZATION], *bearer, "{own:?}");
                assert!(!sent[AUTHORIZATION].is_sensitive(), "{own:?}");
            }
        }
    }

    #[test]
    fn every_kept_credential_is_marked_sensitive() {
        let bearer = format!("Bearer {KEY}");
        let own = ("x-avala-api-key", KEY.as_bytes());
        let authorization = ("authorization", bearer.as_bytes());
        for pairs in [vec![own, own], vec![authorization], vec![own, authorization]] {
            let mut kept = headers(&pairs);
            let _ = CredentialSource { keep: true, bearer: true, ..source() }.take(&mut kept);
            assert_eq!(kept.len(), pairs.len());
            assert!(kept.values().all(HeaderValue::is_sensitive), "{kept:?}");
        }
    }

    #[test]
    fn source_hides_header_that_it_removes() {
        let other = CredentialSource { header: HeaderName::from_static("x-other"), ..source() };
        assert!(source().hides(&source()));
        assert!(!source().hides(&other));
        assert!(!CredentialSource { keep: true, ..source() }.hides(&source()));
        assert!(!CredentialSource { keep: true, ..source() }.hides(&other));
    }

    #[test]
    fn key_in_other_format_is_malformed() {
        let strict = CredentialSource { formats: vec![KeyFormat::AVALA], ..source() };
        let key = KeyFormat::AVALA.generate().unwrap();
        let good = key.expose_secret().as_bytes();
        assert_eq!(take(&strict, &[("x-avala-api-key", good)]), Ok(key.digest()));
        assert_eq!(take(&strict, &[("x-avala-api-key", b"key")]), Err(CredentialError::Malformed));
        assert_eq!(take(&source(), &[("x-avala-api-key", b"key")]), Ok(KeyDigest::hash(b"key")));
    }
}
