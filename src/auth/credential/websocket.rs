//! A key in `Sec-WebSocket-Protocol` (RFC 6455, 11.3.4): a list of entries, on one line or on several.

use base64ct::{Base64UrlUnpadded, Encoding};
use http::HeaderValue;
use zeroize::Zeroizing;

use super::LONGEST;
use crate::credential::CredentialSource;
use crate::rejection::CredentialError;

/// Returns the encoded keys of one line.
pub(super) fn keys(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    entries(line).filter_map(key)
}

pub(super) fn has_key(line: &[u8]) -> bool {
    keys(line).next().is_some()
}

/// Returns the line without its keys, or `None` if nothing else is on it.
pub(super) fn without_key(line: &[u8]) -> Option<HeaderValue> {
    let kept: Vec<&[u8]> = entries(line).filter(|entry| key(entry).is_none()).collect();
    let kept = Some(kept).filter(|kept| !kept.is_empty())?.join(&b", "[..]);
    Some(HeaderValue::from_bytes(&kept).expect("parts of a header value with commas are one"))
}

/// Reads a decoded key, which is wiped afterwards.
pub(super) fn decode<T>(
    encoded: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, CredentialError>,
) -> Result<T, CredentialError> {
    if encoded.len() > Base64UrlUnpadded::encoded_len(&[0; LONGEST]) {
        return Err(CredentialError::TooLong);
    }
    let mut key = Zeroizing::new([0; LONGEST]);
    let key = Base64UrlUnpadded::decode(encoded, &mut *key).map_err(|_| CredentialError::Malformed)?;
    read(key)
}

fn entries(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty())
}

fn key(entry: &[u8]) -> Option<&[u8]> {
    entry.strip_prefix(CredentialSource::PROTOCOL.as_bytes())
}
